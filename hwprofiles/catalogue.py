"""Descriptions of devices by name: the built-in catalogue, and the ones that the user added."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from hwprofiles.description import NAME, Description, parse_description, read_description, read_text
from hwprofiles.errors import InvalidInput, NotFound, StorageError
from hwprofiles.folders import devices_folder, make_folder

CATALOG = Path(__file__).parent / "catalog"


@cache
def catalogue() -> dict[str, Description]:
    """The descriptions that ship with Paretune, by name."""
    descriptions = (read_description(path) for path in sorted(CATALOG.glob("*.toml")))
    return {description.name: description for description in descriptions}


def user_device_names() -> list[str]:
    """Names of the devices that the user added."""
    return sorted(path.stem for path in devices_folder().glob("*.toml") if NAME.fullmatch(path.stem))


def lookup_description(name: str) -> Description | None:
    """The description of this name: the user's own if there is one, else the catalogue's, else None.

    Raises :class:`InvalidInput` if the user's file is not valid any more.
    """
    if not NAME.fullmatch(name):
        return None
    path = _file_of(name)
    if not path.exists():
        return catalogue().get(name)
    description = read_description(path)
    if description.name != name:
        raise InvalidInput(
            f"{path}: name: {description.name!r} differs from the file's name",
            f"rename the file to {description.name}.toml",
        )
    return description


def add_description(source: Path, taken: frozenset[str]) -> tuple[Description, bool]:
    """Copies a description to the user's data folder; returns it, and whether it replaced one of the same name.

    Raises :class:`InvalidInput` for an invalid file, or if its name is in ``taken`` or in the catalogue;
    :class:`StorageError` if it cannot be written.
    """
    text = read_text(source)
    description = parse_description(text, str(source))
    if description.name in taken or description.name in catalogue():
        raise InvalidInput(
            f"{source}: name: {description.name!r} is a device that ships with Paretune",
            f"give it another name, such as my-{description.name}",
        )
    path = _file_of(description.name)
    replaced = path.exists()
    partial = path.with_name(f".{description.name}.{os.getpid()}.partial")
    try:
        make_folder(path.parent)
        partial.write_text(text)
        partial.replace(path)
    except OSError as error:
        raise StorageError(
            f"file {path} cannot be written: {error.strerror}", "set PARETUNE_HOME to a writable folder"
        ) from None
    return description, replaced


def remove_description(name: str, taken: frozenset[str]) -> None:
    """Removes a device that the user added; its results stay in the database.

    Raises :class:`InvalidInput` for a device that ships with Paretune, :class:`NotFound` for an unknown one.
    """
    if name in user_device_names():
        try:
            _file_of(name).unlink()
        except OSError as error:
            raise StorageError(
                f"file {_file_of(name)} cannot be removed: {error.strerror}", "check the permissions of its folder"
            ) from None
        return
    if name in taken or name in catalogue():
        raise InvalidInput(
            f"device {name!r} ships with Paretune and cannot be removed",
            "only devices that you added, and remote ones, can be removed",
        )
    names = ", ".join(user_device_names()) or "none"
    raise NotFound(f"there is no added device {name!r}", f"added devices: {names}")


def _file_of(name: str) -> Path:
    return devices_folder() / f"{name}.toml"
