"""What a camera, a folder or a picture can do to the thread that reads it."""

import os
import struct
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from grey_server import Served, grey_table, jpeg

from jetson.errors import PictureError, PictureTooLargeError, SourceError
from jetson.live.camera import Camera
from jetson.play.frames import Pictures, Source, open_source, open_video
from jetson.play.pictures import LARGEST, SCANNED, check_size, decode, read_picture

LIMIT = 120.0  # seconds, on a machine however slow


def wait_for(condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def lying_jpeg(width, height):
    """A small JPEG whose header promises other pixels."""
    data = bytearray(jpeg(np.full((16, 16, 3), 90, np.uint8)))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


class Grey(Source):
    interval = 0.01

    def read(self):
        return np.full((8, 8, 3), 90, np.uint8)


@pytest.mark.parametrize(
    "error",
    [
        OSError(5, "Input/output error"),
        PermissionError(13, "Permission denied"),
        MemoryError(),
        RuntimeError("the driver said no"),
        cv2.error("OpenCV", 1, "too many pixels", "decode", "grfmt.cpp", 1),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("place", ["open", "read", "close"])
def test_a_camera_goes_on_after_any_error_of_its_driver(error, place, monkeypatch, capfd):
    monkeypatch.setattr("jetson.live.camera.RETRY_SECONDS", 0.05)
    left = [error, error]

    def fail(where):
        if where == place and left:
            raise left.pop()

    class Driver(Grey):
        def read(self):
            fail("read")
            return None if place == "close" and left else super().read()

        def close(self):
            fail("close")

    def opener():
        fail("open")
        return Driver()

    camera = Camera("driver", opener)
    wait_for(lambda: camera.captured > 3)
    assert (left, camera.errors, camera.problem) == ([], 2, None)
    assert camera.close()
    assert "camera: {}".format(type(error).__name__) in capfd.readouterr().err


@pytest.fixture
def stranger(tmp_path_factory):
    """Be a user whom permissions stop; a folder that he may see."""
    folder = tmp_path_factory.mktemp("seen") / "tables"
    folder.mkdir()
    (folder / "table.png").write_bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    own = [one for one in (folder, *folder.parents) if Path(tempfile.gettempdir()) in one.parents]
    for one in own if os.geteuid() == 0 else ():
        one.chmod(0o755)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(was)


@pytest.mark.parametrize("above", [False, True], ids=["itself", "the one above"])
def test_a_folder_that_cannot_be_read_for_a_while_is_shown_again(above, stranger):
    was = os.geteuid()
    closed = stranger.parent if above else stranger

    def allow(mode):
        if was == 65534:
            os.seteuid(0)
        closed.chmod(mode)
        os.seteuid(was)

    allow(0)
    with pytest.raises(SourceError, match=r"cannot be read \(Permission denied\)"):
        open_source(str(stranger))
    camera = Camera("folder", lambda: open_source(str(stranger)))
    try:
        wait_for(lambda: camera.problem and "Permission denied" in camera.problem)
        allow(0o755)
        wait_for(lambda: camera.captured and camera.problem is None)
        assert camera.errors == 0
    finally:
        assert camera.close()


def test_pictures_whose_headers_lie_are_passed_over(tmp_path):
    for name, content in (
        ("a.jpg", lying_jpeg(65500, 65500)),
        ("b.jpg", lying_jpeg(20000, 20000)),
        ("c.jpg", b"\xff\xd8\xff\xc0\x00"),
        ("d.bmp", b"BM" + bytes(12) + struct.pack("<Iii", 40, 1 << 30, -(1 << 30)) + bytes(30)),
        ("e.png", b""),
    ):
        (tmp_path / name).write_bytes(content)
    source = Pictures([str(path) for path in sorted(tmp_path.iterdir())], fps=30, hold=0.1)
    with pytest.raises(SourceError, match=r"holds no picture to show .*e\.png"):
        source.read()
    good = np.full((16, 16, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "e.png"), good)
    for _ in range(7):
        assert (source.read() == good).all()


def test_a_server_shows_the_good_picture_of_a_folder_and_takes_no_memory_for_the_bad_ones(
    grey_bundle, draw_table, tmp_path
):
    (tmp_path / "a.jpg").write_bytes(lying_jpeg(20000, 20000))
    (tmp_path / "b.jpg").write_bytes(lying_jpeg(65500, 65500))
    (tmp_path / "c.jpg").write_bytes(jpeg(grey_table(draw_table, 1, 5)))
    served = Served(["--source", str(tmp_path), "--bundle", grey_bundle, "--hold", "0.1"])
    try:
        served.until(lambda state: state["match"] and state["match"]["symbol"] == "dog")
        (tmp_path / "c.jpg").rename(tmp_path / "c.gone")
        health = served.until(lambda values: not values["healthy"], "/healthz")
        served.until(lambda values: "holds no picture" in (values["problem"] or ""), "/healthz")
        assert health["problem"]
        (tmp_path / "c.gone").rename(tmp_path / "c.jpg")
        served.until(lambda values: values["healthy"], "/healthz")
        with open("/proc/{}/status".format(served.process.pid), encoding="ascii") as lines:
            peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        assert peak < 600000  # kB; one of 20,000 x 20,000 decodes to 1,200,000
    finally:
        code, _, said = served.stop()
    assert code == 0, said
    assert "Traceback" not in said


def test_a_video_is_bounded_in_pixels_as_pictures_are(tmp_path, monkeypatch):
    path = str(tmp_path / "video.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    assert open_video(path).read().shape == (48, 64, 3)
    monkeypatch.setattr("jetson.play.frames.LARGEST", 64 * 48 - 1)
    with pytest.raises(SourceError, match="gives frames of 64 x 48 pixels"):
        open_video(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_size_is_read_from_the_header_of_every_format(suffix, tmp_path):
    picture = np.full((30, 50, 3), 90, np.uint8)
    path = str(tmp_path / ("picture" + suffix))
    assert cv2.imwrite(path, picture)
    with open(path, "rb") as stream:
        assert check_size(stream.read(), path) == (50, 30)
    assert read_picture(path).shape == picture.shape


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (b"VP8L" + bytes(4) + b"\x2f" + struct.pack("<I", 299 | 199 << 14), (300, 200)),
        (b"VP8X" + bytes(8) + struct.pack("<I", 299)[:3] + struct.pack("<I", 199)[:3], (300, 200)),
        (b"VP8 " + bytes(7) + b"\x9d\x01\x2a" + struct.pack("<HH", 300, 200), (300, 200)),
    ],
    ids=["lossless", "extended", "lossy"],
)
def test_size_of_a_webp_is_read_from_its_three_headers(head, size):
    assert check_size(b"RIFF" + bytes(4) + b"WEBP" + head + bytes(8), "here") == size


def test_a_picture_of_too_many_pixels_or_scans_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "large.jpg"
    path.write_bytes(lying_jpeg(20000, 20000))
    with pytest.raises(PictureTooLargeError, match="has 20000 x 20000 pixels: scale it down to 25 million"):
        read_picture(str(path))
    assert check_size(lying_jpeg(5000, 5000), "here") == (5000, 5000)
    assert LARGEST == 5000 * 5000
    # Each scan of a progressive JPEG goes over all pixels and may take a few bytes only.
    scans = lying_jpeg(5000, 5000) + 13 * b"\xff\xda"
    with pytest.raises(PictureTooLargeError, match="has 14 scans, too many for its 5000 x 5000 pixels"):
        check_size(scans, "here")
    check_size(lying_jpeg(500, 500) + 13 * b"\xff\xda", "here")
    with pytest.raises(PictureError, match="is no JPEG"):
        check_size(b"II*\0", "here")


def progressive_bomb(side, scans):
    """A JPEG whose last scan, which is cheap to send and costly to decode, comes again and again."""
    flat = np.full((side, side, 3), 90, np.uint8)
    data = cv2.imencode(".jpg", flat, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * (scans - data.count(b"\xff\xda")) + data[-2:]


def processor_seconds(data):
    begun = time.process_time()
    check_size(data, "here")
    decode(data, "here")
    return time.process_time() - begun


def test_the_costliest_jpeg_that_is_decoded_takes_not_much_longer_than_the_largest():
    largest = cv2.imencode(".jpg", np.full((5000, 5000, 3), 90, np.uint8))[1].tobytes()
    scans = SCANNED // 1000**2
    with pytest.raises(PictureTooLargeError, match="save it again as a baseline JPEG"):
        check_size(progressive_bomb(1000, scans + 1), "here")
    bomb = progressive_bomb(1000, scans)
    assert len(bomb) < 20000  # bytes; within the 16 MiB of an upload a million scans would be
    assert processor_seconds(bomb) < 12 * processor_seconds(largest)
