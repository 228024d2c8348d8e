"""The described devices by name: the catalogue that ships, and those that the user added."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from hwprofiles.description import NAME, Description, parse_description, read_description, read_text
from hwprofiles.errors import InvalidInput, NotFound, StorageError
from hwprofiles.folders import devices_folder, made

CATALOG = Path(__file__).parent / "catalog"


@cache
def catalogue() -> dict[str, Description]:
    """The described devices that ship with Paretune, by name."""
    found = (read_description(path) for path in sorted(CATALOG.glob("*.toml")))
    return {description.name: description for description in found}


def added_names() -> list[str]:
    """Names of the devices that the user added."""
    return sorted(path.stem for path in devices_folder().glob("*.toml") if NAME.fullmatch(path.stem))


def described(name: str) -> Description | None:
    """The described device of this name, the user's own before the catalogue's; None where there is none.

    Raises :class:`InvalidInput` for an added file that was spoilt since.
    """
    if not NAME.fullmatch(name):
        return None
    path = _file_of(name)
    if not path.exists():
        return catalogue().get(name)
    found = read_description(path)
    if found.name != name:
        raise InvalidInput(f"{path}: name: {found.name!r} is not what the file is called", f"rename it to {found.name}")
    return found


def add_description(source: Path, taken: frozenset[str]) -> tuple[Description, bool]:
    """Keeps a description in the user's data folder, and says whether it replaced an earlier one of its name.

    Raises :class:`InvalidInput` for a file that is no description, or whose name is ``taken`` or the catalogue's;
    :class:`StorageError` where it cannot be kept.
    """
    text = read_text(source)
    found = parse_description(text, str(source))
    if found.name in taken or found.name in catalogue():
        raise InvalidInput(
            f"{source}: name: {found.name!r} is a device that ships with Paretune",
            f"give it another name, such as my-{found.name}",
        )
    path = _file_of(found.name)
    replaced = path.exists()
    partial = path.with_name(f".{found.name}.{os.getpid()}.partial")
    try:
        made(path.parent)
        partial.write_text(text)
        partial.replace(path)
    except OSError as error:
        raise StorageError(
            f"file {path} cannot be written: {error.strerror}", "set PARETUNE_HOME to a folder that can be written"
        ) from None
    return found, replaced


def remove_description(name: str, taken: frozenset[str]) -> None:
    """Forgets an added device; what was found for it stays in the database.

    Raises :class:`InvalidInput` for one that ships with Paretune, :class:`NotFound` for one that was not added.
    """
    if name in added_names():
        try:
            _file_of(name).unlink()
        except OSError as error:
            raise StorageError(
                f"file {_file_of(name)} cannot be removed: {error.strerror}", "check who may write to its folder"
            ) from None
        return
    if name in taken or name in catalogue():
        raise InvalidInput(
            f"device {name!r} ships with Paretune and cannot be removed", "only what devices add added can be"
        )
    known = ", ".join(added_names()) or "none"
    raise NotFound(f"there is no added device {name!r}", f"added devices: {known}")


def _file_of(name: str) -> Path:
    return devices_folder() / f"{name}.toml"
