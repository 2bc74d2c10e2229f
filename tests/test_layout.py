"""The folders of the code: few files at the root, rooms of a size to overlook, arrows that point one way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("flows", "dobble", "jetson")  # each may import from those that stand after it
# From above to below: a room imports from rooms that stand after it only.
ROOMS = (
    *("cli", "registry", "tracking", "sample", "sources", "evaluation", "detector", "validation"),
    *("data", "deck", "pipeline", "storage"),
)


def modules() -> dict[str, Path]:
    """The code's files by their dotted names, tests left out."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if "tests" not in path.parts
    }


MODULES = modules()


def imported(name: str) -> Iterator[str]:
    """What a module imports of ours, lazily and for types as well."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


IMPORTS = {name: set(imported(name)) - {name} for name in MODULES}


def room(name: str) -> str:
    """The room of a module of `dobble`; empty for what all rooms share."""
    parts = name.split(".")
    return parts[1] if parts[0] == "dobble" and (ROOT / "dobble" / parts[1]).is_dir() else ""


def test_root_of_the_library_holds_only_what_all_rooms_share() -> None:
    files = [path.name for path in (ROOT / "dobble").iterdir() if path.is_file()]
    assert len(files) <= 9, files
    assert {path.name for path in (ROOT / "dobble").iterdir() if (path / "__init__.py").is_file()} == set(
        ROOMS
    )


@pytest.mark.parametrize("folder", sorted({path.parent.relative_to(ROOT) for path in MODULES.values()}))
def test_folder_can_be_overlooked(folder: Path) -> None:
    files = [path.name for path in MODULES.values() if path.parent == ROOT / folder]
    assert len(files) <= 16, files


@pytest.mark.parametrize("name", MODULES)
def test_file_is_short_enough_to_be_read_in_one_go(name: str) -> None:
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("name", MODULES)
def test_no_module_needs_itself_by_way_of_others(name: str) -> None:
    reached, waiting = set(), list(IMPORTS[name])
    while waiting:
        other = waiting.pop()
        if other not in reached:
            reached.add(other)
            waiting += IMPORTS[other]
    assert name not in reached


@pytest.mark.parametrize("name", MODULES)
def test_arrows_between_packages_point_one_way(name: str) -> None:
    below = PACKAGES[PACKAGES.index(name.split(".", maxsplit=1)[0]) :]
    assert {other.split(".", maxsplit=1)[0] for other in IMPORTS[name]} <= set(below)


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("dobble.")])
def test_arrows_between_rooms_point_one_way(name: str) -> None:
    others = {room(other) for other in IMPORTS[name]} - {room(name), ""}
    if name != "dobble.__main__":
        assert others <= set(ROOMS[ROOMS.index(room(name)) :] if room(name) else ())
