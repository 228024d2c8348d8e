"""Backups: the database, the artefacts that its jobs need, and the user's devices."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from hwprofiles import digest_of_file
from hwprofiles.errors import InvalidInput, NotFound, ParetuneError, StorageError
from hwprofiles.folders import devices_folder, make_folder
from search.artefacts.backend import object_name
from search.artefacts.backup_files import TAR, BackupReader, BackupWriter, new_backup, open_backup
from search.artefacts.names import check_sha256
from search.artefacts.store import ArtefactStore
from search.store import Store, dumps

FORMAT = 1
_DATABASE, _MANIFEST = "database", "manifest.json"
_DEVICE = re.compile(r"[\w.-]{1,255}\.toml")


@dataclass(frozen=True)
class Manifest:
    """What a backup holds."""

    format: int
    created_at: str
    version: str
    """The version of Paretune that wrote it."""
    database: str
    """``sqlite`` or ``postgresql``."""
    artefacts: tuple[str, ...] | None
    """SHA-256 of its artefacts; None for a backup without them."""
    missing: tuple[str, ...]
    """SHA-256 of artefacts that jobs name and that could not be read."""
    devices: tuple[str, ...]
    """File names of descriptions of devices."""


def back_up(url: str, output: Path, *, artefacts: bool = True) -> Manifest:
    """Writes a backup to a new folder, or to a new file if ``output`` ends with ``.tar``; returns what it holds.

    The database is copied as it is at one moment, and may be in use. ``artefacts`` says whether the files are copied
    that its jobs name. Raises :class:`InvalidInput` for an output that exists.
    """
    if output.exists():
        raise InvalidInput(f"-o: {output} exists, and is not replaced", f"name a new folder or a new {TAR} file")
    try:
        with new_backup(output) as writer, tempfile.TemporaryDirectory(dir=output.absolute().parent) as scratch:
            database = Path(scratch) / _DATABASE
            kind = dumps.dump(url, database)
            writer.add(_DATABASE, database)
            stored, missing = _add_artefacts(url, writer) if artefacts else (None, ())
            devices = sorted(path for path in devices_folder().glob("*.toml") if _DEVICE.fullmatch(path.name))
            for path in devices:
                writer.add(f"devices/{path.name}", path)
            now, names = datetime.now(UTC).isoformat(), tuple(path.name for path in devices)
            manifest = Manifest(FORMAT, now, metadata.version("paretune"), kind, stored, missing, names)
            text = Path(scratch) / _MANIFEST
            text.write_text(json.dumps(asdict(manifest), indent=2) + "\n")
            writer.add(_MANIFEST, text)
    except OSError as error:
        raise StorageError(f"-o: {output} cannot be written: {error.strerror}", "choose another place") from None
    return manifest


def restore(backup: Path, url: str) -> tuple[Manifest, list[str]]:
    """Makes a database from a backup and puts its artefacts into the artefact store, checked.

    Returns what the backup holds, and the descriptions of devices that were here already and stay as they are. Raises
    :class:`InvalidInput` for what is no backup, and for a database that exists.
    """
    with open_backup(backup) as reader, tempfile.TemporaryDirectory() as scratch:
        manifest = _manifest_of(reader)
        dumps.check_target(url, manifest.database)
        artefacts, file = ArtefactStore(), Path(scratch) / "artefact"
        for sha256 in manifest.artefacts or ():
            reader.copy(f"artefacts/{object_name(sha256)}", file)
            if digest_of_file(file) != sha256:
                raise StorageError(f"artefact {sha256[:12]} of {backup} is damaged", "restore another backup")
            artefacts.put(file)
            file.unlink()
        kept = [name for name in manifest.devices if not _restore_device(reader, name)]
        reader.copy(_DATABASE, Path(scratch) / _DATABASE)
        dumps.restore(url, Path(scratch) / _DATABASE)
        return manifest, kept


def _add_artefacts(url: str, writer: BackupWriter) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Adds the artefacts that jobs name; returns them, and those that cannot be read."""
    artefacts, stored, missing = ArtefactStore(), list[str](), list[str]()
    with Store(url) as store:
        needed = sorted(store.artefacts.needed())
    for sha256 in needed:
        try:
            path = artefacts.fetch(sha256)
        except (NotFound, StorageError):
            missing.append(sha256)
        else:
            writer.add(f"artefacts/{object_name(sha256)}", path)
            stored.append(sha256)
    return tuple(stored), tuple(missing)


def _restore_device(reader: BackupReader, name: str) -> bool:
    target = make_folder(devices_folder()) / name
    if target.exists():
        return False
    reader.copy(f"devices/{name}", target)
    return True


def _manifest_of(reader: BackupReader) -> Manifest:
    with reader.open(_MANIFEST) as file:
        text = file.read()
    try:
        fields: dict[str, Any] = json.loads(text)
        data = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
        manifest = Manifest(**dict[str, Any](data))
        for sha256 in (*(manifest.artefacts or ()), *manifest.missing):
            check_sha256(sha256)
        known = manifest.database in (dumps.SQLITE, dumps.POSTGRESQL) and manifest.format == FORMAT
        if not known or not all(_DEVICE.fullmatch(name) for name in manifest.devices):
            raise ValueError
    except (ValueError, TypeError, AttributeError, ParetuneError):
        raise InvalidInput(
            f"{reader.place} is not a backup that this version of Paretune can read",
            "restore it with the newest version",
        ) from None
    return manifest
