"""Checks a device of any kind: a remote one through its agent."""

from __future__ import annotations

from collections.abc import Callable

from evaluators.devices.check import FAILED, OK, Check, check_device
from evaluators.devices.device import Device
from hwprofiles import Profile
from search.devices.link import StoreLink
from search.devices.lookup import agent_command, open_device
from search.store import Store
from search.store.agents import AgentRow

_AWAY_S = 60.0
"""Seconds without contact after which a check gives up."""


def check_any_device(
    store: Store | None, profile: Profile, registered: Profile | None, say: Callable[[str], None]
) -> tuple[Check, ...]:
    """See :func:`evaluators.devices.check.check_device`; a remote device is measured only if its agent is online."""
    if store is None or not profile.agent:
        return check_device(profile, registered, say=say)
    agent = store.agents.row(profile.device)
    if agent is None or not agent.online:
        heard = "never heard from" if agent is None else _last_contact(agent)
        start = f"start the server here: paretune serve; and the agent there: {agent_command(profile.device)}"
        return (Check("agent", FAILED, f"{heard}; {start}"),)

    url = store.url

    def open_remote(profile: Profile) -> Device:
        return open_device(profile, StoreLink(url, away_s=_AWAY_S))

    return (Check("agent", OK, _last_contact(agent)), *check_device(profile, registered, say=say, opener=open_remote))


def _last_contact(agent: AgentRow) -> str:
    return "never heard from" if agent.seen_at is None else f"last heard from {agent.silent_s:.0f} s ago"
