"""Turns a bundle and this device into a verdict: which runtime serves here, by measurement."""

import argparse
import contextlib
import fcntl
import os
import sys
from typing import Any, Iterator, Optional, Tuple

from jetson.bench.choice import Candidate, read_choice, write_choice
from jetson.bench.measurement import FULL, QUICK, Session
from jetson.bench.page import write_page
from jetson.bench.registry import ModelVersion
from jetson.bench.result import Result
from jetson.board.monitor import Monitor
from jetson.errors import BenchmarkError
from jetson.fetch.command import origin
from jetson.home import bundle_folder, choice_file
from jetson.play.bundle import Bundle, load_bundle
from jetson.turns import take_turn

PAGE = "benchmark.html"
LIMIT_S = 300.0
PLAYING = (
    "the server is at work here and would be measured as well: sudo systemctl stop dobble, "
    "or let sudo dobble-device benchmark do it"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `benchmark`."""
    parser.add_argument("--bundle", help="folder of a bundle (default: the one that `fetch` brought)")
    parser.add_argument("--out", help="where to write the verdict (default: {})".format(choice_file()))
    parser.add_argument("--page", help="where to write the report (default: {} beside it)".format(PAGE))
    parser.add_argument(
        "--quick", action="store_true", help="measure for seconds, not minutes: a hint, not a result"
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=LIMIT_S,
        metavar="SECONDS",
        help="a block that takes longer has failed (default: %(default)g)",
    )
    parser.add_argument(
        "--mlflow", metavar="URL", help="log the result to the model's version on this server"
    )
    parser.add_argument("--model", help="its name there (default: where the bundle came from, else dobble)")
    parser.add_argument("--version", help="its number there (default: where the bundle came from)")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the table, and keep the verdict and the report."""
    bundle = load_bundle(arguments.bundle or bundle_folder())
    version = _model_version(arguments, bundle)
    path = arguments.out or choice_file()
    page = arguments.page or os.path.join(os.path.dirname(os.path.abspath(path)), PAGE)
    earlier, _ = read_choice(path, bundle)
    with _one_at_a_time(path), take_turn(shared=False) as mine, Monitor() as monitor:
        if not mine:
            raise BenchmarkError("benchmark", PLAYING)
        plan = QUICK if arguments.quick else FULL
        result = Session(bundle, plan, arguments.limit, monitor, _say).run(earlier)
    write_page(page, result)
    write_choice(path, result.choice)
    sys.stdout.write("\n{}\n\nverdict: {}\nreport: {}\n".format(describe(result), path, page))
    if version is not None:
        sys.stdout.write("{}\n".format(version.log(result.choice, page)))
    return 0


def describe(result: Result) -> str:
    """Return the result as a table and a few lines of text."""
    choice = result.choice
    head = ("runtime", "p50 ms", "p90", "p99", "frame ms", "mJ/frame", "net", "MB", "remark")
    rows = [head] + [_row(candidate, choice.winner) for candidate in choice.candidates]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    form = "  ".join(
        ["{{:<{}}}".format(widths[0])] + ["{{:>{}}}".format(width) for width in widths[1:]] + ["{}"]
    )
    lines = [form.format(*row).rstrip() for row in rows]
    lines += ["", "chosen: {}".format(choice.winner), "because {}".format(choice.reason)]
    if len(choice.order) > 1:
        lines.append("falls back to {}".format(", then ".join(choice.order[1:])))
    if result.sustained is not None:
        told = "sustained: {:.2f} ms per frame in the first {:.0f} s, {:.2f} in the last"
        lines.append(
            told.format(result.sustained.first_p50, result.sustained.span_s, result.sustained.last_p50)
        )
    else:
        lines.append("sustained: failed ({})".format(result.sustained_failure))
    if choice.quick:
        lines.append("a quick run: a hint, not a result")
    lines += ["advice: {}".format(advice) for advice in result.advice]
    return "\n".join(lines)


def _row(candidate: Candidate, winner: str) -> Tuple[str, ...]:
    marks = ["chosen"] if candidate.name == winner else []
    marks += [] if candidate.eligible else [candidate.reason]
    marks += ["throttled"] if candidate.throttled else []
    return (
        candidate.name,
        _number(candidate.p50_ms, 2),
        _number(candidate.p90_ms, 2),
        _number(candidate.p99_ms, 2),
        _number(candidate.frame_p50_ms, 2),
        _number(candidate.energy_mj, 0),
        _number(candidate.energy_net_mj, 0),
        _number(candidate.memory_mb, 0),
        "; ".join(marks),
    )


def _number(value: Optional[float], digits: int) -> str:
    return "" if value is None else "{:.{}f}".format(value, digits)


def _model_version(arguments: argparse.Namespace, bundle: Bundle) -> Optional[ModelVersion]:
    if not arguments.mlflow:
        return None
    facts = origin(bundle)
    version = arguments.version or facts.get("version")
    if not version:
        raise BenchmarkError(bundle.folder, "which version on the MLflow server is this? name its --version")
    return ModelVersion(arguments.mlflow, arguments.model or facts.get("model") or "dobble", str(version))


@contextlib.contextmanager
def _one_at_a_time(path: str) -> Iterator[None]:
    """Two benchmarks at once would measure each other."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(folder, exist_ok=True)
        lock: Any = open(os.path.join(folder, ".benchmark.lock"), "w", encoding="ascii")  # noqa: SIM115
    except OSError as error:
        raise BenchmarkError(folder, "cannot be written ({})".format(error.strerror)) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BenchmarkError(folder, "another benchmark is at work here: wait for it to end") from None
        yield


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
