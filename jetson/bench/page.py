"""Turns a benchmark's result into one HTML page with its charts in it: no script, no file beside it."""

import os
from html import escape
from typing import Dict, List, Optional, Sequence, Tuple

from jetson.bench import charts
from jetson.bench.choice import Candidate
from jetson.bench.result import Block, Result, Sustained
from jetson.bench.style import STYLE
from jetson.bench.verdict import MARGIN, MARGIN_TO_CHANGE, percentile
from jetson.errors import BenchmarkError

Section = Tuple[str, str, str]  # title, explanation, content


def write_page(path: str, result: Result) -> None:
    """Write the report whole or not at all.

    Raises:
        BenchmarkError: it cannot be written.
    """
    target = os.path.realpath(path)  # a link stays
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target + ".new", "w", encoding="utf-8") as stream:
            stream.write(render(result))
        os.replace(target + ".new", target)
    except OSError as error:
        raise BenchmarkError(path, "cannot be written ({})".format(error.strerror or error)) from None


def render(result: Result) -> str:
    """Return the page."""
    choice = result.choice
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<title>Benchmark: {} on {}</title>".format(escape(choice.winner), escape(choice.board)),
        "<style>{}</style></head><body>".format(STYLE),
        "<header><div><h1>{}</h1><p>{}.{}</p></div></header><main>".format(
            escape(choice.board),
            escape(choice.reason),
            " A quick run: a hint, not a result." if choice.quick else "",
        ),
        _headline(result),
    ]
    for title, text, content in _sections(result):
        explained = "<p>{}</p>".format(text) if text else ""
        parts.append("<section><h2>{}</h2>{}{}</section>".format(title, explained, content))
    told = "model {}, measured {}".format(choice.model_sha256[:12], choice.date.replace("T", " "))
    parts.append("<footer>{}</footer></main></body></html>\n".format(escape(told)))
    return "\n".join(parts)


def _headline(result: Result) -> str:
    winner = _by_name(result)[result.choice.winner]
    values = [
        (winner.name, "serves on this device"),
        (_shown(winner.p50_ms, 1, " ms"), "for one card (p50)"),
        (_shown(winner.frame_p50_ms, 1, " ms"), "for a frame with two cards (p50)"),
    ]
    if winner.energy_mj is not None:
        values.append((_shown(winner.energy_mj, 0, " mJ"), "of the whole board for a frame"))
    elif winner.memory_mb is not None:
        values.append((_shown(winner.memory_mb, 0, " MB"), "peak memory"))
    cells = [
        "<div><strong>{}</strong><span>{}</span></div>".format(escape(value), name) for value, name in values
    ]
    return '<div class="headline">{}</div>'.format("".join(cells))


def _sections(result: Result) -> List[Section]:
    cards = {
        name: [value for block in result.blocks if block.candidate == name for value in block.card]
        for name in sorted({block.candidate for block in result.blocks}, key=_row_order(result).index)
    }
    rule = (
        "A runtime has to agree with the reference first. Then the faster one wins if it needs {:.0f} % less "
        "time or more in the middle of the pairs of neighbouring blocks and wins three of four of them; else "
        "the lower p90, then the lower memory decides. An earlier choice stays unless beaten by {:.0f} %."
    ).format(100 * MARGIN, 100 * MARGIN_TO_CHANGE)
    found: List[Section] = [("The runtimes", rule, _candidates(result))]
    if cards:
        text = (
            "From an array in host memory to arrays in host memory, all blocks together. The ticks are p50, "
            "p90 and p99; what is slower than the slowest p99 counts at the right edge."
        )
        found.append(("How long one card takes", text, _scroll(charts.distributions(cards))))
        found.append(
            ("Every block", _BLOCKS, _legend(list(cards)) + _scroll(charts.blocks(_blocks(result, cards))))
        )
        text = "Medians in milliseconds. Preparation, network and decoding happen once for each card."
        found.append(("Where the time goes", text, _steps(result)))
    if result.sustained is not None:
        found.append(_sustained(result.choice.winner, result.sustained))
    found += _device(result)
    if result.advice:
        listed = "".join("<li>{}</li>".format(_code(advice)) for advice in result.advice)
        found.append(("What would help", "", "<ul>{}</ul>".format(listed)))
    rows = "".join(
        "<tr><th>{}</th><td>{}</td></tr>".format(escape(name), escape(value))
        for name, value in result.setup.items()
    )
    found.append(("Circumstances", "Recorded, not forced.", '<table class="setup">{}</table>'.format(rows)))
    return found


_BLOCKS = (
    "Each block is a process of its own, here in percent of its runtime's p50: the box spans p10 to p90, the "
    "bar is the block's p50. Runtimes take turns forwards and backwards, so that a board that warms up slows "
    "all of them down alike."
)


def _candidates(result: Result) -> str:
    rows = [_head("", "p50 ms", "p90 ms", "p99 ms", "frame ms", "mJ/frame", "net of idle", "MB", "")]
    for name in _row_order(result):
        candidate = _by_name(result)[name]
        numbers = (
            (candidate.p50_ms, 2),
            (candidate.p90_ms, 2),
            (candidate.p99_ms, 2),
            (candidate.frame_p50_ms, 2),
            (candidate.energy_mj, 0),
            (candidate.energy_net_mj, 0),
            (candidate.memory_mb, 0),
        )
        cells = "".join("<td>{}</td>".format(_shown(value, digits)) for value, digits in numbers)
        remark = escape(candidate.reason) + ("; <strong>throttled</strong>" if candidate.throttled else "")
        kind = "winner" if name == result.choice.winner else "" if candidate.eligible else "out"
        rows.append(
            '<tr class="{}"><th scope="row">{}</th>{}<td class="text">{}</td></tr>'.format(
                kind, _named(name), cells, remark
            )
        )
    return '<div class="scroll"><table>{}</table></div>'.format("".join(rows))


