"""Mistakes in what is asked of a list."""

from __future__ import annotations

from hwprofiles.errors import InvalidInput


class InvalidQuery(InvalidInput):
    """Raised for a filter, a state or an order that a list does not have."""
