"""What a data folder holds, to whether new data may take its place."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dobble.data.export_rows import read_rows
from dobble.errors import ExportError, MissingInputError, OutputError, ReplaceDataError
from dobble.files import replaced_folder
from dobble.paths import DATA, DATA_PIN
from dobble.storage.errors import PinnedDataError
from dobble.storage.pins import check_pinned

_REPLACE = "give --replace (in a flow: replace of its source)"
_KEEP = f"keep them by `dobble pin` and a commit of {DATA_PIN}, or {_REPLACE}"


@contextmanager
def replaced_data(
    out: Path, projects: Collection[str], *, replace: bool, adding: bool = False
) -> Iterator[Path]:
    """Yield an empty folder that takes the place of a data folder, if nothing is lost by that.

    Data are replaced unasked only where DVC can bring them back: `data/` of a DVC project that is exactly
    what `data.dvc` pins, with rows of no other projects than those that come.

    Args:
        out: the data folder.
        projects: ids of the projects whose rows come.
        replace: whether to replace whatever is there.
        adding: whether the caller puts all that is there into the new folder as well.

    Raises:
        ReplaceDataError: saying what would be lost; also if the data change while new ones are being made.
        OutputError: if `out` cannot be written, or is the folder of the program or one above it.
    """
    if Path.cwd().is_relative_to(out.resolve()):
        raise OutputError(out, "it is the folder you work in, or one above it: name another")
    if not (replace or adding):
        _check_kept(out, projects)
    before = _state(out)
    with replaced_folder(out) as side:
        yield side
        if not replace and _state(out) != before:
            raise ReplaceDataError(out, str(_Held.of(out)), "changed while new ones were made", _KEEP)


def labelled_projects(export: Path) -> set[str]:
    """Name the projects that the rows of an export are of.

    Raises:
        ExportError: if a row is cut short or no JSON.
        MissingInputError: if there is no such export.
    """
    return {project for _, row in read_rows(export) for project in row.get("projects") or {}}


@dataclass(frozen=True)
class _Held:
    """What lies in a data folder."""

    photos: int
    rows: int
    projects: frozenset[str]
    others: int

    @classmethod
    def of(cls, folder: Path) -> "_Held":
        """Count; an export that cannot be read is a file like any other."""
        export = folder / "export.ndjson"
        photos = sum(path.is_file() for path in (folder / "images").rglob("*"))
        others = sum(path.is_file() for path in folder.rglob("*")) - photos
        try:
            rows, projects = len(export.read_bytes().splitlines()), labelled_projects(export)
        except (OSError, ExportError, MissingInputError):
            return cls(photos, 0, frozenset(), others)
        return cls(photos, rows, frozenset(projects), others - 1)

    def __str__(self) -> str:
        of = f" of {', '.join(sorted(self.projects))}" if self.projects else ""
        counts = ((self.photos, "photos"), (self.rows, f"rows{of}"), (self.others, "other files"))
        return ", ".join(f"{number} {what}" for number, what in counts if number) or "folders"


def _check_kept(out: Path, projects: Collection[str]) -> None:
    if not out.is_dir() or not any(out.iterdir()):
        return
    held = _Held.of(out)
    root = out.absolute().parent
    if out.name != str(DATA) or not (root / ".dvc").is_dir():
        cure = f"move them away, name another --out, or {_REPLACE}"
        raise ReplaceDataError(out, str(held), "DVC does not keep them, and they would be lost", cure)
    if out.is_symlink():
        why = "DVC cannot pin what is behind a link, and they would be lost"
        raise ReplaceDataError(out, str(held), why, f"copy them, or {_REPLACE}")
    try:
        check_pinned(root)
    except MissingInputError as error:
        raise ReplaceDataError(out, str(held), "they are not pinned and would be lost", _KEEP) from error
    except PinnedDataError as error:
        why = f"not all of it is pinned ({error.problem}), and that would be lost"
        raise ReplaceDataError(out, str(held), why, _KEEP) from error
    if not held.projects <= set(projects) or bool(held.projects) != bool(projects):
        why = f"they are pinned, and what comes is of {', '.join(sorted(projects)) or 'no project'}"
        cure = f"commit {DATA_PIN}, which brings them back (`dvc checkout`), and {_REPLACE}"
        raise ReplaceDataError(out, str(held), why, cure)


def _state(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of every file, by which a change is noticed."""
    stats = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}
