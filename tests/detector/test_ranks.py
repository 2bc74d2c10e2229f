"""Two processes that train together by Gloo on the CPU, started by `dobble train` and as it starts them."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml

from dobble.data.voc import read_labels
from dobble.detector.anchors import fit_anchors
from dobble.detector.batches import epoch_batches
from dobble.detector.checkpoint import save_checkpoint
from dobble.detector.dataset import TrainingPhotos, box_shares, load_split
from dobble.detector.loss import multibox_loss
from dobble.detector.network import Detector
from dobble.detector.ranks import Ranks, process_count
from dobble.detector.train import _train, train
from dobble.errors import TrainingError

ROOT = Path(__file__).parents[2]
EPOCHS = 3

# Notes the hash of the weights and of their average after every epoch; process 1 may die after one.
WATCHED = """
import hashlib, os, signal, sys
from pathlib import Path
from dobble.detector.training_state import TrainingState
from dobble.detector.train import train
from dobble.params import load_params

validate = TrainingState.validate

def digest(network):
    parts = [value.cpu().numpy().tobytes() for value in network.state_dict().values()]
    return hashlib.sha256(b"".join(parts)).hexdigest()

def watched(self, held_out):
    validate(self, held_out)
    with Path(f"weights{self.ranks.rank}.txt").open("a") as file:
        print(self.epoch, digest(self.network), digest(self.average), file=file)
    if self.ranks.rank == 1 and self.epoch == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

TrainingState.validate = watched
train(Path("build/voc"), Path("build/splits"), Path("build/train"), load_params().train)
"""
LAUNCH = """
import sys
from dobble.detector.ranks import launch
from dobble.errors import DobbleError
try:
    launch(2, sys.argv[1:])
except DobbleError as error:
    sys.exit(f"error: {error}")
