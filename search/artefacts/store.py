"""Files by content: a stand-in of one folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from evaluators.devices.request import FileRef
from hwprofiles import digest_of_file
from hwprofiles.errors import NotFound
from search.folders import data_folder, partial_path


class ArtefactStore:
    """A folder of files named by their SHA-256."""

    def __init__(self) -> None:
        self._folder = data_folder() / "artefacts"

    def put(self, path: Path) -> FileRef:
        """Stores a copy of a file."""
        file = FileRef(digest_of_file(path), path.stat().st_size)
        if not self.contains(file.sha256):
            partial = partial_path(self._folder / file.sha256)
            shutil.copyfile(path, partial)
            partial.replace(self._folder / file.sha256)
        return file

    def contains(self, sha256: str) -> bool:
        """Returns whether a file is stored."""
        return re.fullmatch(r"[0-9a-f]{64}", sha256) is not None and (self._folder / sha256).is_file()

    def fetch(self, sha256: str) -> Path:
        """Returns the path of a stored file on this machine."""
        if not self.contains(sha256):
            raise NotFound(f"file {sha256} is not stored", "upload it first")
        return self._folder / sha256
