"""The files of a job: a stand-in."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from hwprofiles import digest_of
from hwprofiles.errors import InvalidInput
from search.artefacts.store import ArtefactStore
from search.folders import cache_folder


def materialise(files: Mapping[str, str]) -> Path:
    """Returns a folder of this machine with the files."""
    folder = cache_folder() / "jobs" / digest_of(dict(files))
    for name, digest in files.items():
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            raise InvalidInput(f"files: {name!r} is not a path within the job's folder", "give relative paths")
        path = folder / relative
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ArtefactStore().fetch(digest), path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