"""


@pytest.fixture(scope="module")
def params(train_params):
    return train_params.model_copy(update={"epochs": EPOCHS, "processes": 2})


@pytest.fixture
def project(tmp_path, squares, params):
    return write_project(tmp_path, squares, params)


@pytest.fixture(scope="module")
def together(tmp_path_factory, squares, params):
    """A project in which two processes trained undisturbed."""
    folder = write_project(tmp_path_factory.mktemp("together"), squares, params)
    done = run(folder, "-c", LAUNCH, "watched.py", "0")
    assert done.returncode == 0, done.stderr
    return folder


def write_project(folder, squares, params, **changes):
    (folder / "build").mkdir()
    for name, source in zip(("voc", "splits"), squares, strict=True):
        (folder / "build" / name).symlink_to(source)
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["train"] = {**params.model_dump(mode="json"), **changes}
    (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    (folder / "watched.py").write_text(WATCHED)
    return folder


def start(folder, *arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def run(folder, *arguments):
    with start(folder, *arguments) as process:
        _, said = process.communicate(timeout=900)
    return subprocess.CompletedProcess(arguments, process.returncode, None, said)


def trained(folder):
    return {path.name: path.read_bytes() for path in (folder / "build/train").iterdir()}


def losses(out):
    with (out / "history.csv").open(encoding="utf-8") as file:
        return [float(row["box_loss"]) + float(row["class_loss"]) for row in csv.DictReader(file)]


def test_shares_of_a_batch_are_the_batch(squares, train_params):
    photos = TrainingPhotos(load_split(*squares, "train"))
    params = train_params.model_copy(update={"batch_size": 5})
    whole = list(epoch_batches(photos, params, 1))
    shares = [list(epoch_batches(photos, params, 1, slice(rank, None, 2))) for rank in (0, 1)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert [len(part.images) for part in parts] == [3, 2]
        for rank, part in enumerate(parts):
            assert torch.equal(part.images, batch.images[rank::2])
            assert torch.equal(part.boxes, batch.boxes[rank::2])


def test_losses_of_the_shares_add_up_to_the_loss_of_the_batch():
    torch.manual_seed(0)
    anchors = torch.tensor([[0.0, 0.0, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9], [0.0, 0.5, 0.4, 0.9]]).repeat(4, 1)
    logits, deltas = torch.randn(4, 12, 3), torch.randn(4, 12, 4)
    boxes = anchors[:2].expand(4, 2, 4).clone()
    boxes[1:, 1] = 0  # photos with one symbol weigh less than the one with two
    labels = torch.tensor([[1, 2]]).expand(4, 2)
    whole = multibox_loss(logits, deltas, boxes, labels, anchors)
    matched = torch.zeros((), dtype=torch.int64)

    def count(own):
        matched.add_(own)
        return own

    for rank in (0, 1):
        multibox_loss(*(part[rank::2] for part in (logits, deltas, boxes, labels)), anchors, count)
    parts = [
        multibox_loss(
            *(part[rank::2] for part in (logits, deltas, boxes, labels)), anchors, lambda _: matched
        )
        for rank in (0, 1)
    ]
    assert torch.stack([torch.stack(part) for part in parts]).sum(0) == pytest.approx(torch.stack(whole))


def test_two_processes_end_with_the_same_weights(together):
    first, second = ((together / f"weights{rank}.txt").read_text().splitlines() for rank in (0, 1))
    assert len(first) == EPOCHS
    assert len(set(first)) == EPOCHS
    assert first == second
    assert set(trained(together)) == {"checkpoint.pt", "history.csv"}
    assert [path.name for path in (together / "build").iterdir() if path.name.startswith(".")] == []


def test_loss_of_two_processes_is_that_of_one_within_what_another_seed_makes(
    together, squares, train_params, tmp_path
):
    threads = torch.get_num_threads()
    curves = []
    for seed in range(3):
        alone = train_params.model_copy(update={"epochs": EPOCHS, "seed": seed})
        train(*squares, tmp_path / f"seed{seed}", alone)
        curves.append(torch.tensor(losses(tmp_path / f"seed{seed}")))
    torch.set_num_threads(threads)
    noise = max(float((curve / curves[0] - 1).abs().mean()) for curve in curves[1:])
    assert float((torch.tensor(losses(together / "build/train")) / curves[0] - 1).abs().mean()) < noise


def test_process_that_dies_ends_the_other_and_the_next_run_goes_on_to_the_same_bytes(project, together):
    killed = run(project, "-c", LAUNCH, "watched.py", "2")
    assert killed.returncode == 1
    assert (
        killed.stderr.strip()
        .splitlines()[-1]
        .startswith(
            "error: process 1 of 2 was ended by SIGKILL; what it wrote stands above, and the next run goes on"
        )
    )
    assert not (project / "build/train").exists()
    again = run(project, "-m", "dobble", "train")
    assert again.returncode == 0, again.stderr
    assert trained(project) == trained(together)


def test_loss_that_is_no_number_stops_all_processes_with_one_line(tmp_path, squares, params):
    spec = fit_anchors(box_shares(load_split(*squares, "train")))
    labels = tuple(read_labels(squares[0] / "labels.txt"))
    sick = Detector(len(labels), spec)
    torch.nn.init.constant_(next(sick.backbone.parameters()), float("nan"))
    save_checkpoint(tmp_path / "sick.pt", sick, labels, spec)
    write_project(tmp_path, squares, params, weights="sick.pt")
    done = run(tmp_path, "-m", "dobble", "train")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: epoch 1, step 1: the loss is nan; lower train.learning_rate, or look at the newest labels"
    ]
    assert not (tmp_path / "build/train").exists()


def test_processes_do_not_outlive_the_one_that_started_them(tmp_path, squares, params):
    write_project(tmp_path, squares, params, epochs=1000)
    with start(tmp_path, "-m", "dobble", "train") as launcher:
        deadline = time.monotonic() + 600
        while not (tmp_path / "build/.train.resume/state.pt").is_file() and time.monotonic() < deadline:
            time.sleep(0.1)
        ranks = psutil.Process(launcher.pid).children(recursive=True)
        assert len(ranks) >= 2
        launcher.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(ranks, timeout=300)
    for process in alive:
        process.kill()
    assert alive == []


def test_more_processes_than_a_batch_has_photos_are_refused(tmp_path, squares, train_params):
    ranks = Ranks(torch.device("cpu"), 0, 5)
    with pytest.raises(TrainingError) as error:
        _train(*squares, tmp_path / "train", train_params, ranks)
    assert str(error.value) == (
        "a batch has fewer photos than 5 processes can share;"
        " lower train.processes, or raise train.batch_size"
    )


@pytest.mark.parametrize(
    ("processes", "device", "gpus", "count"),
    [
        (1, "auto", 4, 1),
        (3, "cpu", 0, 3),
        ("auto", "cpu", 4, 2),
        ("auto", "auto", 0, 2),
        ("auto", "auto", 1, 1),
        ("auto", "auto", 3, 3),
        ("auto", "cuda", 16, 4),
    ],
)
def test_auto_is_a_process_for_each_gpu_that_gets_a_photo_and_two_on_cpus(
    processes, device, gpus, count, train_params, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    given = {"processes": processes, "device": device, "batch_size": 4}
    assert process_count(train_params.model_copy(update=given)) == count


def test_process_that_torchrun_started_starts_no_others(train_params, monkeypatch):
    for name, value in {"RANK": "1", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert process_count(train_params.model_copy(update={"processes": 2})) == 1


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_train_to_the_same_weights(tmp_path, squares, params):
    write_project(tmp_path, squares, params, device="cuda")
    done = run(tmp_path, "-c", LAUNCH, "watched.py", "0")
    assert done.returncode == 0, done.stderr
    first, second = ((tmp_path / f"weights{rank}.txt").read_text() for rank in (0, 1))
    assert first == second
