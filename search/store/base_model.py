"""What all tables have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Float, MetaData
from sqlalchemy.orm import DeclarativeBase

from search.store.columns import UtcDateTime, json_column

Json = dict[str, Any]


class Base(DeclarativeBase):
    """Every constraint has a name, so that a later migration can change it in any database."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime(), Json: json_column(), float: Float()}  # noqa: RUF012
