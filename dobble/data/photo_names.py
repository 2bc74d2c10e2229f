"""External ids to names that are safe as paths and tell all photos apart."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from dobble.errors import ExportError

PHOTO_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_LONGEST_NAME = 200
_HELD = 0  # where rows are numbered from 1
_VARIANTS = frozenset(map(chr, range(0xFE00, 0xFE10)))  # of one character's look, as text or as a picture
_DRIVE = re.compile(r"[A-Za-z]:")


class PhotoNames:
    """The photos that an export has named so far; two that would share one file are an error."""

    def __init__(self, export: Path | str, held: Iterable[str] = ()) -> None:
        """Begin with the photos that the data hold already."""
        self._export = export
        self._seen = {folded(photo_id(name)): (name, _HELD) for name in held}

    def add(self, name: str, row: int) -> None:
        """Note the photo of a row.

        Raises:
            ExportError: naming both rows, if an earlier photo has the same id on any file system.
        """
        earlier, earlier_row = self._seen.setdefault(folded(photo_id(name)), (name, row))
        if earlier_row == row:
            return
        if earlier_row == _HELD:
            problem = f"is in the data already, as {earlier!r}: name the photo otherwise"
        elif earlier == name:
            problem = f"has the external id of row {earlier_row}: each photo needs its own"
        else:
            problem = f"cannot be told from {earlier!r} of row {earlier_row}: rename one"
        raise ExportError(self._export, row, problem, name)


def has_photo_suffix(name: str) -> bool:
    """Say whether a name ends as that of a picture."""
    return PurePosixPath(name).suffix.lower() in PHOTO_SUFFIXES


def photo_id(name: str) -> str:
    """Give the id of a photo: its external id without a picture's suffix, folders joined by two hyphens."""
    return (str(PurePosixPath(name).with_suffix("")) if has_photo_suffix(name) else name).replace("/", "--")


def photo_file(name: str, suffix: str) -> str:
    """Give the name of a photo's file where all photos lie in one folder.

    Args:
        name: the external id.
        suffix: of the picture's format, for a name without one.
    """
    return photo_id(name) + (PurePosixPath(name).suffix if has_photo_suffix(name) else suffix)


def folded(text: str) -> str:
    """Give the form in which file systems that ignore case or composition would compare names."""
    return unicodedata.normalize("NFC", text).casefold()


def look_alike(text: str) -> str:
    """Give the form in which names are equal that people take for one and the same.

    Case, white space of any width (none included), hyphens and underscores between words, the Unicode form
    and leading zeros of numbers make no difference.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    seen = "".join(char for char in plain if unicodedata.category(char) != "Cf" and char not in _VARIANTS)
    words = " ".join(re.split(r"[\s_-]+", seen)).strip()
    return re.sub(r"\d+", lambda digits: str(int(digits[0])), words)


def external_id(export: Path | str, row: int, data_row: dict[str, Any]) -> str:
    """Find the external id of a data row, or its global key where it has none, safe to use as a path.

    Raises:
        ExportError: naming the row, if there is none or it is no name of a photo below a folder.
    """
    value = data_row.get("external_id") or data_row.get("global_key")
    if not value:
        raise ExportError(export, row, "has neither external_id nor global_key: name the photo in Labelbox")
    if not isinstance(value, str):
        raise ExportError(export, row, f"external_id {value!r} is no text")
    problem = _problem(value)
    if problem:
        raise ExportError(export, row, f"external id {value!r:.120} {problem}: rename the photo in Labelbox")
    return value


def class_name(item: dict[str, Any]) -> str:
    """Find the class of a labelled object, without the white space around it.

    Raises:
        ValueError: if there is none, or it cannot be a line of a list of classes.
    """
    value = next((text for key in ("name", "value") if (text := item.get(key))), "")
    if not isinstance(value, str):
        raise ValueError(f"the class name {value!r} is no text")  # noqa: TRY004 (the caller names the row)
    name = unicodedata.normalize("NFC", value.strip())
    if not name:
        raise ValueError("an object has no class name: give it one in Labelbox")
    if _unprintable(name):
        raise ValueError(f"the class name {name!r} has control characters: rename the class in Labelbox")
    if name.casefold() == "background":
        raise ValueError(f"the class name {name!r} is what no symbol is called: rename the class in Labelbox")
    return name


def _problem(name: str) -> str | None:
    path, parts = PurePosixPath(name), name.split("/")
    problems = (
        (_unprintable(name), "has control characters"),
        ("\\" in name, "has a backslash"),
        (name.startswith("/") or bool(_DRIVE.match(name)), "is an absolute path"),
        ("" in parts, "has an empty part"),
        (not {".", ".."}.isdisjoint(parts), "leaves its folder"),
        (any(_untidy(part) for part in (*parts, path.stem)), "has a space or dot at the end of a part"),
        (path.name.lower() in PHOTO_SUFFIXES, "has nothing before its suffix"),
        (any(has_photo_suffix(part) for part in parts[:-1]), "has a folder that is named like a photo"),
        (len(name.encode(errors="replace")) > _LONGEST_NAME, f"is longer than {_LONGEST_NAME} bytes"),
    )
    return next((problem for wrong, problem in problems if wrong), None)


def _untidy(part: str) -> bool:
    """Say whether some file systems would not keep a name as it is."""
    return part != part.strip() or part.endswith(".")


def _unprintable(text: str) -> bool:
    return any(
        unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} or char in "\ufffe\uffff" for char in text
    )
