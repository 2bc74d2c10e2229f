import csv
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import pytest
import torch

from dobble.data.voc import write_lines
from dobble.detector.checkpoint import load_checkpoint, restore
from dobble.detector.dataset import load_split
from dobble.detector.metrics import Truth, average_precision
from dobble.detector.network import Deployed
from dobble.detector.predict import PreparedPhotos, detect_photos
from dobble.detector.train import train
from dobble.detector.training_state import VALIDATION_NMS_IOU
from dobble.errors import CheckpointError, MissingInputError, OutputError, TrainingError

EPOCHS = 3
ROOT = Path(__file__).parents[2]
TRAIN_UNTIL_KILLED = """
import os, signal, sys
from pathlib import Path
from dobble.detector.train import train
from dobble.params import TrainParams

saves = []

def kill_in_the_second_save(event, arguments):
    if event == "os.rename" and Path(arguments[1]).name == "state.pt":
        saves.append(arguments)
        if len(saves) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill_in_the_second_save)
train(*map(Path, sys.argv[1:4]), TrainParams.model_validate_json(sys.argv[4]))
"""
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")


@pytest.fixture(scope="module", autouse=True)
def _threads():
    """Training sets the number of threads of the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def params(train_params):
    return train_params.model_copy(update={"epochs": EPOCHS})


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, squares, params):
    """Folder and summary of a training that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "train"
    return out, train(*squares, out, params)


