"""Turns what the service knows into the numbers and words of its page, its JSON answers and its metrics."""

import threading
import time
from typing import Any, Dict, Iterable, List, Optional, Sequence

from jetson.live.history import Row
from jetson.live.service import Service
from jetson.play.game import Match


def match_values(match: Match, labels: Sequence[str], scale: Sequence[float] = (1.0, 1.0)) -> Dict[str, Any]:
    """Return a match as JSON values.

    Args:
        match: the match.
        labels: names of the symbols.
        scale: what to multiply the boxes on either picture with.

    Returns:
        `symbol` and `boxes` are null without an answer; then `no_answer` says why, and the probabilities
        are of the two likeliest symbols. `rule` is `deck`, or `joint` where none is known or it does not fit.
    """
    answered = match.no_answer is None
    return {
        "symbol": labels[match.symbol] if answered else None,
        "probability": round(match.probability, 4),
        "runner_up": labels[match.runner_up],
        "runner_up_probability": round(match.runner_up_probability, 4),
        "boxes": [_pixels(box * factor) for box, factor in zip(match.boxes, scale)] if answered else None,  # noqa: B905
        "no_answer": match.no_answer,
        "rule": match.rule,
    }


def silence(reason: str) -> Dict[str, Any]:
    """Return what `match_values` does where there were not two cards to play."""
    keys = ("symbol", "probability", "runner_up", "runner_up_probability", "boxes", "rule")
    values: Dict[str, Any] = {key: None for key in keys}
    values["no_answer"] = reason
    return values


def state_values(service: Service) -> Dict[str, Any]:
    """Return all that the page shows besides the picture.

    `cards` are ellipses: centre x and y, long and short diameter in pixels, degrees clockwise.
    """
    now = time.monotonic()
    row = measure(service)
    values: Dict[str, Any] = {
        "problem": service.sick(),
        "runner": service.runner.name,
        "runner_reason": service.runner.reason,
        "frame": None,
        "cards": [],
        "match": None,
        "round": None,
        "rounds": [
            {
                "number": played.number,
                "symbol": service.bundle.labels[played.match.symbol],
                "probability": round(played.match.probability, 4),
                "latency_ms": round(1000 * played.latency, 1),
                "seconds_ago": round(now - played.at, 1),
            }
            for played in service.player.rounds.last()
        ],
    }
    values.update(row._asdict())
    newest = service.player.played.newest()
    if newest is not None and values["problem"] is None:
        table, labels = newest.table, service.bundle.labels
        height, width = newest.frame.image.shape[:2]
        current = service.player.rounds.current
        values["frame"] = {"number": service.player.count, "width": width, "height": height}
        values["cards"] = [_pixels((*card.centre, *card.axes, card.angle)) for card in table.cards]
        values["match"] = (
            match_values(table.rounds[0].match, labels) if table.rounds else silence(table.no_answer or "")
        )
        values["round"] = None if current is None else current.number
    return values


def measure(service: Service) -> Row:
    """Return what the charts show of this moment."""
    fps, latency = service.player.rate()
    sample = service.monitor.latest()
    power = None if sample is None or sample.power_mw is None else round(sample.power_mw / 1000.0, 2)
    temperatures = list((sample.temperatures or {}).values()) if sample is not None else []
    return Row(
        fps=round(fps, 1),
        latency_ms=None if latency is None else round(1000 * latency, 1),
        power_w=power,
        temperature_c=round(max(temperatures), 1) if temperatures else None,
    )


def metrics_text(service: Service, requests: Dict[int, int]) -> str:
    """Return the service's numbers in Prometheus's text format."""
    row, camera = measure(service), service.camera
    rows: List[Any] = [
        ("frames_played_total", "counter", service.player.count),
        ("player_errors_total", "counter", service.player.errors),
        ("runtime_failures_total", "counter", service.runner.failures),
        ("healthy", "gauge", int(service.sick() is None)),
        ("frames_per_second", "gauge", row.fps),
        ("latency_seconds", "gauge", None if row.latency_ms is None else row.latency_ms / 1000.0),
        ("viewers", "gauge", service.viewers.taken),
        ("threads", "gauge", threading.active_count()),
        ("resident_memory_bytes", "gauge", _resident_memory()),
        ("power_watts", "gauge", row.power_w),
        ("temperature_celsius", "gauge", row.temperature_c),
        ('runtime{{name="{}"}}'.format(service.runner.name), "gauge", 1),
    ]
    if camera is not None:
        rows += [
            ("frames_captured_total", "counter", camera.captured),
            ("camera_lost_total", "counter", camera.lost),
            ("camera_errors_total", "counter", camera.errors),
            ("frame_age_seconds", "gauge", round(camera.age(), 3)),
        ]
    for status in sorted(requests):
        rows.append(('requests_total{{status="{}"}}'.format(status), "counter", requests[status]))
    lines: List[str] = []
    for name, kind, value in rows:
        family = "# TYPE dobble_{} {}".format(name.partition("{")[0], kind)
        if value is not None:
            lines += [family] * (family not in lines)
            lines.append("dobble_{} {}".format(name, "+Inf" if value == float("inf") else value))
    return "\n".join(lines) + "\n"


def _pixels(box: Iterable[float]) -> List[float]:
    return [round(float(value), 1) for value in box]


def _resident_memory() -> Optional[int]:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
