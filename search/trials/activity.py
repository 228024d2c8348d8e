"""Progress notices of workers about their candidates: a small file each in the job's folder."""

from __future__ import annotations

from pathlib import Path

from search.folders import partial_path

_SUFFIX = ".notice"


class Notice:
    """One worker's notice about its candidate, removed when the block is left. Owned by one thread.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with Notice(folder, "ab12") as notice:
    ...     notice.say("building")
    ...     notices(folder)
    {'ab12': 'building'}
    >>> notices(folder)
    {}
    """

    def __init__(self, folder: Path, digest: str) -> None:
        self._path = folder / f"{digest}{_SUFFIX}"

    def say(self, text: str) -> None:
        """Replaces the notice, atomically; errors of the file system are ignored."""
        partial = partial_path(self._path)
        try:
            partial.write_text(text)
            partial.replace(self._path)
        except OSError:
            partial.unlink(missing_ok=True)

    def __enter__(self) -> Notice:
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)


def notices(folder: Path) -> dict[str, str]:
    """Returns the notice of each candidate that is worked on, by its digest."""
    texts = {}
    for path in sorted(folder.glob(f"[!.]*{_SUFFIX}")):  # without partial files
        try:
            texts[path.stem] = path.read_text()
        except FileNotFoundError:  # removed meanwhile
            continue
    return texts


def forget_notices(folder: Path) -> None:
    """Removes the notices of lost workers."""
    for path in folder.glob(f"*{_SUFFIX}"):
        path.unlink(missing_ok=True)
