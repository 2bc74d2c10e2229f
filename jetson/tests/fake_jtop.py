"""A module `jtop` with the shapes that the real one gave on an emulated Nano (4.3.2) and Orin NX (7.2).

`FAKE_JTOP` says what its service does, one word for each start of a client, the last for all later ones:
nano, orin, missing (no module), hang (in start), lost (after two answers), frozen (one answer for ever).
`FAKE_JTOP_PIDS` is a file that gets the process of each client.
"""

import os
import time


def rail(milliwatts, **more):
    values = {
        "volt": 5000,
        "curr": milliwatts // 5,
        "power": milliwatts,
        "warn": 0,
        "crit": 0,
        "online": True,
    }
    return dict(values, avg=milliwatts // 2, **more)


NANO = {
    "power": {
        "rail": {"POM_5V_CPU": rail(400), "POM_5V_GPU": rail(700)},
        "tot": rail(3100, name="POM_5V_IN"),
    },
    "gpu": {
        "gpu": {
            "type": "integrated",
            "status": {"railgate": False, "tpc_pg_mask": False, "3d_scaling": True, "load": 90.0},
            "freq": {"governor": "nvhost_podgov", "cur": 614400, "max": 921600, "min": 76800},
        }
    },
    "memory": {"RAM": {"tot": 4059192, "used": 2097152, "free": 1000000, "shared": 51200, "lfb": 4}},
    "temperature": {
        "CPU": {"temp": 31.5, "online": True},
        "GPU": {"temp": 29.0, "online": True},
        "AO": {"temp": -256, "online": False},
    },
    "cpu": {"total": {"user": 20.0, "nice": 0.0, "system": 5.0, "idle": 75.0}, "cpu": []},
}
ORIN = dict(
    NANO,
    power={"rail": {"VDD_CPU_GPU_CV": rail(1500), "VDD_SOC": rail(900)}, "tot": rail(5200, name="VDD_IN")},
    gpu={"ga10b": dict(NANO["gpu"]["gpu"], freq={"cur": 306000, "max": 918000, "min": 306000})},
)


class JtopException(Exception):  # noqa: N818 - the real name
    """As the real client's."""


class Mode:
    """As the real client's power mode."""

    name, id = "MAXN", 0


class jtop:  # noqa: N801 - the real name
    """Stands for one connection."""

    def __init__(self, interval=1.0):
        self.interval, self.answers, self.service = interval, 0, SERVICE
        self.nvpmodel, self.jetson_clocks = Mode(), True
        values = ORIN if SERVICE == "orin" else NANO
        for name, value in values.items():
            setattr(self, name, value)

    def __enter__(self):
        if self.service == "hang":
            time.sleep(3600)
        return self

    def __exit__(self, *error):
        return error[0] is None

    def ok(self, spin=False):
        time.sleep(self.interval)
        self.answers += 1
        if self.service == "lost" and self.answers > 2:
            raise JtopException("Lost connection with jtop server")
        if self.service != "frozen":
            ram = dict(self.memory["RAM"], used=self.memory["RAM"]["used"] + 4)
            self.memory = {"RAM": ram}
        return True


def _this_start():
    pids = os.environ["FAKE_JTOP_PIDS"]
    with open(pids, "a+", encoding="ascii") as stream:
        stream.write("{}\n".format(os.getpid()))
        stream.seek(0)
        start = len(stream.readlines())
    services = os.environ["FAKE_JTOP"].split()
    return services[min(start, len(services)) - 1]


if __name__ == "jtop":
    SERVICE = _this_start()
    if SERVICE == "missing":
        raise ImportError("No module named 'jtop'")
