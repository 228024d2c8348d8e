"""Column types that mean the same in every database."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import JSON, DateTime, Enum, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

StateT = TypeVar("StateT", bound=StrEnum)


def utc_now() -> datetime:
    """Returns the current time of this machine, in UTC."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, in UTC. SQLite stores no time zone; reading restores it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Converts to UTC; raises for a time without a zone, which is ambiguous."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a time zone cannot be stored")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Restores the time zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class FreeText(TypeDecorator[str]):
    """Text from outside, such as a child process's output: characters that a database refuses are replaced."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replaces NUL characters and lone surrogates."""
        return (
            None
            if value is None
            else value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
        )


def json_column() -> JSON:
    """JSON stored as text, which preserves the order of keys; None is stored as NULL."""
    return JSON(none_as_null=True)


def state_column(states: type[StateT]) -> Enum:
    """Returns a state stored as text by its value: a new state needs no migration."""
    return Enum(states, native_enum=False, length=32, values_callable=lambda every: [state.value for state in every])