@pytest.fixture
def earlier(tmp_path):
    """What an earlier training left."""
    out = tmp_path / "build" / "train"
    out.mkdir(parents=True)
    (out / "checkpoint.pt").write_text("earlier")
    return out


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def history(folder):
    with (folder / "history.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def state_of(out):
    return out.with_name(f".{out.name}.resume") / "state.pt"


def press_ctrl_c_after_an_epoch(voc, splits, out, params):
    """Interrupt this very process as soon as the first epoch is saved."""
    ended = threading.Event()

    def press():
        while not state_of(out).is_file() and not ended.is_set():
            time.sleep(0.005)
        if not ended.is_set():
            signal.raise_signal(signal.SIGINT)

    finger = threading.Thread(target=press)
    finger.start()
    try:
        train(voc, splits, out, params)
    finally:
        ended.set()
        finger.join()


def test_training_leaves_a_checkpoint_and_its_history_and_nothing_else(whole_run, squares):
    out, summary = whole_run
    assert {path.name for path in out.iterdir()} == {"checkpoint.pt", "history.csv"}
    assert list(out.parent.iterdir()) == [out]
    assert load_checkpoint(out / "checkpoint.pt").labels == ("blue", "green", "red")
    assert summary.epochs == EPOCHS
    assert summary.photos_per_second > 0
    assert 0 <= summary.waiting_share <= 1


def test_history_has_a_line_for_each_epoch(whole_run):
    out, summary = whole_run
    rows = history(out)
    assert list(rows[0]) == ["epoch", "box_loss", "class_loss", "mAP", "mAP50"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(0 <= float(row["mAP"]) <= float(row["mAP50"]) <= 1 for row in rows)
    best = max(rows, key=lambda row: (float(row["mAP"]), int(row["epoch"])))
    assert (summary.best.epoch, summary.best.mAP) == (int(best["epoch"]), float(best["mAP"]))


def test_loss_falls(whole_run):
    losses = [float(row["box_loss"]) + float(row["class_loss"]) for row in history(whole_run[0])]
    assert losses[2] < losses[1] < losses[0]


def test_checkpoint_is_the_one_that_the_history_calls_best(whole_run, squares):
    out, summary = whole_run
    path = out / "checkpoint.pt"
    network = Deployed(restore(load_checkpoint(path), path)).eval()
    photos = load_split(*squares, "val")
    found = list(detect_photos(network, PreparedPhotos(photos), VALIDATION_NMS_IOU, torch.device("cpu")))
    precision = average_precision(found, [Truth(photo.boxes, photo.labels) for photo in photos], 3)
    assert (precision.map, precision.map50) == pytest.approx((summary.best.mAP, summary.best.mAP50), abs=1e-4)


def test_training_again_gives_the_same_bytes(whole_run, squares, tmp_path, params):
    train(*squares, tmp_path / "train", params)
    assert contents(tmp_path / "train") == contents(whole_run[0])


def test_training_that_was_killed_goes_on_to_the_same_bytes(whole_run, squares, tmp_path, params, capsys):
    out = tmp_path / "train"
    command = [sys.executable, "-c", TRAIN_UNTIL_KILLED, *squares, out, params.model_dump_json()]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = state_of(out).parent
    assert {path.name for path in left.iterdir()} == {"state.pt", ".state.pt.new", "history.csv"}
    assert history(left) == history(whole_run[0])[:1]
    assert not out.exists()
    train(*squares, out, params)
    assert "going on after epoch 1 of a training that was stopped" in capsys.readouterr().out
    assert contents(out) == contents(whole_run[0])
    assert list(tmp_path.iterdir()) == [out]


def test_training_that_was_stopped_by_hand_keeps_the_earlier_one_and_goes_on(
    whole_run, squares, earlier, params, capsys
):
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c_after_an_epoch(*squares, earlier, params)
    assert contents(earlier) == {"checkpoint.pt": b"earlier"}
    train(*squares, earlier, params)
    assert "going on after epoch" in capsys.readouterr().out
    assert contents(earlier) == contents(whole_run[0])


def test_training_with_other_parameters_does_not_go_on_from_a_stopped_one(
    whole_run, squares, tmp_path, params, capsys
):
    out = tmp_path / "train"
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c_after_an_epoch(*squares, out, params.model_copy(update={"weight_decay": 0.5}))
    train(*squares, out, params)
    assert (
        "starting over: parameters have changed since the training that was stopped"
        in capsys.readouterr().out
    )
    assert contents(out) == contents(whole_run[0])


def test_training_with_other_code_does_not_go_on_from_a_stopped_one(squares, tmp_path, params):
    tree, out = tmp_path / "tree", tmp_path / "train"
    for package in ("dobble", "jetson"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    run = [sys.executable, "-c", TRAIN_UNTIL_KILLED, *squares, out, params.model_dump_json()]
    assert subprocess.run(run, cwd=tree, capture_output=True, check=False).returncode == -signal.SIGKILL
    loss = tree / "dobble/detector/loss.py"
    text = loss.read_text(encoding="utf-8")
    loss.write_text(text.replace("BOX_WEIGHT = 2.0", "BOX_WEIGHT = 20.0"), encoding="utf-8")
    run[2] = TRAIN_UNTIL_KILLED.replace("== 2", "== 9")
    done = subprocess.run(run, cwd=tree, capture_output=True, text=True, check=True)
    assert "starting over: code has changed since the training that was stopped" in done.stdout
    assert [row["epoch"] for row in history(out)] == ["1", "2", "3"]


def test_training_on_other_pixels_of_equal_bytes_does_not_go_on_from_a_stopped_one(
    own_squares, tmp_path, params, capsys
):
    photo, out = own_squares[0] / "JPEGImages/photo00.png", tmp_path / "train"
    image = cv2.imread(str(photo))
    photo.write_bytes(cv2.imencode(".bmp", image)[1].tobytes())
    size = photo.stat().st_size
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c_after_an_epoch(*own_squares, out, params)
    photo.write_bytes(cv2.imencode(".bmp", 255 - image)[1].tobytes())
    assert photo.stat().st_size == size
    train(*own_squares, out, params)
    assert "starting over: photos have changed" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"damaged"])
def test_damaged_state_of_a_stopped_training_is_passed_over(whole_run, squares, tmp_path, params, content):
    out = tmp_path / "train"
    state_of(out).parent.mkdir()
    state_of(out).write_bytes(content)
    train(*squares, out, params.model_copy(update={"epochs": 1}))
    assert [row["epoch"] for row in history(out)] == ["1"]
    assert not state_of(out).parent.exists()


def test_loss_that_is_no_number_stops_training_and_keeps_the_earlier_one(squares, earlier, params):
    with pytest.raises(TrainingError) as error:
        train(*squares, earlier, params.model_copy(update={"learning_rate": 1e30}))
    assert str(error.value) == (
        "epoch 1, step 2: the loss is nan; lower train.learning_rate, or look at the newest labels"
    )
    assert contents(earlier) == {"checkpoint.pt": b"earlier"}
    assert list(earlier.parent.iterdir()) == [earlier]


def test_full_disk_stops_training_with_the_file_s_name_and_keeps_the_earlier_one(squares, earlier, params):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError) as error:
            train(*squares, earlier, params)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(error.value).startswith(f"{state_of(earlier)} could not be written: File too large")
    assert contents(earlier) == {"checkpoint.pt": b"earlier"}


