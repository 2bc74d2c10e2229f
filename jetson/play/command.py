"""Turns a picture, two of them, a folder, a video or a camera into the same with the answers drawn on it."""

import argparse
import os
import sys
import time
from contextlib import contextmanager
from typing import Iterator, List, NamedTuple, Optional

import cv2

from jetson import home
from jetson.arrays import Array
from jetson.errors import OutputError, SourceError
from jetson.live.runtime import SharedRunner, runtime_order
from jetson.play.bundle import Bundle, load_bundle
from jetson.play.detect import Detector
from jetson.play.draw import draw_match, draw_table
from jetson.play.follow import Follower
from jetson.play.frames import PICTURES, Source, is_camera, open_source, open_video, pictures_in
from jetson.play.game import JOINT, Match, play
from jetson.play.pictures import read_picture
from jetson.play.table import Table, play_table, read_photo_of_card

CODECS = {".avi": "MJPG", ".mp4": "mp4v"}  # the first is built into OpenCV
CAMERA_FPS = 10.0  # of a video that is as fast as the device plays, whatever that is


class Outcome(NamedTuple):
    """What to say and to show of a played picture.

    Attributes:
        lines: one sentence for each pair of cards, the most certain first.
        picture: uint8 [H, W, 3] BGR, the cards with the shared symbol of the first pair marked.
        answered: whether the first pair has an answer.
    """

    lines: List[str]
    picture: Array
    answered: bool


def play_images(detector: Detector, images: List[Array]) -> Outcome:
    """Play two pictures of one card each, or the cards that lie on one picture of a table."""
    if len(images) == 2:
        first, second = (read_photo_of_card(detector, image) for image in images)
        match = play(detector.bundle, first, second)
        picture = draw_match(images[0], images[1], match, detector.bundle.labels)
        return Outcome([describe(match, detector.bundle)], picture, match.no_answer is None)
    return _told(images[0], play_table(detector, images[0]), detector.bundle)


def _told(image: Array, table: Table, bundle: Bundle) -> Outcome:
    """Say and show what a table comes to."""
    if not table.rounds:
        picture = draw_table(image, table.cards, None, bundle.labels, table.no_answer)
        return Outcome(["no answer: {}".format(table.no_answer)], picture, answered=False)
    lines = []
    for played in table.rounds:
        pair = "cards {} and {} from the left: ".format(played.first + 1, played.second + 1)
        lines.append((pair if len(table.cards) > 2 else "") + describe(played.match, bundle))
    best = table.rounds[0].match
    return Outcome(lines, draw_table(image, table.cards, best, bundle.labels), best.no_answer is None)


