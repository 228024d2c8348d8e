"""Commands that probe, add, remove and check devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dashboards.cli.completion import complete_device
from dashboards.cli.console import ProgressBar, err, out, print_fields, print_rows
from dashboards.cli.fields import flatten
from dashboards.cli.options import AsFormat, Db, Format, print_json, store_if_any
from dashboards.documents import devices
from dashboards.words import Json
from hwprofiles import find_device
from hwprofiles.catalogue import add_description, remove_description
from hwprofiles.description import NAME
from hwprofiles.errors import DeviceUnavailable, InvalidInput, StorageError
from hwprofiles.registry import DEVICES
from search.devices.lookup import DeviceRegistry

DeviceName = Annotated[
    str, typer.Argument(help="The device's name.", show_default=False, autocompletion=complete_device)
]


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
    """Checks the file before anything is measured: its name becomes the device's."""
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


def devices_remove(device: DeviceName, db: Db = None) -> None:
    """Removes a device that was added, or a remote device; results of jobs stay."""
    with store_if_any(db) as store:
        if devices.origin_of(device, store) == devices.REMOTE and store is not None:
            store.agents.remove(device)
            out.print(f"removed {device}: its token is refused from now on; results of jobs stay", soft_wrap=True)
            err.print(f"to add it again: paretune devices token {device} -o {device}.token", soft_wrap=True)
            return
    remove_description(device, frozenset(DEVICES))
    out.print(f"removed {device}; results of jobs stay")


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
    from evaluators.devices.check import Check
    from search.devices.check import check_any_device

    with store_if_any(db) as store:
        devices.origin_of(device, store)
        registered = None if store is None else dict(store.devices.all()).get(device)
        size: dict[str, Any] = {} if registered is None else {"threads": registered.threads, "batch": registered.batch}
        try:
            profile = DeviceRegistry(store).find(device, **size)
        except (DeviceUnavailable, InvalidInput) as error:
            lacking = Check("available", "failed", f"{error.message}; {error.hint}")
            return devices.check_document(device, None, (lacking,))
        with ProgressBar() as progress:
            checks = check_any_device(store, profile, registered, progress.say)
        return devices.check_document(device, profile, checks)
