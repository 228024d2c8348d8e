"""Who asks, and what they may: tokens, sessions, and the scope that each route needs."""

from dashboards.access.identity import LOCAL, Action, Identity, OwnedJob

__all__ = ["LOCAL", "Action", "Identity", "OwnedJob"]