def _head(*names: str) -> str:
    return "<thead><tr>{}</tr></thead>".format("".join("<th>{}</th>".format(name) for name in names))


def _blocks(result: Result, cards: Dict[str, List[float]]) -> List[Tuple[str, float, float, float]]:
    """Return each block's p10, p50 and p90 in percent of its runtime's p50."""
    medians = {name: percentile(values, 50) for name, values in cards.items()}
    drawn = []
    for block in result.blocks:
        low, middle, high = (100 * percentile(block.card, share) for share in (10, 50, 90))
        own = medians[block.candidate]
        drawn.append((block.candidate, low / own, middle / own, high / own))
    return drawn


def _steps(result: Result) -> str:
    rows = [_head("", "find cards", "prepare", "network", "decode", "whole frame", "load, s")]
    for name in _row_order(result):
        of = [block for block in result.blocks if block.candidate == name]
        if not of:
            continue
        values = [_median(of, step) for step in ("find", "prepare", "card", "decode", "frame")]
        cells = "".join("<td>{}</td>".format(_shown(value, 2)) for value in values)
        load = percentile([block.load_s for block in of], 50)
        rows.append('<tr><th scope="row">{}</th>{}<td>{:.2f}</td></tr>'.format(_named(name), cells, load))
    return '<div class="scroll"><table>{}</table></div>'.format("".join(rows))


def _median(of: Sequence[Block], step: str) -> Optional[float]:
    values = [value for block in of for value in getattr(block, step)]
    return percentile(values, 50) if values else None


def _sustained(name: str, sustained: Sustained) -> Section:
    seconds: Dict[int, List[float]] = {}
    elapsed = 0.0
    for value in sustained.frame:
        seconds.setdefault(int(elapsed), []).append(value)
        elapsed += value / 1e3
    line = [(float(second), percentile(values, 50)) for second, values in sorted(seconds.items())]
    text = (
        "{} plays frames without a pause for {:.0f} s: {:.2f} ms in the first {:.0f} s, {:.2f} ms in the "
        "last (p50 of each second below)."
    ).format(
        escape(name),
        sustained.window[1] - sustained.window[0],
        sustained.first_p50,
        sustained.span_s,
        sustained.last_p50,
    )
    chart = charts.timeline({"frame": line}, "ms", [], "Frame time over the sustained run")
    return "Without a pause", text, _scroll(chart)


def _device(result: Result) -> List[Section]:
    if len(result.samples) < 2:
        return []
    start = result.samples[0].time
    turns = [
        charts.Span(block.card_window[0] - start, block.frame_window[1] - start, block.candidate)
        for block in result.blocks
    ]
    if result.sustained is not None:
        low, high = result.sustained.window
        turns.append(charts.Span(low - start, high - start, result.choice.winner))
    sensors = sorted({name for sample in result.samples for name in sample.temperatures or {}})
    drawn: List[Tuple[str, str, Dict[str, List[Tuple[float, float]]]]] = [
        ("Power", "W", {"board": _line(result, lambda s: s.power_mw, 1e-3)}),
        (
            "Temperatures",
            "°C",
            {name: _line(result, lambda s, n=name: (s.temperatures or {}).get(n)) for name in sensors},
        ),
        ("GPU clock", "MHz", {"GPU": _line(result, lambda s: s.gpu_mhz)}),
        ("Memory in use", "MB", {"memory": _line(result, lambda s: s.ram_used_mb)}),
    ]
    content = ""
    for title, unit, lines in drawn:
        known = {name: line for name, line in lines.items() if len(line) > 1}
        if known:
            chart = charts.timeline(known, unit, turns, "{} over the run".format(title))
            content += "<h3>{}</h3>{}".format(title, _scroll(chart))
    source = {"jtop": "jtop", "ina3221": "the board's own sensor files"}.get(result.source)
    text = (
        "Power is from {}.".format(source)
        if source
        else "Power was not measured: {}.".format(escape(result.source_problem or "no sensor"))
    )
    if result.idle_mw is not None:
        text += " Idle, the board takes {:.2f} W.".format(result.idle_mw / 1e3)
    names = [name for name in _row_order(result) if any(turn.name == name for turn in turns)]
    return [("The device meanwhile", text, _legend(names) + content)] if content else []


def _line(result: Result, value: "object", factor: float = 1.0) -> List[Tuple[float, float]]:
    start = result.samples[0].time
    read = [(sample.time - start, value(sample)) for sample in result.samples]  # type: ignore[operator]
    return [(seconds, number * factor) for seconds, number in read if number is not None]


def _row_order(result: Result) -> List[str]:
    """The order of serving, then those that may not."""
    order = list(result.choice.order)
    return order + [one.name for one in result.choice.candidates if one.name not in order]


def _by_name(result: Result) -> Dict[str, Candidate]:
    return {candidate.name: candidate for candidate in result.choice.candidates}


def _legend(names: Sequence[str]) -> str:
    return '<div class="legend">{}</div>'.format(
        "".join("<span>{}</span>".format(_named(name)) for name in names)
    )


def _named(name: str) -> str:
    return '<span class="dot" style="background:{}"></span>{}'.format(charts.colour(name), escape(name))


def _scroll(chart: str) -> str:
    return '<div class="scroll">{}</div>'.format(chart)


def _shown(value: Optional[float], digits: int, unit: str = "") -> str:
    return "" if value is None else "{:.{}f}{}".format(value, digits, unit)


def _code(text: str) -> str:
    pieces = escape(text).split("`")
    return "".join("<code>{}</code>".format(one) if place % 2 else one for place, one in enumerate(pieces))
