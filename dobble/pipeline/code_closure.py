"""A module to the files of this project that decide what it computes."""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

_PACKAGES = ("dobble", "jetson")
# What these say, check or write down is no part of what is computed; and stages run on ONNX Runtime alone.
_NEUTRAL = frozenset(
    {
        *("dobble", "dobble.evaluation", "jetson"),
        *("dobble.pipeline.code_closure", "dobble.env", "dobble.errors", "dobble.files"),
        *("dobble.params", "dobble.processes"),
        *("jetson.arrays", "jetson.children", "jetson.errors", "jetson.home"),
        *("jetson.runners.cuda", "jetson.runners.engine"),
        *("jetson.runners.surroundings", "jetson.runners.tensorrt"),
    }
)


def code_closure(module: str) -> list[Path]:
    """List the files of a module and of all that it imports of ours, directly or not, at once or lazily.

    Args:
        module: dotted name, such as `dobble.detector.train`.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = ROOT / f"{name.replace('.', '/')}.py"
        package = ROOT / name.replace(".", "/") / "__init__.py"
        source = path if path.is_file() else package
        if name in found or name in _NEUTRAL or not source.is_file():
            continue
        found[name] = source
        waiting += _imported(source)
    return sorted(found.values())


def code_digest(module: str) -> str:
    """Hash the files of `code_closure` with their names."""
    digest = hashlib.sha256()
    for path in code_closure(module):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _imported(source: Path) -> Iterator[str]:
    """Names that may be modules of ours: `from package import name` may mean either."""
    waiting: list[ast.AST] = [ast.parse(source.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        waiting += ast.iter_child_nodes(node)
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name for name in names if name.split(".")[0] in _PACKAGES)
