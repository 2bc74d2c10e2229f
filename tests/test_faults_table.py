"""The table of faults names tests that are there."""

import ast
import re

from pipelines import ROOT

ROW = re.compile(r"^\| (\d+) \|")
TEST = re.compile(r"`([\w/.]+\.py)::(\w+)")


def rows() -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for line in (ROOT / "docs/faults.md").read_text(encoding="utf-8").splitlines():
        if row := ROW.match(line):
            found.setdefault(int(row[1]), []).append(line)
    return found


def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_row_stands_in_order_and_names_tests_that_exist() -> None:
    listed = rows()
    assert list(listed) == sorted(listed)
    for number, lines in listed.items():
        for line in lines:
            named = TEST.findall(line)
            assert named, f"row {number} names no test: {line}"
            for path, name in named:
                assert name in functions(path), f"row {number}: {path} has no {name}"


def test_no_row_is_left_out() -> None:
    listed = rows()
    assert set(listed) == set(range(max(listed) + 1))
