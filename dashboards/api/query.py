"""The query of a request: the part of its address behind the question mark."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, Request

from dashboards.words.query import InvalidQuery
from search.options import brief


async def check_query(request: Request) -> None:
    """Raises :class:`InvalidQuery` for a parameter that the route does not have: it would be ignored."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    unknown = next((name for name in request.query_params if name not in known), None)
    if unknown is not None:
        hint = f"known: {', '.join(sorted(known))}" if known else "this path takes no parameters"
        raise InvalidQuery(f"query: unknown parameter {brief(unknown)!r}", hint)


CHECKED_QUERY: Any = Depends(check_query)
