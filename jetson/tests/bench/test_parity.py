import numpy as np
import pytest

from jetson.bench.parity import Samples, check_agreement
from jetson.play.bundle import load_bundle
from jetson.play.detect import Detector
from jetson.runners.runner import Runner


class Fixed(Runner):
    """Answers every picture with one score and one box for `anchor`; the picture has 32 pixels a side."""

    def __init__(self, score, box):
        self._score, self._box = score, box

    def infer(self, batch):
        scores, boxes = np.zeros((4, 8), np.float32), np.zeros((4, 4), np.float32)
        scores[:, 0] = 1.0
        scores[0, :2] = (1.0 - self._score, self._score)
        boxes[0] = np.array(self._box, np.float32) / 32
        return scores, boxes


def agreement(write_bundle, score=0.8, box=(0, 0, 20, 20), wanted=(0.8, (0, 0, 20, 20)), symbol=None):
    picture = np.zeros((32, 32, 3), np.uint8)
    reference = {
        "photos": [
            {"file": "a.png", "detections": [{"label": "anchor", "score": wanted[0], "box": list(wanted[1])}]}
        ],
        "matches": [] if symbol is None else [{"first": "a.png", "second": "b.png", "symbol": symbol}],
        "tables": [],
    }
    detector = Detector(load_bundle(write_bundle()), Fixed(score, box))
    return check_agreement(detector, Samples({"a.png": picture, "b.png": picture}, {}, reference))


def test_the_same_detections_agree(write_bundle):
    found = agreement(write_bundle)
    assert (found.problems, found.detections, found.matches) == ([], 1, 0)
    assert found.lowest_iou == pytest.approx(1.0)
    assert found.largest_difference == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"score": 0.76}, None),
        ({"score": 0.74}, "a.png: anchor has score 0.74, not 0.80"),
        ({"score": 0.84}, None),
        ({"score": 0.86}, "a.png: anchor has score 0.86, not 0.80"),
        ({"box": (0, 0, 20, 18.4)}, None),  # IoU 0.92
        ({"box": (0, 0, 20, 17.6)}, "a.png: anchor lies elsewhere (IoU 0.88)"),
        ({"score": 0.1}, "a.png: anchor not found"),
        ({"score": 0.499, "wanted": (0.501, (0, 0, 20, 20))}, None),  # shown by the one, not by the other
        ({"score": 0.46, "wanted": (0.502, (0, 0, 20, 20))}, None),
        ({"score": 0.46, "wanted": (0.52, (0, 0, 20, 20))}, "a.png: anchor has score 0.46, not 0.52"),
        ({"score": 0.1, "wanted": (0.49, (0, 0, 20, 20))}, None),  # too weak to be looked for
    ],
)
def test_detections_may_differ_by_what_half_precision_needs_and_no_more(write_bundle, changes, problem):
    assert agreement(write_bundle, **changes).problems == ([] if problem is None else [problem])


def test_the_names_of_all_symbols_are_compared_where_the_reference_has_them(write_bundle, labels):
    bundle = load_bundle(write_bundle())
    samples = Samples({}, {}, {"labels": list(labels), "photos": [], "matches": [], "tables": []})
    detector = Detector(bundle, Fixed(0.8, (0, 0, 20, 20)))
    assert check_agreement(detector, samples).problems == []
    samples.reference["labels"][5:] = ["ghost", "fire"]
    problem = "symbol 6 is fire in the manifest and ghost in the reference: export the bundle again"
    assert check_agreement(detector, samples).problems == [problem]


def test_another_answer_than_the_reference_s_is_a_problem(write_bundle):
    assert agreement(write_bundle, symbol="anchor").problems == []
    assert agreement(write_bundle, symbol="bird").problems == ["a.png and b.png: answers anchor, not bird"]
