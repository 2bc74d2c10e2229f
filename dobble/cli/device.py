"""The verb that packs what is carried to a device."""

from pathlib import Path
from typing import Annotated

import typer

from dobble.paths import BUNDLE, DEVICE_ARCHIVE

app = typer.Typer()


@app.command(rich_help_panel="Use")
def device(
    *,
    bundle: Annotated[Path, typer.Option(help="Exported bundle.")] = BUNDLE,
    out: Annotated[Path, typer.Option(help="Archive to write.")] = DEVICE_ARCHIVE,
) -> None:
    """Pack package, bundle, installer, service and container recipes for a Jetson."""
    from dobble.registry.device_archive import pack_device

    done = pack_device(bundle, out)
    print(f"{out}: {done.files} files, {done.bytes / 1e6:.1f} MB, sha256 {done.sha256}")
    print("on the device: tar xzf dobble-device.tar.gz && sudo dobble-device/install.sh")
