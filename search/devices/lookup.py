"""Looks up devices by name: this machine, device models, and remote devices with an agent in a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from evaluators.devices import device as local
from evaluators.devices.device import Device
from hwprofiles import Profile
from hwprofiles import registry as local_registry
from hwprofiles.errors import DeviceUnavailable, InvalidInput
from hwprofiles.profile import check_threads
from hwprofiles.suggestions import nearest
from search.devices.link import DeviceLink

if TYPE_CHECKING:
    # Checking a job file must not import SQLAlchemy.
    from search.store import Store
    from search.store.agents import AgentRow, Agents


class DeviceRegistry:
    """Finds devices by name: this machine, device models, and remote devices with an agent in a store."""

    def __init__(self, store: Store | None = None) -> None:
        """Without a store no remote device is found."""
        self._open_agents: Callable[[], Agents | None] = lambda: None if store is None else store.agents

    @classmethod
    @contextmanager
    def at(cls, url: str) -> Iterator[DeviceRegistry]:
        """A registry whose store is opened when a name is not found elsewhere, and closed after the block.

        A database that does not exist is not created.
        """
        with ExitStack() as stack:

            def open_agents() -> Agents | None:
                from search.store import Store, database_exists

                return stack.enter_context(Store(url)).agents if database_exists(url) else None

            registry = cls()
            registry._open_agents = cache(open_agents)
            yield registry

    def find(self, name: str, threads: int = 1, batch: int = 1) -> Profile:
        """As :func:`hwprofiles.find_device`, also for remote devices.

        Raises :class:`DeviceUnavailable` for a remote device whose agent has never registered, or was revoked.
        """
        agents = None if name in local_registry.device_origins() else self._open_agents()
        if agents is None:
            return local_registry.find_device(name, threads, batch)
        row = agents.row(name)
        if row is not None:
            return remote_profile(row, threads, batch)
        remote = [agent.device for agent in agents.all() if agent.revoked_at is None]
        raise InvalidInput(f"unknown device {name!r}", nearest(name, [*local_registry.device_origins(), *remote]))


SERVER = "http://127.0.0.1:8700"
"""Where ``paretune serve`` is by default, and what a tunnel of ssh makes of it on a device."""

NO_AGENTS = DeviceRegistry()
"""Finds no remote device."""


def agent_command(device: str, server: str = SERVER, token_file: str = "") -> str:
    """Returns the command that starts a device's agent."""
    values = {"URL": server, "FILE": token_file or f"{device}.token", "NAME": device}
    words = ["paretune", "agent", "--server", "URL", "--token-file", "FILE", "--device", "NAME"]
    return " ".join(values.get(word, word) for word in words)


def remote_profile(agent: AgentRow, threads: int, batch: int) -> Profile:
    """Returns the profile of a remote device with this number of threads and this batch."""
    if agent.revoked_at is not None:
        raise DeviceUnavailable(
            f"the token of device {agent.device!r} was revoked",
            f"make a new one with: paretune devices token {agent.device}",
        )
    if agent.profile is None:
        raise DeviceUnavailable(
            f"no agent of device {agent.device!r} has been here yet",
            f"start it there with: {agent_command(agent.device)}",
        )
    cores = agent.offer["cores"]
    check_threads(agent.device, threads, len(cores))
    return replace(agent.profile, threads=threads, batch=batch, cores=tuple(cores[threads - 1]))


def open_device(profile: Profile, link: DeviceLink | None = None) -> Device:
    """Returns the device that a profile describes; a remote one is reached through ``link``.

    Raises :class:`DeviceUnavailable` for one that cannot measure.
    """
    if profile.agent and link is not None:
        from search.devices.remote import RemoteDevice

        return RemoteDevice(profile, link)
    return local.open_device(profile)