def describe(match: Match, bundle: Bundle) -> str:
    """Say the answer, its probability, the runner-up, and a deck that was doubted; or why there is none."""
    labels = bundle.labels
    if match.no_answer is not None:
        return "no answer: {}".format(match.no_answer)
    said = "{} ({:.1%}; next {} {:.1%})".format(
        labels[match.symbol], match.probability, labels[match.runner_up], match.runner_up_probability
    )
    doubted = bundle.deck is not None and match.rule == JOINT
    return said + (", without the deck, which these cards are not of" if doubted else "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    what = "a picture of a table, two of a card each, a folder of pictures, a video, or a camera as in serve"
    parser.add_argument("source", nargs="+", help=what)
    out = "picture (.jpg, .png), folder or video (.avi, .mp4) to write (match.jpg, matches or match.avi)"
    parser.add_argument("--out", default=None, help=out)
    parser.add_argument("--bundle", default=None, help="folder of the bundle (the one that was fetched last)")
    parser.add_argument("--seconds", type=float, default=None, help="end a camera's video after so long")


def run(arguments: argparse.Namespace) -> int:
    """Play what was named and say what was seen."""
    names = arguments.source
    if len(names) > 2:
        raise SourceError(names[2], "is one too many: name one source, or two pictures of a card each")
    pictures, folder = len(names) == 2 or names[0].lower().endswith(PICTURES), os.path.isdir(names[0])
    out = arguments.out or ("match.jpg" if pictures else "matches" if folder else "match.avi")
    if os.path.realpath(out) in [os.path.realpath(name) for name in names]:
        raise OutputError(out, "is what is played, and would be lost: name another with --out")
    bundle = load_bundle(arguments.bundle or home.bundle_folder())
    if pictures:
        images = [read_picture(name) for name in names]
        with _detector(bundle) as detector:
            _finish(play_images(detector, images), out)
    elif folder:
        paths = pictures_in(names[0])
        with _detector(bundle) as detector:
            for path in paths:
                target = os.path.join(out, os.path.basename(path))
                _finish(play_images(detector, [read_picture(path)]), target)
    else:
        if not is_camera(names[0]) and not os.path.isfile(names[0]):
            raise SourceError(names[0], "does not exist: name a camera, a video, a picture or a folder")
        source = open_source(names[0]) if is_camera(names[0]) else open_video(names[0])
        try:
            with _detector(bundle) as detector:
                _film(detector, source, out, arguments.seconds)
        finally:
            source.close()
    return 0


@contextmanager
def _detector(bundle: Bundle) -> Iterator[Detector]:
    with SharedRunner(bundle, *runtime_order(bundle)) as runner:
        yield Detector(bundle, runner)


def _finish(outcome: Outcome, path: str) -> None:
    write_picture(path, outcome.picture)
    for line in outcome.lines:
        sys.stdout.write("{}\n".format(line))
    sys.stdout.write("picture: {}\n".format(path))


def write_picture(path: str, picture: Array) -> None:
    """Write a picture, whole or not at all, in the format of its suffix.

    Raises:
        OutputError: the suffix is of no picture, or the file cannot be written.
    """
    try:
        done, encoded = cv2.imencode(os.path.splitext(path)[1].lower() or ".jpg", picture)
    except cv2.error:
        done = False
    if not done:
        raise OutputError(path, "no picture can be written so: name it .jpg or .png")
    with _replaced(path) as side, open(side, "wb") as stream:
        stream.write(encoded.tobytes())


def _film(detector: Detector, source: Source, path: str, seconds: Optional[float]) -> None:
    """Play every frame and write the video; Ctrl-C ends it like its last frame does."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in CODECS:
        raise OutputError(path, "no video can be written so: name it {}".format(" or ".join(sorted(CODECS))))
    begun, frames, said, follower = time.monotonic(), 0, "", Follower(detector)
    fps = 1.0 / source.interval if source.interval else CAMERA_FPS
    with _replaced(path) as side:
        writer = None
        try:
            while seconds is None or time.monotonic() - begun < seconds:
                image = source.read()
                if image is None:
                    break
                outcome = _told(image, follower.play(image, frames / fps), detector.bundle)
                if writer is None:
                    size = outcome.picture.shape[1::-1]
                    code = cv2.VideoWriter_fourcc(*CODECS[suffix])  # type: ignore[attr-defined]
                    writer = cv2.VideoWriter(side, code, fps, size)
                    if not writer.isOpened():
                        raise OutputError(path, "OpenCV cannot write this kind of video here: name it .avi")
                writer.write(outcome.picture)
                answer = outcome.lines[0].partition(" (")[0]
                if outcome.answered and answer != said:
                    said = answer
                    sys.stdout.write("{:8.2f} s  {}\n".format(frames / fps, outcome.lines[0]))
                frames += 1
        except KeyboardInterrupt:
            pass
        finally:
            if writer is not None:
                writer.release()
        if not frames:
            raise OutputError(path, "there was no frame to write")
    sys.stdout.write("video: {} ({} frames)\n".format(path, frames))


@contextmanager
def _replaced(path: str) -> Iterator[str]:
    """Yield a path of the same suffix to write to; it takes the place of `path` when all went well.

    A link stays, and where it leads is replaced.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    side = os.path.join(folder, ".new." + name)
    try:
        os.makedirs(folder, exist_ok=True)
        yield side
        os.replace(side, target)
    except OSError as error:
        raise OutputError(path, "cannot be written ({})".format(error.strerror or error)) from None
    finally:
        if os.path.exists(side):
            os.remove(side)
