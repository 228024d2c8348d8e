"""Commands about devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dashboards.cli.completion import complete_device
from dashboards.cli.console import ProgressBar, err, out, print_rows
from dashboards.cli.fields import flatten
from dashboards.cli.options import AsFormat, Db, Format, existing_store, is_new_home, print_fields, print_json
from dashboards.documents import devices
from dashboards.documents.report import Json
from hwprofiles import Profile, find_device
from hwprofiles.catalogue import add_description, remove_description
from hwprofiles.description import NAME
from hwprofiles.errors import DeviceUnavailable, InvalidInput, StorageError
from hwprofiles.registry import DEVICES

DeviceName = Annotated[
    str, typer.Argument(help="The device's name.", show_default=False, autocompletion=complete_device)
]


def devices_list(format: AsFormat = Format.TABLE) -> None:
    """List the devices, which of them are modelled, and why one is not available."""
    document = devices.devices_document()
    if format is Format.JSON:
        print_json(document)
        return
    columns = {name: name for name in ("device", "origin", "figures", "available", "what")}
    print_rows("", [_row(device) for device in document["devices"]], columns, "")


def _row(device: Json) -> Json:
    if not device["available"]:
        return {**device, "available": "no", "what": device["reason"]}
    runtimes = (f"{name} {version}" for name, version in device["runtimes"])
    title = ", ".join((device["title"] or device["processor"], *runtimes))
    return {**device, "available": "yes", "figures": _figures(device), "what": title}


def _figures(device: Json) -> str:
    """The origin of figures on a device."""
    return "measured" if not device["simulated"] else "made up" if device["peaks"] is None else "modelled"


def devices_show(device: DeviceName, format: AsFormat = Format.TABLE) -> None:
    """Show a device: its processor, memory, caches and runtimes."""
    document = devices.device_document(device)
    if format is Format.JSON:
        print_json(document)
        return
    if document.get("simulated"):
        out.print(f"{_figures(document)}, not measured")
    print_fields(flatten(document))


def devices_probe(
    output: Annotated[
        Path | None,
        typer.Option(help="Also measure its peaks, and describe it in this TOML file.", show_default=False),
    ] = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Show what this machine is: processor, caches, memory, GPUs, runtimes."""
    if output is not None:
        _check_output(output)
    document = devices.probe_document()
    if format is Format.JSON:
        print_json(document)
    else:
        print_fields(flatten(document))
    if output is not None:
        _describe_machine(output)
        err.print(f"wrote {output}; on another machine: paretune devices add {output.name}", soft_wrap=True)


def _check_output(output: Path) -> None:
    """Check the file before anything is measured: its name becomes the device's."""
    if output.suffix != ".toml" or not NAME.fullmatch(output.stem):
        raise InvalidInput(
            f"--output: {output.name!r} does not name a device", "name it like my-laptop.toml, in lower case"
        )
    if not output.resolve().parent.is_dir():
        raise InvalidInput(f"--output: folder {output.parent} does not exist", "make it first")


def _describe_machine(output: Path) -> None:
    from evaluators.devices.describe import describe
    from hwprofiles.probe import usable_cores

    with ProgressBar() as progress:
        description = describe(output.stem, find_device("local-cpu", len(usable_cores())), say=progress.say)
    try:
        output.write_text(description.to_toml())
    except OSError as error:
        raise StorageError(f"file {output} cannot be written: {error.strerror}", "name another with --output") from None


def devices_add(
    file: Annotated[Path, typer.Argument(help="A TOML file that describes the device.", show_default=False)],
) -> None:
    """Add a described device, to be modelled."""
    description, replaced = add_description(file, frozenset(DEVICES))
    out.print(f"{'replaced' if replaced else 'added'} {description.name}: {description.title}", soft_wrap=True)


def devices_remove(device: DeviceName) -> None:
    """Remove a device that was added."""
    remove_description(device, frozenset(DEVICES))
    out.print(f"removed {device}")


def devices_check(device: DeviceName, db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """Check that a device is unchanged and fit to measure; exits 5 when a check fails."""
    document = _check(device, db)
    if format is Format.JSON:
        print_json(document)
    else:
        print_rows("", document["checks"], {"name": "check", "state": "state", "finding": "finding"}, "")
    failed = [check["name"] for check in document["checks"] if check["state"] == "failed"]
    if failed:
        raise DeviceUnavailable(f"device {device!r}: failed: {', '.join(failed)}", "the findings say what is wrong")


def _check(device: str, db: str | None) -> Json:
    from evaluators.devices.check import Check, check_device

    devices.origin_of(device)
    registered: Profile | None = None
    if not is_new_home(db):
        with existing_store(db) as store:
            registered = dict(store.devices.all()).get(device)
    size: dict[str, Any] = {} if registered is None else {"threads": registered.threads, "batch": registered.batch}
    try:
        profile = find_device(device, **size)
    except (DeviceUnavailable, InvalidInput) as error:
        lacking = Check("available", "failed", f"{error.message}; {error.hint}")
        return devices.check_document(device, None, (lacking,))
    with ProgressBar() as progress:
        return devices.check_document(device, profile, check_device(profile, registered, say=progress.say))
