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
    """The time of this machine, in UTC."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, in UTC. SQLite keeps no time zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """As UTC; a time without a zone raises, since nobody can say what it means."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a time zone cannot be stored")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """With its time zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class FreeText(TypeDecorator[str]):
    """Text that others wrote, such as a child process's last words: what a database refuses is replaced."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Without NUL characters and lone surrogates."""
        return (
            None
            if value is None
            else value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
        )


def json_column() -> JSON:
    """JSON kept as text, so that the order of keys survives; None is SQL's NULL."""
    return JSON(none_as_null=True)


def state_column(states: type[StateT]) -> Enum:
    """A state by its value, as plain text: a new state needs no migration."""
    return Enum(states, native_enum=False, length=32, values_callable=lambda every: [state.value for state in every])
