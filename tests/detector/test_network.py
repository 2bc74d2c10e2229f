import math
import urllib.request

import numpy as np
import pytest
import torch
from torchvision.models.mobilenetv3 import mobilenet_v3_large
from torchvision.ops import box_iou

from dobble.detector.anchors import INPUT_SIZE, AnchorSpec, fit_anchors
from dobble.detector.checkpoint import load_checkpoint, restore, save_checkpoint, start_weights
from dobble.detector.network import Deployed, Detector, decode_boxes
from dobble.errors import CheckpointError, TrainingError

LABELS = ("blue", "green", "red")
SPEC = AnchorSpec((0.1, 0.2, 0.3), 1.6)
LARGE_SPEC = AnchorSpec((0.1, 0.2, 0.3, 0.5, 0.6), 1.6)
STEM = "backbone.features.0.0.0.weight"


@pytest.fixture(scope="module")
def large():
    """A network with as many feature maps as symbols can ask for."""
    return Detector(len(LABELS), LARGE_SPEC).eval()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint whose weights differ from those of any new network."""
    torch.manual_seed(1)
    detector = Detector(len(LABELS), SPEC)
    with torch.no_grad():
        for value in detector.parameters():
            value.add_(torch.randn_like(value), alpha=0.01)
    path = tmp_path_factory.mktemp("trained") / "checkpoint.pt"
    save_checkpoint(path, detector, LABELS, SPEC)
    return path, detector.eval()


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Torchvision's own classifier, as its state dict lies on disk."""
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("classifier") / "mobilenet_v3_large.pth"
    torch.save(mobilenet_v3_large(weights=None).state_dict(), path)
    return path


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def picture():
    return torch.rand(1, 3, INPUT_SIZE, INPUT_SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_anchors_of_the_whole_input_are_those_that_the_network_travels_with(large):
    assert torch.equal(large.anchors_for(INPUT_SIZE), large.anchors)


def test_first_cell_has_two_squares_and_the_flat_and_the_tall_anchor():
    anchors = Detector(1, AnchorSpec((0.1, 0.4), 4.0)).anchors[:4] * INPUT_SIZE
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    torch.testing.assert_close(centres, torch.full((4, 2), 8.0))  # the first cell is 16 pixels wide
    sides = [(32, 32), (64, 64), (64, 16), (16, 64)]  # .1, sqrt(.1 * .4), and .1 at a ratio of 4
    torch.testing.assert_close(anchors[:, 2:] - anchors[:, :2], torch.tensor(sides, dtype=torch.float32))


@pytest.mark.parametrize("window", [96, 224, 256])
def test_window_has_the_anchors_that_the_same_cells_have_in_the_whole_input(large, window):
    whole, part = large.anchors, large.anchors_for(window)
    for stride in (16, 32, 64, 128):
        cells, kept = math.ceil(INPUT_SIZE / stride), math.ceil(window / stride)
        here, whole = whole[: cells**2 * 4].view(cells, cells, 4, 4), whole[cells**2 * 4 :]
        there, part = part[: kept**2 * 4].view(kept, kept, 4, 4), part[kept**2 * 4 :]
        sides = (there[..., 2:] - there[..., :2]) * INPUT_SIZE
        unclipped = sides.amax(-1) < window - 1  # an anchor is never larger than its window
        torch.testing.assert_close(there[unclipped], here[:kept, :kept][unclipped])
    assert len(whole) == len(part) == 0


@pytest.mark.parametrize("window", [96, 224, 256, 320])
def test_network_answers_once_for_each_anchor(large, window):
    logits, deltas = large(torch.zeros(1, 3, window, window))
    anchors = len(large.anchors_for(window))
    assert anchors == 4 * sum(math.ceil(window / stride) ** 2 for stride in (16, 32, 64, 128))
    assert logits.shape == (1, anchors, len(LABELS) + 1)
    assert deltas.shape == (1, anchors, 4)


def test_new_network_takes_nearly_everything_for_background(large):
    scores, _ = Deployed(large)(picture())
    # Background starts with 3 * (C + 1) = 12 times the odds of each of 3 symbols: 12 / 15.
    assert float(scores[..., 0].detach().median()) == pytest.approx(0.8, abs=0.1)


def test_deployed_network_gives_probabilities_and_boxes_inside_the_picture(large):
    with torch.inference_mode():
        scores, boxes = Deployed(large)(picture())
    torch.testing.assert_close(scores.sum(-1), torch.ones(scores.shape[:2]))
    assert float(boxes.min()) >= 0
    assert float(boxes.max()) <= 1


def test_no_deltas_are_the_anchors_themselves(large):
    boxes = decode_boxes(torch.zeros(2, len(large.anchors), 4), large.anchors)
    torch.testing.assert_close(boxes, large.anchors.expand(2, -1, -1))


def test_deltas_of_a_box_give_it_back():
    anchor, box = [0.2, 0.2, 0.4, 0.6], [0.25, 0.3, 0.35, 0.9]
    # SSD's code: shifts of the centre in anchor sizes times 10, logarithms of the sizes' ratios times 5.
    deltas = [0 / 0.2 * 10, 0.2 / 0.4 * 10, math.log(0.1 / 0.2) * 5, math.log(0.6 / 0.4) * 5]
    torch.testing.assert_close(
        decode_boxes(torch.tensor([deltas]), torch.tensor([anchor])), torch.tensor([box])
    )


def test_delta_without_measure_gives_no_infinite_box():
    boxes = decode_boxes(torch.tensor([[0.0, 0.0, 1e4, 1e4]]), torch.tensor([[0.4, 0.4, 0.6, 0.6]]))
    torch.testing.assert_close(boxes, torch.tensor([[-5.75, -5.75, 6.75, 6.75]]))  # 1000 / 16 times .2


@pytest.mark.parametrize(
    ("low", "high", "maps"),
    [
        (0.02, 0.03, 1),  # 10 pixels: even the first map is coarser than they are
        (0.1, 0.18, 1),  # up to 58 pixels: half of that is below the second map's stride of 32
        (0.15, 0.25, 2),
        (0.55, 0.65, 3),  # 60 % of the input
        (0.9, 1.0, 4),
    ],
)
def test_larger_symbols_take_more_feature_maps(low, high, maps):
    sizes = np.random.default_rng(0).uniform(low, high, (300, 2)).astype(np.float32)
    spec = fit_anchors(sizes)
    assert len(spec.scales) == maps + 1
    assert list(spec.scales) == sorted(spec.scales)
    assert spec.scales[-1] <= 1


@pytest.mark.parametrize(("low", "high"), [(0.12, 0.3), (0.3, 0.6)])
def test_nearly_every_symbol_has_an_anchor_that_it_can_be_matched_to(low, high):
    rng = np.random.default_rng(0)
    sizes = rng.uniform(low, high, (300, 2)).astype(np.float32)
    corner = (rng.uniform(0, 1, (300, 2)) * (1 - sizes)).astype(np.float32)
    boxes = torch.from_numpy(np.concatenate([corner, corner + sizes], 1))
    best = box_iou(boxes, Detector(1, fit_anchors(sizes)).anchors).amax(1)
    assert float((best >= 0.5).float().mean()) > 0.95
    assert float(best.mean()) > 0.7


def test_ratio_follows_flat_symbols():
    heights = np.random.default_rng(0).uniform(0.1, 0.2, (300, 1)).astype(np.float32)
    flat, square = np.concatenate([heights * 2.5, heights], 1), np.concatenate([heights, heights], 1)
    assert fit_anchors(flat).ratio > 1.9
    assert fit_anchors(flat).ratio > fit_anchors(square).ratio + 0.5


def test_every_place_on_the_card_counts_where_boxes_come_card_by_card():
    """Of 100 cards of eight symbols, labelled in the same order of sizes, each size is fitted to."""
    sides = np.tile(np.linspace(0.08, 0.29, 8, dtype=np.float32), 100)
    sizes = np.stack([sides, sides], 1)
    spec, shuffled = fit_anchors(sizes), fit_anchors(np.random.default_rng(1).permutation(sizes))
    assert spec.scales[0] < 0.12
    assert spec.scales[-1] > 0.2
    np.testing.assert_allclose(spec.scales, shuffled.scales, rtol=0.1)


def test_one_symbol_is_enough_to_fit_to():
    assert len(fit_anchors(np.array([[0.2, 0.2]], np.float32)).scales) == 3


def test_restored_network_answers_as_the_saved_one(trained):
    path, detector = trained
    checkpoint = load_checkpoint(path)
    assert (checkpoint.labels, checkpoint.anchors, checkpoint.full_tail) == (LABELS, SPEC, False)
    restored = restore(checkpoint, path)
    assert not restored.training
    for answer, expected in zip(restored(picture()), detector(picture()), strict=True):
        assert torch.equal(answer, expected)


def test_restored_network_keeps_the_wide_tail_of_a_classifier(tmp_path, classifier):
    detector = start_weights(str(classifier), LABELS, SPEC).eval()
    save_checkpoint(tmp_path / "checkpoint.pt", detector, LABELS, SPEC)
    restored = restore(load_checkpoint(tmp_path / "checkpoint.pt"), tmp_path / "checkpoint.pt")
    assert torch.equal(restored(picture())[0], detector(picture())[0])


def test_same_checkpoint_has_the_same_bytes_under_any_name(tmp_path, trained):
    path, detector = trained
    save_checkpoint(tmp_path / "other.name", detector, LABELS, SPEC)
    assert (tmp_path / "other.name").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "there is no such file; run `dvc repro train`"),
        (b"", "is damaged or no checkpoint; train again with `dvc repro -f train`"),
        (b"loss: 0.1\n", "is damaged or no checkpoint; train again with `dvc repro -f train`"),
        (
            b"\x08\x07\x12\x07pytorch:\x80\x01",  # how an ONNX model begins
            "is damaged or no checkpoint; train again with `dvc repro -f train`",
        ),
    ],
)
def test_file_that_is_no_checkpoint_is_named(tmp_path, content, problem):
    path = tmp_path / "checkpoint.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    assert one_line(error) == f"{path}: {problem}"


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_checkpoint_that_is_cut_short_is_named(tmp_path, trained, share):
    content = trained[0].read_bytes()
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    assert one_line(error).startswith(f"{path}: is damaged or no checkpoint")


