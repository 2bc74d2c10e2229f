"""Turns what a board is and has, libraries aside, into findings, each with the command that mends it."""

import os
from typing import NamedTuple, Optional

from jetson import home
from jetson.board import cures
from jetson.board.board import Board
from jetson.board.sensors import Sensors

OK, ABSENT, WARN, FAIL = "ok", "absent", "warn", "fail"
LOW_DISK_MB = 1024
SMALL_MB = 6144  # memory below which engines are built with the help of swap
SWAP_MB = 3072
FASTEST = ("MAXN_SUPER", "MAXN")  # of nvpmodel's modes; a board has one or both


class Finding(NamedTuple):
    """One line of the report.

    Attributes:
        name: what was looked at.
        state: "ok", "absent" (and need not be there), "warn" (plays, but worse) or "fail" (cannot play).
        found: what was seen.
        cure: the command or step that mends it, or None.
    """

    name: str
    state: str
    found: str
    cure: Optional[str] = None


def board(board: Board) -> Finding:
    """Name the board."""
    if board.model is not None:
        return Finding("board", OK, board.model)
    return Finding("board", ABSENT, "not a Jetson: {}".format(board.processor))


def jetpack(board: Board) -> Finding:
    """Name its JetPack."""
    if board.l4t is None:
        return Finding("JetPack", ABSENT, "none")
    if board.jetpack is None:
        return Finding("JetPack", WARN, "L4T {}, not known here".format(board.l4t), "apt list nvidia-jetpack")
    return Finding("JetPack", OK, "{} (L4T {})".format(board.jetpack, board.l4t))


def power(root: str, is_jetson: bool) -> Finding:
    """Read its power."""
    power = Sensors(root).power()
    if power is not None:
        return Finding("power sensor", OK, "{:.1f} W now".format(power / 1000.0))
    found = "no INA3221 that this user can read"
    if is_jetson:
        return Finding(
            "power sensor", WARN, found, "jtop reads it for us; an AGX board has no rail of the whole"
        )
    return Finding("power sensor", ABSENT, found)


def power_mode(root: str) -> Finding:
    """Name the mode of nvpmodel."""
    sensors = Sensors(root)
    mode = sensors.read().nvpmodel
    if mode is None:
        return Finding("power mode", ABSENT, "no nvpmodel")
    numbers = {name.upper(): number for number, name in sensors.power_modes().items()}
    fastest = next((name for name in FASTEST if name in numbers), None)
    if mode.upper() == fastest or (fastest is None and mode.upper() in FASTEST):
        return Finding("power mode", OK, mode)
    if fastest is None:
        return Finding("power mode", WARN, "{}: which one is the fastest is not known".format(mode))
    cure = "sudo nvpmodel -m {}".format(numbers[fastest])
    return Finding("power mode", WARN, "{}: not the fastest".format(mode), cure)


def clocks(board: Board) -> Finding:
    """Tell whether the clocks are held."""
    if board.clocks_held is None:
        return Finding("jetson_clocks", ABSENT, "no GPU clock to hold")
    if board.clocks_held:
        return Finding("jetson_clocks", OK, "on")
    return Finding("jetson_clocks", WARN, "off: times will vary", "sudo jetson_clocks")


def cameras(board: Board) -> Finding:
    """Name the cameras and whether this user may open them."""
    if not board.cameras:
        return Finding("cameras", ABSENT, "none; pictures, folders and videos can be played")
    found = ", ".join("{} ({})".format(camera.path, camera.name) for camera in board.cameras)
    if not any(camera.allowed for camera in board.cameras):
        cure = cures.join_group("video")
        return Finding("cameras", WARN, "{}, not open to this user".format(found), cure)
    return Finding("cameras", OK, found)


def memory(board: Board, is_jetson: bool) -> Finding:
    """Tell memory and swap."""
    memory = board.memory
    if memory is None:
        return Finding("memory", WARN, "unknown")
    found = "{} MiB, {} available; {} MiB of swap on disk".format(*memory)
    if is_jetson and memory.total_mb < SMALL_MB and memory.swap_mb < SWAP_MB:
        cure = (
            "engines may not build: sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && "
            "sudo mkswap /swapfile && sudo swapon /swapfile"
        )
        return Finding("memory", WARN, found, cure)
    return Finding("memory", OK, found)


def disk() -> Finding:
    """Tell the room for engines and bundles."""
    folder = os.path.abspath(home.home())
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    usage = os.statvfs(folder)
    free = usage.f_bavail * usage.f_frsize >> 20
    found = "{} MiB free for {}".format(free, home.home())
    if free < LOW_DISK_MB:
        return Finding("disk", WARN, found, "sudo apt-get clean, or point {} elsewhere".format(home.VARIABLE))
    return Finding("disk", OK, found)
