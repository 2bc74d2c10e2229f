"""External ids and a folder of photos to one file for each id, and never one file for two."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from dobble.data.photo_names import folded, has_photo_suffix
from dobble.errors import PhotoError


class PhotoFiles:
    """Finds photos at their external ids, or where a path ends as the id does or the id as the path does.

    So `deck/a.png` may lie at `a.png` or `all/deck/a.png`, but never at `other/a.png`.

    Attributes:
        elsewhere: the files that were found anywhere but at their external id, by that id.
    """

    def __init__(self, folder: Path, external_ids: Iterable[str]) -> None:
        self._folder = folder
        self._files: dict[str, list[Path]] = {}
        self._wanted: dict[Path, list[str]] = defaultdict(list)
        self.elsewhere: dict[str, Path] = {}
        ids = list(external_ids)
        missing = [name for name in ids if not (folder / name).is_file()]
        if missing:
            self._look(missing, {folder / name for name in ids} - {folder / name for name in missing})

    def find(self, external_id: str) -> Path:
        """Give the file of a photo.

        Raises:
            PhotoError: if there is none, or more than one, or it may as well be that of another photo.
        """
        path = self._folder / external_id
        if path.is_file():
            return path
        found = self._files.get(external_id, [])
        if not found:
            raise PhotoError(external_id, f"is nowhere in {self._folder}: put the photo at {path}")
        if len(found) > 1:
            raise PhotoError(external_id, f"could be {found[0]} and {found[1]}: put the right one at {path}")
        others = [name for name in self._wanted[found[0]] if name != external_id]
        if others:
            problem = f"could be {found[0]}, but so could {others[0]!r}"
            raise PhotoError(external_id, f"{problem}: put the right photo at {path}")
        self.elsewhere[external_id] = found[0]
        return found[0]

    def _look(self, missing: list[str], taken: set[Path]) -> None:
        by_name: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(self._folder.rglob("*")):
            if path.is_file() and path not in taken:
                for name in {folded(path.name), folded(_bare(path.name))}:
                    by_name[name].append(path)
        for name in missing:
            wanted = PurePosixPath(folded(name))
            self._files[name] = [
                path for path in by_name[wanted.name] if _same_end(wanted.parts, self._parts(path, wanted))
            ]
            for path in self._files[name]:
                self._wanted[path].append(name)

    def _parts(self, path: Path, wanted: PurePosixPath) -> tuple[str, ...]:
        """The parts of a path as an external id would have them, which may lack the suffix."""
        parts = PurePosixPath(folded(path.relative_to(self._folder).as_posix())).parts
        return (*parts[:-1], wanted.name)


def _same_end(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shorter = min(len(one), len(other))
    return one[-shorter:] == other[-shorter:]


def _bare(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")) if has_photo_suffix(name) else name
