"""Exports of a server's candidates, written to folders of this machine."""

from __future__ import annotations

import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from dashboards.service.base import Service
from dashboards.words import Json
from hwprofiles import digest_of_file
from hwprofiles.errors import InvalidInput, ParetuneError, StorageError
from search.export.bundle import check_writable
from search.states import ExportState

LOOK_S = 1.0
_FILES = ("manifest.json", "model.onnx", "receipt.json")
Say = Callable[[str], None]


def export_there(service: Service, candidate: str, folder: Path, options: Json, say: Say) -> Json:
    """Has a worker export a candidate (minutes), writes its bundle to a new folder, and returns its receipt.

    ``say`` gets what is going on. An interrupt cancels the export. Raises as :func:`save_bundle` does.
    """
    check_new(folder)
    check_writable(folder)
    document = service.export(candidate, options)
    try:
        while not ExportState(document["state"]).ended:
            say(document["doing"] or f"export {document['export_id']} waits for a worker")
            time.sleep(LOOK_S)
            document = service.export_state(document["export_id"])
    except KeyboardInterrupt:
        service.cancel_export(document["export_id"])
        raise
    return save_bundle(service, document, folder)


def save_bundle(service: Service, document: Json, folder: Path) -> Json:
    """Writes the bundle of an export that has ended to a new folder, and returns its receipt.

    Checks the files against the hashes of the bundle and of the receipt. Raises :class:`ParetuneError` for an export
    that has failed or was cancelled, :class:`InvalidInput` for a folder with contents, :class:`StorageError` for one
    that cannot be written.
    """
    check_new(folder)
    if document["state"] == "failed":
        raise ParetuneError(document["error"], document["hint"] or "")
    if document["state"] == "cancelled":
        raise ParetuneError(f"export {document['export_id']} was cancelled", "ask for a new one")
    receipt: Json = document["receipt"]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            _unpack(service, document["export_id"], Path(scratch), receipt)
            if folder.exists():
                folder.rmdir()
            shutil.copytree(Path(scratch) / "bundle", folder)
    except OSError as error:
        raise StorageError(f"folder {folder} cannot be written: {error.strerror}", "name another with -o") from None
    return receipt


def check_new(folder: Path) -> None:
    """Raises :class:`InvalidInput` for a folder with contents."""
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise InvalidInput(f"-o: {folder} exists and is not empty", "name a new folder with -o")


def _unpack(service: Service, export_id: str, scratch: Path, receipt: Json) -> None:
    service.bundle(export_id, scratch / "bundle.zip")
    with zipfile.ZipFile(scratch / "bundle.zip") as archive:
        for name in _FILES:  # no other names, so that nothing is written elsewhere
            archive.extract(name, scratch / "bundle")
    if digest_of_file(scratch / "bundle" / "model.onnx") != receipt["model_sha256"]:
        raise StorageError("the model is not the one that the receipt is about", "export it again")