def test_one_photo_is_too_few(own_squares, tmp_path, params):
    voc, splits = own_squares
    write_lines(splits / "train.txt", ["photo00"])
    with pytest.raises(TrainingError, match=r"train\.txt: training needs at least 2 photos, not 1$"):
        train(voc, splits, tmp_path / "train", params)


def test_two_photos_are_enough(own_squares, tmp_path, params):
    voc, splits = own_squares
    write_lines(splits / "train.txt", ["photo00", "photo01"])
    assert train(voc, splits, tmp_path / "train", params.model_copy(update={"epochs": 1})).epochs == 1


@no_gpu
def test_cuda_without_a_gpu_is_an_error_that_says_so(squares, tmp_path, params):
    with pytest.raises(TrainingError) as error:
        train(*squares, tmp_path / "train", params.model_copy(update={"device": "cuda"}))
    assert str(error.value) == "train.device is cuda, but PyTorch sees no GPU; set it to auto or cpu"


def test_weights_that_are_not_there_stop_training_before_it_starts(squares, earlier, params):
    with pytest.raises(CheckpointError, match=r"no\.pt: train\.weights names it"):
        train(*squares, earlier, params.model_copy(update={"weights": str(earlier / "no.pt")}))
    assert contents(earlier) == {"checkpoint.pt": b"earlier"}


def test_training_goes_on_from_a_checkpoint_of_its_own(whole_run, squares, tmp_path, params):
    weights = tmp_path / "checkpoint.pt"
    shutil.copyfile(whole_run[0] / "checkpoint.pt", weights)
    short = params.model_copy(update={"epochs": 1, "weights": str(weights), "learning_rate": 1e-5})
    train(*squares, tmp_path / "train", short)
    # Three epochs of learning are kept; a new network starts at the loss of the first line.
    assert float(history(tmp_path / "train")[0]["class_loss"]) < float(history(whole_run[0])[0]["class_loss"])


@pytest.mark.parametrize("missing", ["voc/labels.txt", "splits/val.txt", "voc/JPEGImages/photo03.png"])
def test_what_an_earlier_stage_should_have_left_is_named(own_squares, tmp_path, params, missing):
    (tmp_path / missing).unlink()
    with pytest.raises(MissingInputError, match=f"{missing} does not exist"):
        train(*own_squares, tmp_path / "train", params)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_training_on_a_gpu_leaves_a_checkpoint_for_any_machine(squares, tmp_path, params, device):
    train(*squares, tmp_path / "train", params.model_copy(update={"device": device}))
    rows = history(tmp_path / "train")
    assert float(rows[2]["class_loss"]) < float(rows[0]["class_loss"])
    state = load_checkpoint(tmp_path / "train" / "checkpoint.pt").state
    assert {value.device.type for value in state.values()} == {"cpu"}
