"""The page in a browser: it shows what lies under the camera, and plays."""

import shutil

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
PATIENCE = 20000  # milliseconds
MARKED = """
() => {
    const all = (kind) => [...document.querySelectorAll("#overlay " + kind)];
    return [all("ellipse").length, all("rect.box").length, ...all("text").map((text) => text.textContent)];
}
"""


@pytest.fixture(scope="module")
def served(draw_table, grey_bundle, tmp_path_factory):
    """A server whose pair of cards changes every three seconds: dog, ghost, dog, ..."""
    folder = tmp_path_factory.mktemp("page")
    for number, cards in enumerate(((1, 5), (4, 2))):
        (folder / "table{}.jpg".format(number)).write_bytes(jpeg(grey_table(draw_table, *cards)))
    arguments = ["--source", str(folder), "--bundle", grey_bundle, "--hold", "3"]
    server = Served(arguments, DOBBLE_DEVICE_HOME=str(folder / "home"))
    server.until(lambda state: state["match"])
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


def test_the_picture_moves_and_the_match_is_named_and_marked_on_both_cards(visit):
    page = visit()
    pictures = []
    wait_for_name(page, "ghost")
    for name in ("dog", "ghost"):
        wait_for_name(page, name)
        assert page.evaluate(MARKED) == [2, 2, name, name]
        page.wait_for_timeout(500)  # the picture travels by another connection than the name
        pictures.append(shown(page))
    assert pictures[0].shape == pictures[1].shape
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 0.5
    assert "% sure" in page.locator("#details").text_content()


def test_last_matches_and_charts_fill(visit):
    page = visit()
    page.wait_for_function("() => document.querySelectorAll('#rounds li b').length >= 2")
    assert set(page.locator("#rounds li b").all_text_contents()) == {"dog", "ghost"}
    page.wait_for_function(
        "() => [...document.querySelectorAll('#rounds img')].every(image => image.naturalWidth === 224)"
    )
    page.wait_for_function(
        "() => document.querySelector('[data-key=fps] path:last-child').getAttribute('d').includes('L')"
    )
    assert float(page.locator("[data-key=fps] b").text_content()) > 0
    assert "onnxruntime-cpu" in page.locator("#runner").text_content()


def test_who_hits_the_space_bar_first_scores_and_a_wrong_answer_gives_the_point_away(visit):
    page = visit()
    page.click("#play")
    page.keyboard.press("Space")  # no round yet: nothing happens
    page.wait_for_selector("#answer.asking")
    assert page.locator("#overlay rect.box").count() == 0  # the machine holds its answer back
    assert page.locator("#you").text_content() == "0"
    page.keyboard.press("Space")
    page.keyboard.press("Space")  # a second time counts nothing
    page.wait_for_selector("#answer.you")
    assert page.locator("#name").text_content() in ("dog", "ghost")
    assert (page.locator("#you").text_content(), page.locator("#machine").text_content()) == ("1", "0")
    assert "Your best time" in page.locator("#best").text_content()
    page.click("#wrong")
    assert (page.locator("#you").text_content(), page.locator("#machine").text_content()) == ("0", "1")
    page.click("#again")
    assert (page.locator("#you").text_content(), page.locator("#machine").text_content()) == ("0", "0")


def test_the_machine_answers_when_its_patience_ends(visit):
    page = visit()
    page.locator("#slider").evaluate("slider => { slider.value = 1; slider.oninput(); }", None)
    page.click("#play")
    page.wait_for_selector("#answer.machine")
    assert page.locator("#machine").text_content() == "1"
    assert page.locator("#overlay rect.box").count() == 2


def test_two_viewers_see_the_same_and_on_a_phone_everything_fits(visit):
    desk, phone = visit(), visit(390, 844)
    for page in (desk, phone):
        wait_for_name(page, "ghost")
        page.wait_for_timeout(500)
        picture = shown(page)
        assert picture.std() > 20  # not one colour
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    phone.click("#play")
    phone.wait_for_selector("#answer.asking")
    button = phone.locator("#mine").bounding_box()
    assert button["height"] >= 44
    assert button["y"] + button["height"] <= 844  # within reach without scrolling
    phone.locator("#mine").click()
    phone.wait_for_selector("#answer.you")
