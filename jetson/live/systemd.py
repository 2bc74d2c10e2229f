"""Tells systemd that the service is ready and alive, where systemd wants to know."""

import os
import socket


def is_watched() -> bool:
    """Tell whether systemd ends this process when it stops saying `WATCHDOG=1` (sd_watchdog_enabled(3))."""
    return bool(os.environ.get("WATCHDOG_USEC")) and os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(
        os.getpid()
    )


def notify(message: str) -> None:
    """Send a line such as `READY=1` or `WATCHDOG=1`; without systemd this does nothing (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(message.encode("ascii"), address)
    except OSError:
        pass  # systemd is going down; there is nobody to tell
