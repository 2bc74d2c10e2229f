"""A result of Deepchecks to one HTML page that needs no network."""

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

_SCRIPT = re.compile(r"<script\b[^>]*>.*?</script>", re.DOTALL)
_LONG_SCRIPT = 100_000
_STYLE = (
    "<style>body {font: 15px/1.5 sans-serif; max-width: 1100px; margin: auto} td {padding-right: 1em}</style>"
)


def write_page(result: Any, path: Path) -> None:
    """Write what checks found as a page; the path must be new.

    Deepchecks' page of widgets stays blank with ipywidgets 8. Its plain page holds a copy of Plotly for each
    plot, of which the first is kept.
    """
    with deepchecks():
        result.save_as_html(str(path), as_widget=False, requirejs=False)
    seen: set[str] = set()
    html = _SCRIPT.sub(lambda script: _once(script[0], seen), path.read_text(encoding="utf-8"))
    path.write_text(html.replace("<head>", f"<head>{_STYLE}", 1), encoding="utf-8")


@contextmanager
def deepchecks() -> Iterator[Any]:
    """Import Deepchecks, which takes seconds, and keep it from calling home and from progress bars."""
    os.environ["DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY"] = "true"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = import_module("deepchecks")
        import_module("deepchecks.vision.checks")
        import_module("deepchecks.utils.logger").set_verbosity(logging.ERROR)
        yield library


def _once(script: str, seen: set[str]) -> str:
    """Leave a long script out where the page has it already."""
    if len(script) < _LONG_SCRIPT:
        return script
    repeated = script in seen
    seen.add(script)
    return "" if repeated else script
