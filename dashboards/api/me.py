"""The route by which a program learns who it is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from dashboards.access import Identity
from dashboards.access.gate import SIGNED_IN


def me_router() -> APIRouter:
    """Returns ``/api/v1/me``."""
    router = APIRouter(prefix="/api/v1", tags=["v1"])

    @router.get("/me", summary="Who asks, and what they may")
    def me(identity: Identity = SIGNED_IN) -> dict[str, Any]:
        return {
            "user": identity.user,
            "scopes": sorted(identity.scopes),
            "admin": identity.admin,
            "projects": sorted(identity.projects),
            "owned_projects": sorted(identity.owned_projects),
            "only_project": identity.only_project,
            "token_id": identity.token_id,
        }

    return router
