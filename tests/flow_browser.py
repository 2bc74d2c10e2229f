"""Prefect's and MLflow's pages in headless Chromium; as a command, pictures of them for the README.

`make ui`, a run of the deployment training/local, then `python tests/flow_browser.py docs`.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flow_api import Api
from playwright.sync_api import Page, sync_playwright

from dobble.registry.receipts import find_publication
from flows.server.services import running

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


def chromium() -> str | None:
    """Find the system's browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


@contextmanager
def open_page() -> Iterator[Page]:
    """Open an empty page of 1280 by 900."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(300_000)
            yield page
        finally:
            browser.close()


def show_run(page: Page, prefect: str, flow_run: str, state: str) -> None:
    """Go to a flow run, wait until it is shown in a state, and open its artifacts."""
    page.goto(f"{prefect}/runs/flow-run/{flow_run}")
    page.get_by_text(state, exact=True).first.wait_for()
    page.get_by_text("Artifacts", exact=True).first.click()
    for key in ("stages", "metrics", "links"):
        page.get_by_text(key, exact=True).last.wait_for()


def show_version(page: Page, mlflow: str, name: str, version: str) -> None:
    """Go to a registered version and wait until its tags are shown."""
    page.goto(f"{mlflow}/#/models/{name}/versions/{version}")
    page.get_by_text("bundle.bytes").first.wait_for()


def main() -> None:
    """Take a picture of the newest training and one of its version."""
    out = Path(sys.argv[1])
    prefect, mlflow = running("server"), running("mlflow")
    if prefect is None or mlflow is None:
        sys.exit("error: `make ui` first")
    os.environ["MLFLOW_TRACKING_URI"] = mlflow.address
    published = find_publication()
    if published is None:
        sys.exit("error: run the deployment training/local first")
    run = Api(prefect.address).newest_run("training")
    with open_page() as page:
        show_run(page, prefect.address, run["id"], "Completed")
        page.wait_for_timeout(2000)
        page.screenshot(path=out / "prefect.jpg", type="jpeg", quality=80)
        show_version(page, mlflow.address, "dobble", published.version)
        assistant = page.get_by_label("Close", exact=True)
        if assistant.is_visible():
            assistant.click()
        page.wait_for_timeout(2000)
        page.screenshot(path=out / "mlflow.jpg", type="jpeg", quality=80)


if __name__ == "__main__":
    main()