@pytest.mark.parametrize(
    "content", [[1, 2], {"epoch": 3}, {"state": {}, "labels": 5, "scales": [], "ratio": 1}]
)
def test_file_of_another_program_is_named(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    assert one_line(error).startswith(f"{path}: is no checkpoint of this pipeline")


def test_weights_that_do_not_fit_their_description_are_named(trained):
    path, _ = trained
    checkpoint = load_checkpoint(path)._replace(labels=("blue", "green"))
    with pytest.raises(CheckpointError) as error:
        restore(checkpoint, path)
    assert one_line(error) == f"{path}: its weights do not fit its own description; train again"


def test_training_from_nothing_depends_on_the_seed_alone():
    first, second, other = (
        torch.manual_seed(seed) and start_weights("none", LABELS, SPEC).state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first[STEM], other[STEM])


def test_weights_of_a_classifier_get_into_the_backbone(classifier):
    source = torch.load(classifier)
    state = start_weights(str(classifier), LABELS, SPEC).state_dict()
    assert torch.equal(state[STEM], source["features.0.0.weight"])
    last = [name for name in state if name.startswith("backbone.") and state[name].shape[:1] == (960,)]
    assert any(torch.equal(state[name], source["features.16.0.weight"]) for name in last)


def test_own_checkpoint_of_the_same_symbols_goes_on_as_it_is(trained):
    path, detector = trained
    state = start_weights(str(path), LABELS, SPEC).state_dict()
    assert all(torch.equal(value, state[name]) for name, value in detector.state_dict().items())


@pytest.mark.parametrize(
    ("labels", "spec"),
    [(("cat", "dog"), SPEC), (LABELS, AnchorSpec((0.1, 0.2, 0.3), 2.0)), (LABELS, LARGE_SPEC)],
)
def test_own_checkpoint_of_other_symbols_or_anchors_lends_its_backbone_only(trained, labels, spec):
    path, detector = trained
    started = start_weights(str(path), labels, spec)
    old, new = detector.state_dict(), started.state_dict()
    assert all(torch.equal(old[name], new[name]) for name in old if name.startswith("backbone."))
    heads = [
        name for name in old if name.startswith("head.") and name.endswith("weight") and old[name].ndim > 1
    ]
    assert not any(old[name].shape == new[name].shape and torch.equal(old[name], new[name]) for name in heads)
    assert started(picture())[0].shape == (1, len(started.anchors), len(labels) + 1)


def test_checkpoint_that_is_not_there_is_named_with_its_parameter(tmp_path):
    with pytest.raises(CheckpointError) as error:
        start_weights(str(tmp_path / "no.pt"), LABELS, SPEC)
    assert one_line(error).startswith(
        f"{tmp_path / 'no.pt'}: train.weights names it, but there is no such file"
    )


def test_classifier_of_another_shape_is_named(tmp_path):
    path = tmp_path / "small.pth"
    torch.save({"features.0.0.weight": torch.zeros(16, 3, 3, 3)}, path)
    with pytest.raises(CheckpointError) as error:
        start_weights(str(path), LABELS, SPEC)
    assert one_line(error) == f"{path}: its weights do not fit torchvision's mobilenet_v3_large"


@pytest.fixture
def _own_opener():
    """urllib keeps the proxies of its first request for the whole process."""
    urllib.request.install_opener(None)
    yield
    urllib.request.install_opener(None)


@pytest.mark.usefixtures("_own_opener")
def test_imagenet_without_a_network_is_an_error_that_says_how_to_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port, where nobody listens
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TrainingError) as error:
        start_weights("imagenet", LABELS, SPEC)
    assert one_line(error).startswith("train.weights: imagenet cannot be downloaded (")
    assert one_line(error).endswith(
        "set it to `none`, or to the path of a downloaded mobilenet_v3_large state dict"
    )


def test_damaged_earlier_download_of_imagenet_is_an_error_of_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "mobilenet_v3_large-8738ca79.pth").write_bytes(b"cut short")
    with pytest.raises(TrainingError) as error:
        start_weights("imagenet", LABELS, SPEC)
    assert one_line(error).startswith("train.weights: imagenet cannot be downloaded (")
