"""The JSON documents of remote devices' agents, and their contact in words."""

from __future__ import annotations

from dashboards.words import Json
from search.store import Store
from search.store.agents import AgentRow


def agents_document(store: Store | None, *, revoked: bool) -> Json:
    """Returns the boards of the store's remote devices, those with a revoked token only if ``revoked``; no store has
    none."""
    rows = [] if store is None else store.agents.all()
    return {"agents": [agent_document(row) for row in rows if revoked or row.revoked_at is None]}


def agent_document(agent: AgentRow) -> Json:
    """Returns a board of a remote device: whether its agent has registered, and when it was last heard from."""
    return {
        "device": agent.device,
        "board": agent.board,
        "kind": "agent" if agent.resource is None else "cluster node",
        "state": "revoked" if agent.revoked_at else "never seen" if agent.profile is None else "registered",
        "online": agent.online,
        "seen_at": agent.seen_at and agent.seen_at.isoformat(),
        "created_at": agent.created_at.isoformat(),
        "processor": agent.profile and agent.profile.processor,
        "runtimes": agent.offer.get("runtimes", []),
        "threads": len(agent.offer.get("cores", [])),
        "profile_digest": agent.profile and agent.profile.digest,
    }
