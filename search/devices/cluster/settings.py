"""Settings that Ray reads from the environment when it is imported; imported before Ray."""

from __future__ import annotations

import os
from typing import Any

NAMESPACE = "paretune"
"""Namespace of our actors in a cluster."""

AUTHENTICATION = os.environ.get("RAY_AUTH_MODE", "")
"""How clients are authenticated by the node that started this process, if one did."""

# No usage reports. Clients of a cluster need its token, whatever the user's shell sets.
os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="token")


def require_tokens() -> None:
    """Makes this process authenticate by a token, also if the user imported Ray before this module; it has joined no
    cluster yet."""
    from ray import _raylet

    raylet: Any = _raylet  # compiled, without types
    if raylet.get_authentication_mode() != raylet.AuthenticationMode.TOKEN:
        raylet.Config.initialize('{"AUTH_MODE": "token"}')
