"""A bundle and the device's package into the one archive that is carried to a board and installed there."""

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import jetson
from dobble.files import replaced_file
from jetson.play.bundle import load_bundle

TOP = "dobble-device"
"""The folder that the archive unpacks to."""

_PACKAGE = Path(jetson.__file__).parent
_DEPLOY = _PACKAGE / "deploy"
_NOT_CARRIED = {"tests", "deploy", "__pycache__"}
_MODIFIED = 1_577_836_800
"""2020-01-01: of every file, so that equal contents give equal bytes."""


@dataclass(frozen=True)
class DeviceSummary:
    """What was packed."""

    files: int
    bytes: int
    sha256: str


def pack_device(bundle: Path, out: Path) -> DeviceSummary:
    """Write package, bundle, installer, service and container recipes as one .tar.gz.

    Equal inputs give equal bytes, whatever the files' dates and owners.

    Raises:
        BundleError: if the bundle is not whole.
        OutputError: if `out` cannot be written.
    """
    load_bundle(str(bundle))
    members = {
        **_below(_DEPLOY, ""),
        **_below(_PACKAGE, "jetson/"),
        **_below(bundle, "bundle/"),
    }
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name in sorted(members):
            _add(archive, f"{TOP}/{name}", members[name])
    with replaced_file(out) as side:
        side.write_bytes(packed.getvalue())
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    return DeviceSummary(files=len(members), bytes=len(packed.getvalue()), sha256=digest)


def _below(folder: Path, prefix: str) -> dict[str, Path]:
    """Give the files of a folder by their names in the archive."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        prefix + path.relative_to(folder).as_posix(): path
        for path in files
        if not _NOT_CARRIED & set(path.relative_to(folder).parts)
    }


def _add(archive: tarfile.TarFile, name: str, path: Path) -> None:
    content = path.read_bytes()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime = len(content), _MODIFIED
    entry.mode = 0o755 if content.startswith(b"#!") else 0o644
    archive.addfile(entry, io.BytesIO(content))
