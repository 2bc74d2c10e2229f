from pathlib import Path

import pytest
import yaml

from dobble.errors import MissingInputError, ParameterError
from dobble.params import load_params

OURS = Path(__file__).parents[1] / "params.yaml"


@pytest.fixture
def changed(tmp_path):
    """Our parameters with one value changed, or taken out where it is `...`, as a file."""

    def change(name, value):
        values = block = yaml.safe_load(OURS.read_text(encoding="utf-8"))
        *blocks, last = name.split(".")
        for part in blocks:
            block = block[part]
        if value is ...:
            del block[last]
        else:
            block[last] = value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return path

    return change


def complaint(path):
    with pytest.raises(ParameterError) as caught:
        load_params(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}")
    return text.removeprefix(f"{path}").removeprefix(": ")


def test_our_own_parameters_are_in_order():
    values = yaml.safe_load(OURS.read_text(encoding="utf-8"))
    params = load_params(OURS)
    assert params.train.window == values["train"]["window"]
    assert params.train.augmentation.zoom == tuple(values["train"]["augmentation"]["zoom"])
    assert set(values) == {field.alias or name for name, field in type(params).model_fields.items()}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("train.lerning_rate", 0.1, "train.lerning_rate is no parameter: correct its name or take it out"),
        ("serve", {}, "serve is no parameter: correct its name or take it out"),
        ("train.epochs", 1.5, "train.epochs must be a valid integer, not 1.5"),
        ("train.epochs", True, "train.epochs must be a valid integer, not True"),
        ("train.epochs", None, "train.epochs must be a valid integer, not nothing"),
        ("train.epochs", 0, "train.epochs must be greater than or equal to 1, not 0"),
        ("train.weights", "", "train.weights must not be empty"),
        ("train.weights", None, "train.weights must be a valid string, not nothing"),
        ("train.learning_rate", 0, "train.learning_rate must be greater than 0, not 0"),
        ("train.learning_rate", float("inf"), "train.learning_rate must be a finite number, not inf"),
        ("train.learning_rate", float("nan"), "train.learning_rate must be a finite number, not nan"),
        ("train.window", 200, "train.window must be a multiple of 32, not 200"),
        (
            "evaluate.photographs",
            "../mine",
            "evaluate.photographs must be none, or a folder such as photographs/mine, not '../mine'",
        ),
        ("train.window", 352, "train.window must be less than or equal to 320, not 352"),
        ("train.threads", 100_000, "train.threads must be less than or equal to 256, not 100000"),
        ("train.batch_size", 1, "train.batch_size must be greater than or equal to 2, not 1"),
        ("train.device", "gpu", "train.device must be 'auto', 'cpu' or 'cuda', not 'gpu'"),
        ("train.seed", -1, "train.seed must be greater than or equal to 0, not -1"),
        ("split.seed", -1, "split.seed must be greater than or equal to 0, not -1"),
        ("evaluate.seed", -1, "evaluate.seed must be greater than or equal to 0, not -1"),
        ("convert.several_labels", "last", "convert.several_labels must be 'refuse' or 'first', not 'last'"),
        ("split.ratios.train", 1.2, "split.ratios.train must be less than or equal to 1, not 1.2"),
        ("split.ratios.train", 0.7, "split.ratios must add up to 1, not 0.9"),
        (
            "split.group_pattern",
            "deck(?P<deck",
            "split.group_pattern is no regular expression: missing >, unterminated name at position 8",
        ),
        (
            "split.group_pattern",
            "card(?P<card>.)",
            "split.group_pattern has no group (?P<deck>…), which split.group_by asks for",
        ),
        ("split.group_by", "photo", "split.group_by must be 'deck' or 'card', not 'photo'"),
        ("train.augmentation.zoom", 1.2, "train.augmentation.zoom must be two numbers, such as [0.9, 1.1]"),
        ("train.augmentation.zoom", [1.2], "train.augmentation.zoom must be two numbers, such as [0.9, 1.1]"),
        (
            "train.augmentation.zoom",
            [1, 2, 3],
            "train.augmentation.zoom must be two numbers, such as [0.9, 1.1]",
        ),
        (
            "train.augmentation.zoom",
            [1, "2"],
            "train.augmentation.zoom must be two numbers, such as [0.9, 1.1]",
        ),
        (
            "train.augmentation.zoom",
            [1.2, 0.8],
            "train.augmentation.zoom must be two positive numbers, the smaller first, not [1.2, 0.8]",
        ),
        (
            "train.augmentation.gamma",
            [0, 1],
            "train.augmentation.gamma must be two positive numbers, the smaller first, not [0, 1]",
        ),
        (
            "export.score_threshold",
            1.5,
            "export.score_threshold must be less than or equal to 1, not 1.5",
        ),
        ("evaluate.iou_threshold", 0, "evaluate.iou_threshold must be greater than 0, not 0"),
        ("train.augmentation", ..., "train.augmentation is missing"),
        ("train.window", ..., "train.window is missing"),
        ("evaluate", ..., "evaluate is missing"),
        ("train", None, "train must be a block of named parameters"),
        ("train", [1, 2], "train must be a block of named parameters"),
    ],
)
def test_bad_value_is_named_with_what_it_may_be(changed, name, value, expected):
    assert complaint(changed(name, value)) == expected


@pytest.mark.parametrize(("name", "text"), [("train.learning_rate", "1e-3"), ("train.epochs", "18")])
def test_number_that_yaml_reads_as_text_comes_with_the_way_to_write_it(changed, name, text):
    found = complaint(changed(name, text))
    assert found.startswith(f"{name} must be a valid ")
    assert f"not '{text}': write it without quotes, and 1e-3 as 1.0e-3" in found


@pytest.mark.parametrize("name", ["train.learning_rate", "train.gradient_clip"])
def test_whole_number_serves_where_any_number_does(changed, name):
    assert complaint(changed(name, "5"))
    assert load_params(changed(name, 5)).train


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"train: [", "is no YAML: while parsing"),
        (b"\xff\xfe\x00", "is no YAML:"),
        (b"", "the file must be a block of named parameters"),
        (b"- 1\n- 2\n", "the file must be a block of named parameters"),
        (b"hello", "the file must be a block of named parameters"),
    ],
)
def test_file_that_holds_no_parameters_is_named(tmp_path, content, expected):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    assert complaint(path).strip().startswith(expected)


def test_missing_file_is_named_with_the_cure(tmp_path):
    with pytest.raises(MissingInputError, match=r"params\.yaml does not exist: run in the project's folder$"):
        load_params(tmp_path / "params.yaml")


def test_parameters_cannot_be_changed_by_a_stage():
    with pytest.raises(ValueError, match="frozen"):
        load_params(OURS).train.epochs = 3


def test_every_number_has_an_upper_bound_that_is_told(changed):
    for name, value in numbers(yaml.safe_load(OURS.read_text(encoding="utf-8"))):
        huge = [0.5, 10**12] if isinstance(value, list) else type(value)(10**12)
        assert complaint(changed(name, huge)).startswith(name.removesuffix(".train"))


def numbers(block, above=""):
    """Names and values of all numbers, and pairs of numbers, in a block and those below it."""
    for name, value in block.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{above}{name}.")
        elif type(value) in {int, float} or (isinstance(value, list) and type(value[0]) is float):
            yield f"{above}{name}", value
