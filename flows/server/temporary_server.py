"""Has the server that Prefect starts for a flow without one end with the flow, even by SIGKILL."""

import subprocess
from typing import Any

from prefect.server.api.server import SubprocessASGIServer

from dobble.errors import ServiceError

_TRIES = 3
# The writing end of the pipe is closed with this process, however it dies.
_LEASH = 'read -r _; kill -TERM "$1" && sleep 10 && kill -KILL "$1"'


class LeashedServer(SubprocessASGIServer):
    """Prefect's temporary server; once one is made, Prefect uses it instead of one of its own."""

    def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
        # Prefect takes one that cannot start for one whose port was taken, and tries until its time is up.
        self._tries = getattr(self, "_tries", 0) + 1
        if self._tries > _TRIES:
            raise ServiceError("Prefect's temporary server", "ends at its start; what it said is above", [])
        process = super()._run_uvicorn_command()
        subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _LEASH, "sh", str(process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return process
