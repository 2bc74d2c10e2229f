"""Processes that `torchrun` starts to train one network together, each on its share of every batch."""

import logging
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, distributed, nn

from dobble.env import torchrun_place
from dobble.errors import DobbleError, TrainingError
from dobble.params import TrainParams
from dobble.processes import end_with_parent

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

_T = TypeVar("_T")
_Network = TypeVar("_Network", bound=nn.Module)
PROCESSES_ON_CPUS = 2
_PATIENCE = timedelta(minutes=30)  # the others wait that long while the first validates
_LOST = re.compile(r"gloo|nccl|connection|broken pipe|peer|timed? ?out", re.IGNORECASE)


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those that train together; without others, nothing is exchanged."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that validates, saves and speaks."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """Which photos of a batch are this process's."""
        return slice(self.rank, None, self.size)

    def sum(self, values: Tensor) -> Tensor:
        """Add up the values of all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def from_first(self, value: _T) -> _T:
        """Give every process what the first one has."""
        if self.size == 1:
            return value
        told = [value]
        distributed.broadcast_object_list(told)
        return told[0]

    def check_same(self, value: str, what: str) -> None:
        """Raise TrainingError in every process if one has another value than the first."""
        if self.size == 1:
            return
        values = [""] * self.size
        distributed.all_gather_object(values, value)
        other = next((rank for rank in range(self.size) if values[rank] != values[0]), None)
        if other is not None:
            cure = "`git pull` and `dvc pull` there"
            raise TrainingError(f"process {other} has other {what} than process 0: {cure}")

    def share_normalisation(self, network: _Network) -> _Network:
        """On GPUs, let batch normalisation look at the whole batch; there are no such kernels for CPUs."""
        if self.size == 1 or self.device.type == "cpu":
            return network
        converted: _Network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted

    def wrap(self, network: nn.Module) -> nn.Module:
        """Give the network to train, whose gradients are the mean over all processes."""
        if self.size == 1:
            return network
        # Which parameters take part never changes, and those of unused feature maps never do.
        return nn.parallel.DistributedDataParallel(network, forward_sync_buffers=False, static_graph=True)

    def average_statistics(self, network: nn.Module) -> None:
        """Average what each process counted for batch normalisation, where it sees its own share only."""
        if self.size == 1:
            return
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        counted = [
            value for norm in norms for value in (norm.running_mean, norm.running_var) if value is not None
        ]
        if counted:
            means = torch.split(self.sum(torch.cat(counted)) / self.size, [len(value) for value in counted])
            for value, mean in zip(counted, means, strict=True):
                value.copy_(mean)


@contextmanager
def joined_ranks(wanted: str) -> Iterator[Ranks]:
    """Join the processes that `torchrun` started, by NCCL on GPUs and by Gloo on CPUs; alone without it.

    An error goes to the process that started this one, which reports it once for all; this one then only
    exits.

    Args:
        wanted: `train.device`: auto, cpu or cuda.

    Raises:
        TrainingError: if there is no device for this process.
    """
    place = torchrun_place()
    if place is None or place.size == 1:
        yield Ranks(_choose_device(wanted, 0))
        return
    end_with_parent()
    try:
        device = _choose_device(wanted, place.local_rank)
        if device.type == "cuda":
            device = torch.device("cuda", place.local_rank)
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
        yield Ranks(device, place.rank, place.size)
        distributed.destroy_process_group()
    except DobbleError as error:
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler  # noqa: PLC0415

        get_error_handler().record_exception(error)
        raise SystemExit(1) from error
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        raise SystemExit(1) from error  # another process has ended, and knows why


def process_count(params: TrainParams) -> int:
    """How many processes to start: `train.processes`, but 1 in a process that `torchrun` started.

    `auto` on CPUs is two whatever the machine, for another number gives other weights. Processes wait for
    each other once a step, and threads at every operation: beside other work threads wait much longer.
    """
    if torchrun_place() is not None:
        return 1
    if params.processes != "auto":
        return params.processes
    on_cpus = params.device == "cpu" or not torch.cuda.is_available()
    return min(PROCESSES_ON_CPUS if on_cpus else torch.cuda.device_count(), params.batch_size)


def launch(processes: int, arguments: Sequence[str]) -> None:
    """Run Python with these arguments in several processes that find each other, and wait for all.

    Raises:
        TrainingError: what the process that failed first says; the others are ended.
        KeyboardInterrupt: at Ctrl-C, once all have ended.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException  # noqa: PLC0415
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # noqa: PLC0415

    logging.disable(logging.ERROR)  # PyTorch's reports of a failure: ours is one line
    with TemporaryDirectory(prefix="dobble-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id="train",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(folder),
        )
        try:
            elastic_launch(config, sys.executable)(*arguments)
        except ChildFailedError as error:
            raise TrainingError(_root_cause(error.failures, processes)) from None
        except SignalException as error:
            if error.sigval == signal.SIGINT:
                raise KeyboardInterrupt from None
            raise SystemExit(128 + error.sigval) from None
        finally:
            logging.disable(logging.NOTSET)


def _root_cause(failures: "Mapping[int, ProcessFailure]", processes: int) -> str:
    """Say why the first process failed; those that it drew along were ended or have nothing to say."""

    def order(rank: int) -> tuple[bool, bool, int]:
        failure = failures[rank]
        drawn_along = failure.exitcode in (1, -signal.SIGTERM)
        return not _recorded(failure), drawn_along, failure.timestamp

    rank = min(failures, key=order)
    failure = failures[rank]
    if message := _recorded(failure):
        return message
    how = f"was ended by {failure.signal_name()}" if failure.exitcode < 0 else "failed"
    return f"process {rank} of {processes} {how}; what it wrote stands above, and the next run goes on"


def _recorded(failure: "ProcessFailure") -> str:
    """The message of the error that the process recorded, empty if it recorded none."""
    if isinstance(failure.message, str):
        return ""
    said: str = failure.message["message"]
    return said.partition(": ")[2]


def _choose_device(wanted: str, local_rank: int) -> torch.device:
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "cuda" and not there:
        raise TrainingError("train.device is cuda, but PyTorch sees no GPU; set it to auto or cpu")
    if wanted == "cpu" or not there:
        return torch.device("cpu")
    if local_rank >= there:
        cure = f"start {there} processes, or set train.device to cpu"
        raise TrainingError(f"process {local_rank} of this machine has no GPU, for there are {there}; {cure}")
    return torch.device("cuda")
