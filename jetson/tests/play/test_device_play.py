"""Playing files into files, by the verb."""

import os
import subprocess
import sys

import cv2
import pytest
from grey_server import ROOT, grey_table

PROGRAM = os.path.join(ROOT, "jetson", "tests", "grey_server.py")


@pytest.fixture
def play(grey_bundle, tmp_path):
    """Return a function that runs the verb in a folder of its own and returns the process."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, PROGRAM, "play", "--bundle", grey_bundle] + list(arguments),
            cwd=str(tmp_path),
            env=dict(os.environ, PYTHONPATH=ROOT, DOBBLE_DEVICE_HOME=str(tmp_path / "home")),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            timeout=600,
            check=False,
        )

    return run


def test_a_folder_becomes_a_folder_of_annotated_pictures(play, draw_table, tmp_path):
    (tmp_path / "tables").mkdir()
    for number, cards in enumerate(((1, 5), (4, 2), ())):
        cv2.imwrite(str(tmp_path / "tables" / "{}.png".format(number)), grey_table(draw_table, *cards))
    done = play("tables", "--out", "played")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(" (")[0] for line in lines[0:4:2]] == ["dog", "ghost"]
    assert lines[4].startswith("no answer: no card found")
    assert sorted(os.listdir(str(tmp_path / "played"))) == ["0.png", "1.png", "2.png"]
    assert cv2.imread(str(tmp_path / "played" / "0.png")).shape == (792, 1280, 3)  # and a banner of 72 rows


def test_a_link_in_the_place_of_the_picture_stays(play, draw_table, tmp_path):
    cv2.imwrite(str(tmp_path / "table.png"), grey_table(draw_table, 1, 5))
    (tmp_path / "disk").mkdir()
    (tmp_path / "match.jpg").symlink_to("disk/match.jpg")
    done = play("table.png")
    assert done.returncode == 0, done.stderr
    assert os.readlink(str(tmp_path / "match.jpg")) == "disk/match.jpg"
    assert os.listdir(str(tmp_path / "disk")) == ["match.jpg"]


def test_a_video_becomes_a_video_of_as_many_frames(play, draw_table, tmp_path):
    code = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(tmp_path / "video.avi"), code, 25, (1280, 720))
    for cards in ((1, 5), (4, 2)):
        for _ in range(5):
            writer.write(grey_table(draw_table, *cards))
    writer.release()
    done = play("video.avi", "--out", "played.avi")
    assert done.returncode == 0, done.stderr
    assert "0.00 s  dog" in done.stdout
    assert "0.20 s  ghost" in done.stdout
    assert done.stdout.splitlines()[-1] == "video: played.avi (10 frames)"
    video = cv2.VideoCapture(str(tmp_path / "played.avi"))
    assert (video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)) == (10, 25)
    assert video.read()[1].shape == (792, 1280, 3)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["missing.jpg"], "missing.jpg: does not exist"),
        (["missing"], "missing: does not exist: name a camera"),
        (["a.jpg", "b.jpg", "c.jpg"], "c.jpg: is one too many"),
        (["/dev/video99"], "/dev/video99: does not exist: plug the camera in"),
        (["text.avi"], "text.avi: is no video or picture"),
        (["table.png", "--out", "played.txt"], "played.txt: no picture can be written so"),
        (["table.png", "--out", "table.png/played.png"], "cannot be written"),
        (["table.png", "--out", "./table.png"], "./table.png: is what is played, and would be lost"),
        ([".", "--out", "."], ".: is what is played, and would be lost"),
    ],
)
def test_what_cannot_be_played_is_one_line_and_leaves_nothing(play, draw_table, tmp_path, arguments, problem):
    cv2.imwrite(str(tmp_path / "table.png"), grey_table(draw_table, 1, 5))
    (tmp_path / "text.avi").write_text("no video")
    done = play(*arguments)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert problem in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(str(tmp_path))) == ["table.png", "text.avi"]
