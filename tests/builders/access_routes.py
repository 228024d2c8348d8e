"""The server's routes with their gates."""

from __future__ import annotations

import re
from typing import Any

from dashboards.access.gate import gates_of
from dashboards.access.settings import AccessSettings
from dashboards.server import create_app

VALUES = {
    "job": "11111111", "candidate": "111111111111", "device": "dry-run", "errand_id": "1" * 32, "sha256": "c" * 64,
    "token": "00000000", "export": "111111111111", "upload_id": "d" * 32,
}  # fmt: skip
"""What stands for the parameters of paths; a further parameter needs a value here."""


def gates_by_route() -> dict[tuple[str, str], Any]:
    """Returns the gate of each method and path; parameters of paths are in braces, without their kind."""
    no_store: Any = None
    return {
        (method, re.sub(r":\w+}", "}", route.path)): gates[0]
        for route, gates in gates_of(create_app(no_store, AccessSettings()))
        for method in sorted(route.methods or ())
    }
