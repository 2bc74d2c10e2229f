"""Pauses between tries, and what a server may ask for; whole exchanges are in test_labelbox."""

import datetime as dt
from email.utils import format_datetime

import pytest
import requests

from dobble.sources.http_retries import Patience, asked_pause


@pytest.mark.parametrize(("attempt", "longest"), [(1, 2.0), (2, 4.0), (3, 8.0), (4, 10.0), (40, 10.0)])
def test_pauses_double_up_to_a_limit_and_differ(attempt, longest):
    patience = Patience(pause=2.0, longest_pause=10.0)
    pauses = {patience.seconds(attempt) for _ in range(50)}
    assert all(longest / 2 <= pause <= longest for pause in pauses)
    assert len(pauses) > 40


def test_a_server_that_asks_for_more_gets_it():
    patience = Patience(pause=2.0, longest_pause=10.0)
    assert patience.seconds(1, asked=60.0) == 60.0
    assert patience.seconds(4, asked=1.0) >= 5.0


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0", 0.0), ("soon", 0.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)]
)
def test_what_the_server_asks_for_is_read(header, seconds):
    response = requests.Response()
    response.headers["Retry-After"] = header
    assert asked_pause(response) == seconds


def test_a_date_to_wait_for_is_read():
    response = requests.Response()
    then = dt.datetime.now(tz=dt.UTC) + dt.timedelta(seconds=90)
    response.headers["Retry-After"] = format_datetime(then, usegmt=True)
    assert 80 <= asked_pause(response) <= 91


def test_no_header_asks_for_nothing():
    assert asked_pause(requests.Response()) == 0.0
