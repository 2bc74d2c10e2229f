"""Turns the name of a camera, video, folder or picture into frames, one `read` after the other."""

import os
import re
from typing import Any, List, Optional

import cv2

from jetson.arrays import Array
from jetson.errors import PictureError, SourceError
from jetson.play.pictures import LARGEST, read_picture

WIDTH, HEIGHT = 1280, 720  # what a camera is asked for
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
CSI = (
    "nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM), width={width}, height={height},"
    " framerate={fps}/1 ! nvvidconv flip-method=0 ! video/x-raw, format=BGRx ! videoconvert !"
    " video/x-raw, format=BGR ! appsink drop=1 max-buffers=1 sync=false"
)


class Source:
    """Gives frames from one thread.

    Attributes:
        interval: seconds from one frame to the next; 0 where the device itself sets the pace.
    """

    interval = 0.0

    def read(self) -> Optional[Array]:
        """Return the next frame, uint8 [H, W, 3] BGR, or None: it has ended or was lost."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the device back."""


class Pictures(Source):
    """Shows pictures in turn, each for several frames, for ever."""

    def __init__(self, paths: List[str], fps: float, hold: float) -> None:
        self.interval = 1.0 / fps
        self._paths = paths
        self._repeat = max(1, round(hold * fps))
        self._turn = 0
        self._picture: Optional[Array] = None

    def read(self) -> Optional[Array]:
        """See `Source.read`; a file that is no picture is passed over.

        Raises:
            SourceError: none of the files is one.
        """
        if self._turn % self._repeat == 0:
            self._picture = self._next_picture()
        self._turn += 1
        return self._picture

    def _next_picture(self) -> Array:
        problem = ""
        for _ in self._paths:
            path = self._paths[self._turn // self._repeat % len(self._paths)]
            try:
                return read_picture(path)
            except PictureError as error:
                problem = str(error)
                self._turn += self._repeat
        raise SourceError(os.path.dirname(self._paths[0]), "holds no picture to show ({})".format(problem))


class Capture(Source):
    """Reads what OpenCV can open: a camera, a GStreamer pipeline or a video file."""

    def __init__(self, capture: Any, interval: float = 0.0, again: bool = False) -> None:
        self.interval = interval
        self._capture = capture
        self._again = again

    def read(self) -> Optional[Array]:
        """See `Source.read`; a video that runs for ever begins again at its end."""
        there, frame = self._capture.read()
        if not there and self._again:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            there, frame = self._capture.read()
        return frame if there else None

    def close(self) -> None:
        """See `Source.close`."""
        self._capture.release()


def open_source(name: str, fps: float = 30.0, hold: float = 6.0) -> Source:
    """Open a source that goes on for ever: pictures and videos begin again.

    Args:
        name: `0` or `/dev/video0` for a USB camera, `csi` or `csi:1` for a camera on the board's ribbon, a
            GStreamer pipeline (with a `!`), or the path of a video, a picture or a folder of pictures.
        fps: asked of a camera, or given by pictures; a video has its own.
        hold: seconds for which each picture is shown.

    Raises:
        SourceError: it does not exist or gives no frames.
    """
    if "!" in name or re.match(r"csi(:\d+)?$", name):
        return _open_pipeline(name, fps)
    if is_camera(name):
        return _open_usb(name, fps)
    try:
        os.stat(name)
    except (FileNotFoundError, NotADirectoryError):
        cure = "name a camera, a pipeline, a video, a picture or a folder"
        raise SourceError(name, "does not exist: " + cure) from None
    except OSError as error:
        raise SourceError(name, "cannot be read ({})".format(error.strerror)) from None
    if os.path.isdir(name):
        return Pictures(pictures_in(name), fps, hold)
    if name.lower().endswith(PICTURES):
        return Pictures([name], fps, hold)
    return open_video(name, again=True)


def is_camera(name: str) -> bool:
    """Tell a camera or pipeline, which has no end, from files."""
    return "!" in name or re.match(r"(\d+|/dev/video\d+|csi(:\d+)?)$", name) is not None


def open_video(path: str, again: bool = False) -> Capture:
    """Open a video file.

    Raises:
        SourceError: OpenCV cannot read it.
    """
    capture = cv2.VideoCapture(path)
    if not capture.isOpened():
        raise SourceError(path, "is no video or picture that OpenCV can read here")
    _check_pixels(path, capture)
    fps = capture.get(cv2.CAP_PROP_FPS)
    return Capture(capture, interval=1.0 / fps if 1 <= fps <= 240 else 1 / 30.0, again=again)


def pictures_in(folder: str) -> List[str]:
    """Return the paths of a folder's pictures in the order of their names.

    Raises:
        SourceError: there is none, or the folder cannot be read.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if name.lower().endswith(PICTURES))
    except OSError as error:
        raise SourceError(folder, "cannot be read ({})".format(error.strerror)) from None
    if not names:
        raise SourceError(folder, "holds no picture ({})".format(", ".join(PICTURES)))
    return [os.path.join(folder, name) for name in names]


def _open_usb(name: str, fps: float) -> Source:
    path = name if name.startswith("/dev/") else "/dev/video" + name
    if not os.path.exists(path):  # else OpenCV fills the log, once for each try
        raise SourceError(path, "does not exist: plug the camera in, or name another --source")
    capture = cv2.VideoCapture(int(path[len("/dev/video") :]), cv2.CAP_V4L2)
    if not capture.isOpened():
        raise SourceError(path, "cannot be opened: another program has it, or you are not in group video")
    for setting, value in (
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*"MJPG")),  # type: ignore[attr-defined]
        (cv2.CAP_PROP_FRAME_WIDTH, WIDTH),
        (cv2.CAP_PROP_FRAME_HEIGHT, HEIGHT),
        (cv2.CAP_PROP_FPS, fps),
        (cv2.CAP_PROP_BUFFERSIZE, 1),
    ):
        capture.set(setting, value)
    _check_pixels(path, capture)
    return Capture(capture)


def _open_pipeline(name: str, fps: float) -> Source:
    pipeline = name
    if "!" not in name:
        sensor = int(name[4:] or 0)
        pipeline = CSI.format(sensor=sensor, width=WIDTH, height=HEIGHT, fps=round(fps))
    capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        problem = "GStreamer gives no frames: use JetPack's own OpenCV, and end a pipeline in appsink"
        raise SourceError(name, problem)
    _check_pixels(name, capture)
    return Capture(capture)


def _check_pixels(name: str, capture: Any) -> None:
    """Refuse frames that would take more memory than uploads may."""
    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > LARGEST:
        capture.release()
        problem = "gives frames of {} x {} pixels: scale them down to {} million at most"
        raise SourceError(name, problem.format(width, height, LARGEST // 1000000))
