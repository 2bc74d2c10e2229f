"""What is wrong with labelled photos, as rows that people can act on."""

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dobble.data.annotations import JsonDict

Severity = Literal["error", "warning"]

MOST = 1000  # of one check: nobody reads more, and one wrong parameter would fill the disk

_COLUMNS = ("photo", "severity", "check", "finding", "suggestion", "link")
_LABELBOX_ID = re.compile(r"c[a-z0-9]{24}")


@dataclass(frozen=True)
class Finding:
    """One thing that is probably wrong.

    Attributes:
        photo: photo id; empty if it concerns no single photo.
        severity: whether the data are wrong or only look odd.
        check: which check found it, in one or two words.
        finding: what is wrong.
        suggestion: what to do about it.
        labels: the classes whose boxes are meant; empty if the whole photo is.
        other: id of a photo to compare with, if there is one.
    """

    photo: str
    severity: Severity
    check: str
    finding: str
    suggestion: str
    labels: tuple[str, ...] = ()
    other: str = ""

    def __str__(self) -> str:
        where = f"photo {self.photo}: " if self.photo else ""
        return f"{where}{self.finding} ({self.suggestion})"


def capped(findings: Sequence[Finding]) -> list[Finding]:
    """Keep the first 1,000 of each check; one more says how many are left out."""
    kept, seen = [], Counter[tuple[Severity, str]]()
    for found in findings:
        key = found.severity, found.check
        seen[key] += 1
        if seen[key] <= MOST:
            kept.append(found)
    for (severity, check), number in seen.items():
        if number > MOST:
            text = f"{number - MOST} more of this kind are left out"
            kept.append(Finding("", severity, check, text, "mend these first"))
    return kept


def write_findings(path: Path, findings: Sequence[Finding], links: Mapping[str, str]) -> None:
    """Write the findings as CSV, one a row, each with the link of its photo if there is one."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(_COLUMNS)
        for found in findings:
            link = links.get(found.photo, "")
            rows.writerow((found.photo, found.severity, found.check, found.finding, found.suggestion, link))


def labelbox_link(row: JsonDict) -> str:
    """Give the address of a v2 data row in Labelbox; empty if its ids are not Labelbox's own."""
    projects = row.get("projects") or {}
    labelled = [key for key, project in projects.items() if (project or {}).get("labels")]
    ids = [*labelled[:1], str(row["data_row"].get("id"))]
    if len(ids) < 2 or not all(_LABELBOX_ID.fullmatch(part) for part in ids):
        return ""
    return f"https://app.labelbox.com/projects/{ids[0]}/data-rows/{ids[1]}"
