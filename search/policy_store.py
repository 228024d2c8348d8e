"""What policies learnt, stored by name on this machine for later jobs, and as files for other machines."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hwprofiles import digest_of
from hwprofiles.errors import InvalidInput, NotFound
from search.bounds import LARGEST, MOST, MOST_AT_ONCE, MOST_ITEMS, Name, Text
from search.folders import data_folder, write_json
from search.json_cache import JsonCache

LARGEST_FILE = 4 * 2**20
"""Bytes of the largest file that is imported; policies of N2N have about 400 KB."""

Size = Annotated[int, Field(ge=0, le=100_000)]
Numbers = Annotated[tuple[Annotated[float, Field(ge=-LARGEST, le=LARGEST)], ...], Field(max_length=MOST_ITEMS)]


class Weights(BaseModel):
    """A tensor of a network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape: tuple[Size, ...] = Field(max_length=4)
    float32: str = Field(max_length=LARGEST_FILE)

    @model_validator(mode="after")
    def _check(self) -> Weights:
        try:
            data = base64.b64decode(self.float32, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("float32 is not base64") from None
        if len(data) != 4 * math.prod(self.shape):
            raise ValueError(f"float32 has {len(data)} bytes, which is not the shape {list(self.shape)}")
        if not np.isfinite(np.frombuffer(data, "<f4")).all():
            raise ValueError("float32 has NaN or infinity")
        return self


class StoredPolicies(BaseModel):
    """The policies of a search, with what is known of where they learnt."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: Name
    strategy: Name
    teacher: Name
    """The task whose model the policies learnt on."""
    family: Name = ""
    """The kinds of the teacher's units with their numbers; empty for policies that an older version stored."""
    encodings: Mapping[Text, Numbers] = Field({}, max_length=MOST_AT_ONCE)
    """What the policies read of each unit, by the decisions' targets in the module's order; likewise."""
    choices: Mapping[Name, Size] = Field({}, max_length=MOST_ITEMS)
    """Most values of a decision, by policy: it fits every teacher and space that has as many; likewise."""
    devices: tuple[Name, ...] = Field((), max_length=MOST_ITEMS)
    reward: Name
    """The metrics of the reward: a quality, then a cost."""
    rollouts: int = Field(ge=0, le=MOST)
    best_reward: float | None = Field(None, allow_inf_nan=False)
    job: Name
    """Id of the job in which they learnt."""
    saved_at: datetime
    networks: Mapping[str, Mapping[str, Weights]] = Field(max_length=MOST_ITEMS)
    """The weights of each policy, by name."""


class PolicyStore(MutableMapping[str, Any]):
    """Policies by name, as JSON-able data, in a folder of this machine; writes are atomic.

    ``origin`` is what is known of policies that a job stores here, beside what its strategy says.
    """

    def __init__(self, origin: Mapping[str, Any] | None = None) -> None:
        self._origin = origin or {}
        self._files = JsonCache(data_folder() / "policies")

    def __getitem__(self, name: str) -> Any:
        return self._files[digest_of(name)]

    def __setitem__(self, name: str, value: Any) -> None:
        saved_at = datetime.now(UTC).isoformat()
        self._files[digest_of(name)] = {"saved_at": saved_at, **self._origin, **value, "name": name}

    def __delitem__(self, name: str) -> None:
        del self._files[digest_of(name)]

    def __iter__(self) -> Iterator[str]:
        return (policies.name for policies in self.all())

    def __len__(self) -> int:
        return len(self.all())

    def all(self) -> list[StoredPolicies]:
        """Returns all policies by name, without those that an older version stored."""
        listed = []
        for value in self._files.values():
            try:
                listed.append(StoredPolicies.model_validate(value))
            except ValidationError:
                continue
        return sorted(listed, key=lambda policies: policies.name)

    def find(self, name: str) -> StoredPolicies:
        """Returns the policies of a name; raises :class:`NotFound`."""
        try:
            return StoredPolicies.model_validate(self[name])
        except (KeyError, ValidationError):
            raise NotFound(f"no policies {name!r}", "list them with: paretune policies list") from None

    def remove(self, name: str) -> None:
        """Removes the policies of a name; raises :class:`NotFound`."""
        self.find(name)
        del self[name]

    def export_file(self, name: str, path: Path) -> None:
        """Writes the policies of a name to a file; raises :class:`NotFound`, and :class:`InvalidInput` if the file
        exists."""
        policies = self.find(name)
        if path.exists():
            raise InvalidInput(f"{path} exists already", "choose another file, or remove this one")
        if not path.parent.is_dir():
            raise InvalidInput(f"no folder {path.parent}", "make it, or choose another")
        write_json(path, policies.model_dump(mode="json"))

    def import_file(self, path: Path, name: str | None = None) -> StoredPolicies:
        """Stores the policies of a file, under another name if one is given.

        Raises :class:`InvalidInput` for a file that has no policies, and for a name that is taken.
        """
        policies = read_policies(path, name)
        if any(other.name == policies.name for other in self.all()):
            raise InvalidInput(f"policies {policies.name!r} exist already", "give another name with --name")
        self[policies.name] = policies.model_dump(mode="json")
        return policies


def read_policies(path: Path, name: str | None = None) -> StoredPolicies:
    """Reads a file of policies, under another name if one is given; raises :class:`InvalidInput` if it is none.

    Nothing in it is executed.
    """
    hint = "write such a file with: paretune policies export NAME FILE"
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}", hint) from None
    if len(data) > LARGEST_FILE:
        raise InvalidInput(f"{path} is larger than {LARGEST_FILE // 2**20} MB, so it has no policies", hint)
    try:
        value = json.loads(data)
        renamed = {**value, "name": name} if name is not None and isinstance(value, dict) else value
        return StoredPolicies.model_validate(renamed)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InvalidInput(f"{path} has no policies: {where}: {first['msg']}", hint) from None
    except (ValueError, RecursionError):
        raise InvalidInput(f"{path} has no policies: it is not JSON", hint) from None
