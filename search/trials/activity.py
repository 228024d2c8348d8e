"""What workers say of the candidates that they work on, while they do: a small file each in the job's folder."""

from __future__ import annotations

from pathlib import Path

from search.folders import partial_path

_SUFFIX = ".notice"


class Notice:
    """One worker's words on one candidate, gone when the block is left. Owned by one thread.

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
        """What is going on now, in a line; readers see it whole. A full disk is not worth a candidate."""
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
    """What is said of each candidate at work, by its digest."""
    found = {}
    for path in sorted(folder.glob(f"[!.]*{_SUFFIX}")):  # without those that are half-written
        try:
            found[path.stem] = path.read_text()
        except FileNotFoundError:  # its work has ended meanwhile
            continue
    return found


def forget_notices(folder: Path) -> None:
    """Removes those of workers that were lost."""
    for path in folder.glob(f"*{_SUFFIX}"):
        path.unlink(missing_ok=True)
