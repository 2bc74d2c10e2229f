"""Takes the picture of the live page that the README shows: tables of the sample deck, in Chromium."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from live_server import LiveServer
from playwright.sync_api import sync_playwright

from dobble.sample.labelled_photos import render_tables
from jetson.play.cards import find_cards

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
ROUNDS = 5  # in the list before the picture is taken


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("build/bundle"))
    parser.add_argument("--out", type=Path, default=Path("docs/live.jpg"))
    arguments = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("error: there is no Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name:
        tables = Path(name) / "tables"
        render_tables(tables, symbols=None, frames=24, seed=1)
        for path in (tables / "images").iterdir():
            if len(find_cards(cv2.imread(str(path)))) != 2:
                path.unlink()
        server = LiveServer(arguments.bundle, "--source", str(tables / "images"), "--hold", "7")
        with server, sync_playwright() as driver:
            chromium = driver.chromium.launch(executable_path=browser, args=FLAGS)
            page = chromium.new_page(viewport={"width": 1280, "height": 830})
            page.set_default_timeout(120_000)
            page.goto(f"http://127.0.0.1:{server.port}/")
            page.wait_for_function(f"() => document.querySelectorAll('#rounds img').length >= {ROUNDS}")
            page.click("#play")
            page.mouse.move(5, 5)
            page.wait_for_selector("#answer.asking")
            page.wait_for_timeout(1800)
            page.keyboard.press("Space")
            page.wait_for_timeout(500)
            shot = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
            chromium.close()
    cv2.imwrite(str(arguments.out), shot, [cv2.IMWRITE_JPEG_QUALITY, 82])
    print(arguments.out)


if __name__ == "__main__":
    main()
