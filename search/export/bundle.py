"""Bundles: the folders that export writes, atomically."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwprofiles import digest_of_file
from hwprofiles.errors import InvalidInput, StorageError

MODEL, MANIFEST, RECEIPT = "model.onnx", "manifest.json", "receipt.json"


@dataclass(frozen=True)
class Bundle:
    """A folder with ``model.onnx``, ``manifest.json`` (what it is) and ``receipt.json`` (what that file measured)."""

    folder: Path

    @property
    def model(self) -> Path:
        """The model file."""
        return self.folder / MODEL

    @classmethod
    def write(cls, folder: Path, model: Path, manifest: dict[str, Any], receipt: dict[str, Any]) -> Bundle:
        """Writes a temporary folder beside ``folder`` and renames it, so that readers never see half a bundle.

        Replaces an earlier bundle, which stays if writing fails. Raises :class:`InvalidInput` for a folder with other
        contents, :class:`StorageError` if the model does not match the manifest's ``model_sha256`` because it was
        changed meanwhile.
        """
        check_target(folder)
        target, folder = folder, folder.resolve()
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            try:
                shutil.copyfile(model, partial / MODEL)
                if manifest.get("model_sha256") not in (None, digest_of_file(partial / MODEL)):
                    raise StorageError(
                        f"{model.name} was changed while it was exported",
                        "export again",
                    )
                for name, data in ((MANIFEST, manifest), (RECEIPT, receipt)):
                    (partial / name).write_text(json.dumps(data, indent=2, allow_nan=False) + "\n")
                partial.chmod(0o755)
                _put(partial, folder)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
        except OSError as error:
            raise StorageError(
                f"bundle {target} cannot be written: {error.strerror or error}", "name another folder with -o"
            ) from None
        return cls(target)


def _put(partial: Path, folder: Path) -> None:
    """Renames ``partial`` to ``folder``; removes an earlier folder last, and restores it on failure."""
    earlier = partial.with_name(f"{partial.name}-earlier")
    if folder.exists():
        folder.rename(earlier)
    try:
        partial.rename(folder)
    except BaseException:
        if earlier.exists():
            earlier.rename(folder)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def check_target(folder: Path) -> None:
    """Raises :class:`InvalidInput` unless the folder is absent, empty, or an earlier bundle."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is a file", "name a folder with -o")
    names = {path.name for path in folder.iterdir()}
    if names and not (names <= {MODEL, MANIFEST, RECEIPT}):
        raise InvalidInput(f"folder {folder} holds other files", "name a new folder with -o")


def check_writable(folder: Path) -> None:
    """Raises :class:`StorageError` if the folder cannot be written, before everything is measured."""
    place = folder.resolve().parent
    while not place.exists():
        place = place.parent
    try:
        tempfile.TemporaryDirectory(prefix=".paretune-", dir=place).cleanup()
    except OSError as error:
        raise StorageError(f"folder {folder} cannot be written: {error.strerror}", "name another with -o") from None
