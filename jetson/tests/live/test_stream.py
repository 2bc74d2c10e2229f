import threading
import time

import numpy as np
import pytest

from jetson.errors import RequestError
from jetson.live.latest import Latest
from jetson.live.stream import Places, Stream


def test_whoever_is_slow_gets_the_newest_value_only():
    latest = Latest()
    assert latest.newest() is None
    assert latest.wait_newer(0, 0.01) is None
    for value in "abc":
        latest.put(value)
    assert latest.wait_newer(0, 0.01) == (3, "c")
    assert latest.wait_newer(3, 0.01) is None
    threading.Timer(0.05, latest.put, "d").start()
    assert latest.wait_newer(3, 120) == (4, "d")


def test_a_picture_is_encoded_once_for_all_viewers_and_only_while_somebody_watches():
    fetched, seen = [], [[], [], []]
    taken = threading.Condition()
    left = threading.Event()

    def fetch(number, timeout):
        with taken:  # a picture comes when all three viewers have the one before
            if not left.is_set() and not taken.wait_for(
                lambda: sum(map(len, seen)) >= 3 * len(fetched), timeout
            ):
                return None
        fetched.append(number)
        return number + 1, np.full((72, 128, 3), number % 256, np.uint8)

    stream = Stream(fetch, fps=50, width=64)
    time.sleep(0.2)
    assert fetched == []

    def watch(pictures):
        viewer = stream.watch()
        while len(pictures) < 20:
            pictures.append(next(viewer))
            with taken:
                taken.notify_all()
        viewer.close()

    threads = [threading.Thread(target=watch, args=(pictures,)) for pictures in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left.set()
    with taken:
        taken.notify_all()
    before = len(fetched)
    assert len(set(seen[0] + seen[1] + seen[2])) <= before
    assert 2 * before < 3 * 20  # each of the three got nearly all of them
    time.sleep(0.2)
    assert len(fetched) <= before + 1  # the one that was on its way


def test_viewers_run_at_no_more_than_the_rate_that_was_set():
    def fetch(number, timeout):
        return number + 1, np.zeros((72, 128, 3), np.uint8)

    viewer = Stream(fetch, fps=50, width=64).watch()
    next(viewer)
    begun = time.monotonic()
    for _ in range(10):
        next(viewer)
    assert time.monotonic() - begun > 0.15
    viewer.close()


def test_places_are_bounded_and_freed_however_a_viewer_leaves():
    places = Places(1)
    with places.one():
        with pytest.raises(RequestError, match="1 viewers watch already") as refused, places.one():
            pass
        assert refused.value.status == 503
    with pytest.raises(ConnectionResetError), places.one():
        raise ConnectionResetError
    with places.one():
        assert places.taken == 1
    assert places.taken == 0
