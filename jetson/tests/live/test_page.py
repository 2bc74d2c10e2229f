"""The page in a browser: it shows what lies under the camera, and plays."""

import os
import shutil
import time

import cv2
import numpy as np
import pytest
from grey_server import Served, grey_table, jpeg

playwright = pytest.importorskip("playwright.sync_api", reason="the browser's driver is not for Python 3.6")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 240000  # milliseconds
MARKED = """
() => {
    const all = (kind) => [...document.querySelectorAll("#overlay " + kind)];
    return [all("ellipse").length, all("rect.box").length, ...all("text").map((text) => text.textContent)];
}
"""


class Cards:
    """The two cards under the camera, which change when a test says so."""

    def __init__(self, folder, tables):
        self.path = folder / "table.jpg"
        self._side = folder / "next"
        self._tables = tables
        self.name = None
        self.change()

    def change(self):
        """Lay down the other pair; return the name of its symbol."""
        self.name = "ghost" if self.name == "dog" else "dog"
        self._side.write_bytes(self._tables[self.name])
        os.replace(str(self._side), str(self.path))
        return self.name


@pytest.fixture(scope="module")
def cards(draw_table, tmp_path_factory):
    pairs = {"dog": (1, 5), "ghost": (4, 2)}
    tables = {name: jpeg(grey_table(draw_table, *pair)) for name, pair in pairs.items()}
    return Cards(tmp_path_factory.mktemp("page"), tables)


@pytest.fixture(scope="module")
def served(cards, grey_bundle, tmp_path_factory):
    """A server that looks at those cards ten times in a second."""
    arguments = ["--source", str(cards.path), "--bundle", grey_bundle, "--hold", "0.1"]
    server = Served(arguments, DOBBLE_DEVICE_HOME=str(tmp_path_factory.mktemp("home")))
    server.until(lambda state: state["round"])
    yield server
    assert server.stop()[0] == 0


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, served):
    """Return a function that opens the page; what the pages complain about fails the test."""
    complaints, pages = [], []

    def complain(said):
        complaints.append(str(said))

    def open_page(width=1360, height=860):
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: complain(message.text) if message.type != "log" else None)
        page.on("pageerror", complain)
        page.on("requestfailed", lambda request: complain(request.url) if not page.is_closed() else None)
        page.goto(served.address)
        pages.append(page)
        return page

    yield open_page
    found = list(complaints)
    for page in pages:
        page.close()
    assert found == []


def shown(page, place="#picture"):
    """Return what the browser shows in a place, as pixels."""
    return cv2.imdecode(np.frombuffer(page.locator(place).screenshot(), np.uint8), cv2.IMREAD_COLOR)


def wait_for_name(page, name):
    page.wait_for_function("name => document.getElementById('name').textContent === name", arg=name)


def wait_until_shown(page, like):
    """Wait for a picture, which travels by another connection than the state does; return it."""
    end = time.monotonic() + PATIENCE / 1000
    while not like(shown(page)):
        assert time.monotonic() < end, "the picture never came"
        page.wait_for_timeout(50)
    return shown(page)


def let_the_machine_wait(page):
    """Give the player as long as a slow computer may need."""
    page.locator("#slider").evaluate("slider => { slider.max = slider.value = 600; slider.oninput(); }", None)


def test_the_picture_moves_and_the_match_is_named_and_marked_on_both_cards(visit, cards):
    page = visit()
    wait_for_name(page, cards.name)
    before = wait_until_shown(page, lambda picture: picture.std() > 20)
    for _ in range(2):
        name = cards.change()
        wait_for_name(page, name)
        assert page.evaluate(MARKED) == [2, 2, name, name]
        before = wait_until_shown(page, lambda now, old=before: np.abs(now.astype(int) - old).mean() > 0.5)
    assert "% sure" in page.locator("#details").text_content()


def test_last_matches_and_charts_fill(visit, cards):
    page = visit()
    for _ in range(2):
        wait_for_name(page, cards.change())
    page.wait_for_function("() => document.querySelectorAll('#rounds li b').length >= 2")
    assert set(page.locator("#rounds li b").all_text_contents()) == {"dog", "ghost"}
    page.wait_for_function(
        "() => [...document.querySelectorAll('#rounds img')].every(image => image.naturalWidth === 224)"
    )
    page.wait_for_function(
        "() => document.querySelector('[data-key=fps] path:last-child').getAttribute('d').includes('L')"
    )
    page.wait_for_function("() => parseFloat(document.querySelector('[data-key=fps] b').textContent) > 0")
    assert "onnxruntime-cpu" in page.locator("#runner").text_content()


def test_who_hits_the_space_bar_first_scores_and_a_wrong_answer_gives_the_point_away(visit, cards):
    page = visit()
    let_the_machine_wait(page)
    wait_for_name(page, cards.name)
    page.click("#play")
    page.keyboard.press("Space")  # no round yet: nothing happens
    name = cards.change()
    page.wait_for_selector("#answer.asking")
    assert page.locator("#overlay rect.box").count() == 0  # the machine holds its answer back
    assert page.locator("#you").text_content() == "0"
    page.keyboard.press("Space")
    page.keyboard.press("Space")  # a second time counts nothing
    page.wait_for_selector("#answer.you")
    assert page.locator("#name").text_content() == name
    assert (page.locator("#you").text_content(), page.locator("#machine").text_content()) == ("1", "0")
    assert "Your best time" in page.locator("#best").text_content()
    page.click("#wrong")
    assert (page.locator("#you").text_content(), page.locator("#machine").text_content()) == ("0", "1")
    page.click("#again")
    assert (page.locator("#you").text_content(), page.locator("#machine").text_content()) == ("0", "0")


def test_the_machine_answers_when_its_patience_ends(visit, cards):
    page = visit()
    page.locator("#slider").evaluate("slider => { slider.value = 1; slider.oninput(); }", None)
    wait_for_name(page, cards.name)
    page.click("#play")
    cards.change()
    page.wait_for_selector("#answer.machine")
    assert page.locator("#machine").text_content() == "1"
    page.wait_for_function("() => document.querySelectorAll('#overlay rect.box').length === 2")


def test_two_viewers_see_the_same_and_on_a_phone_everything_fits(visit, cards):
    desk, phone = visit(), visit(390, 844)
    for page in (desk, phone):
        wait_for_name(page, cards.name)
        wait_until_shown(page, lambda picture: picture.std() > 20)  # not one colour
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    let_the_machine_wait(phone)
    phone.click("#play")
    cards.change()
    phone.wait_for_selector("#answer.asking")
    button = phone.locator("#mine").bounding_box()
    assert button["height"] >= 44
    assert button["y"] + button["height"] <= 844  # within reach without scrolling
    phone.locator("#mine").click()
    phone.wait_for_selector("#answer.you")
