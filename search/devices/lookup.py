"""Looks up devices by name: this machine, device models, and remote devices with an agent in a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from evaluators.devices import device as local
from evaluators.devices.device import Device
from hwprofiles import Profile, registry
from hwprofiles.errors import DeviceUnavailable, InvalidInput
from hwprofiles.profile import check_threads
from search.devices.link import RequestLink

if TYPE_CHECKING:
    # Checking a job file must not import SQLAlchemy.
    from search.store import Store
    from search.store.agents import AgentRow, Agents

_agents: ContextVar[Callable[[], Agents | None]] = ContextVar("agents", default=lambda: None)


@contextmanager
def agents_of(store: Store) -> Iterator[None]:
    """Inside the block, remote devices are looked up in this store."""
    with _looking_up_in(lambda: store.agents):
        yield


@contextmanager
def agents_at(url: str) -> Iterator[None]:
    """As :func:`agents_of`, with a store that is opened when a name is not found elsewhere.

    A database that does not exist is not created.
    """
    with ExitStack() as stack:

        def open_agents() -> Agents | None:
            from search.store import Store, database_exists

            return stack.enter_context(Store(url)).agents if database_exists(url) else None

        with _looking_up_in(cache(open_agents)):
            yield


@contextmanager
def _looking_up_in(agents: Callable[[], Agents | None]) -> Iterator[None]:
    token = _agents.set(agents)
    try:
        yield
    finally:
        _agents.reset(token)


def find_device(name: str, threads: int = 1, batch: int = 1) -> Profile:
    """As :func:`hwprofiles.find_device`, also for remote devices (inside :func:`agents_of`).

    Raises :class:`DeviceUnavailable` for a remote device whose agent has never registered, or was revoked.
    """
    agents = None if name in registry.device_origins() else _agents.get()()
    if agents is None:
        return registry.find_device(name, threads, batch)
    row = agents.row(name)
    if row is not None:
        return remote_profile(row, threads, batch)
    try:
        return registry.find_device(name, threads, batch)
    except InvalidInput as error:
        remote = [agent.device for agent in agents.all() if agent.revoked_at is None]
        more = f"; remote devices: {', '.join(remote)}" if remote else ""
        raise InvalidInput(error.message, error.hint + more) from None


def remote_profile(agent: AgentRow, threads: int, batch: int) -> Profile:
    """The profile of a remote device with this number of threads and this batch."""
    if agent.revoked_at is not None:
        raise DeviceUnavailable(
            f"the token of device {agent.device!r} was revoked", "make a new one with: paretune devices token NAME"
        )
    if agent.profile is None:
        raise DeviceUnavailable(
            f"no agent of device {agent.device!r} has been here yet",
            "start it there with: paretune agent --server URL --token-file FILE --device NAME",
        )
    cores = agent.offer["cores"]
    check_threads(agent.device, threads, len(cores))
    return replace(agent.profile, threads=threads, batch=batch, cores=tuple(cores[threads - 1]))


def open_device(profile: Profile, link: RequestLink | None = None) -> Device:
    """The device that a profile describes; a remote one is reached through ``link``.

    Raises :class:`DeviceUnavailable` for one that cannot measure.
    """
    if profile.agent and link is not None:
        from search.devices.remote import RemoteDevice

        return RemoteDevice(profile, link)
    return local.open_device(profile)
