"""Which photos show cards of a deck that the renderer made up: they say nothing of real cards."""

import json
from pathlib import Path

from dobble.data.voc import VOC_SUMMARY

MADE_UP = "sample-deck"
"""Project of rendered photos whose deck is made up."""


def made_up_photos(voc: Path) -> frozenset[str]:
    """Read the ids of such photos from what `convert` wrote."""
    source = voc / VOC_SUMMARY
    if not source.is_file():
        return frozenset()
    return frozenset(json.loads(source.read_text(encoding="utf-8")).get("made_up", []))
