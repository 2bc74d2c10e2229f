"""Takes the tests in a random order, and lets none be skipped for want of a tool that has to be here.

`--shuffle=0` picks a seed and says it, `--shuffle=SEED` repeats it. `DOBBLE_TESTS_NEED=Chromium,Terraform`
fails what is skipped for a reason that names one of these.
"""

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", type=int, metavar="SEED", help="random order of files and of their tests")


def pytest_configure(config: pytest.Config) -> None:
    # A worker of xdist parses the command line anew: all of them must agree on one order.
    if hasattr(config, "workerinput"):
        config.option.shuffle = config.workerinput["shuffle"]
    elif config.option.shuffle == 0:
        config.option.shuffle = random.randrange(1, 1_000_000)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["shuffle"] = node.config.option.shuffle


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.option.shuffle:
        return
    order = random.Random(config.option.shuffle)
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    names = sorted(files)
    order.shuffle(names)
    for name in names:
        order.shuffle(files[name])
    items[:] = [item for name in names for item in files[name]]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    report: Any = yield
    needed = [name for name in os.environ.get("DOBBLE_TESTS_NEED", "").split(",") if name]
    if report.skipped and any(name in str(report.longrepr) for name in needed):
        report.outcome = "failed"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.option.shuffle:
        terminalreporter.write_line(f"random order: --shuffle={config.option.shuffle}")
