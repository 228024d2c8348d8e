"""A bundle: the folder that export writes, whole or not at all."""

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
    """``model.onnx``, ``manifest.json`` (what it is) and ``receipt.json`` (what was measured from that very file)."""

    folder: Path

    @property
    def model(self) -> Path:
        """The model file."""
        return self.folder / MODEL

    @classmethod
    def write(cls, folder: Path, model: Path, manifest: dict[str, Any], receipt: dict[str, Any]) -> Bundle:
        """Writes beside ``folder`` first and renames, so that it is never half there.

        An earlier bundle in its place is replaced, and stays if this one fails; any other folder that holds something
        raises :class:`InvalidInput`. A model that is not the file that the manifest's ``model_sha256`` names, since
        somebody changed it meanwhile, raises :class:`StorageError`.
        """
        check_target(folder)
        named, folder = folder, folder.resolve()
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
                f"bundle {named} cannot be written: {error.strerror or error}", "name another folder with -o"
            ) from None
        return cls(named)


def _put(partial: Path, folder: Path) -> None:
    """Renames ``partial`` to ``folder``; what is there already goes last, and comes back if that fails."""
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
