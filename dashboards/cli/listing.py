"""Lists: one line a row, at any width of the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from dashboards.cli.console import out
from dashboards.documents.report import Json

_LEAST = 12
"""Fewest characters of a column that is cut."""


def print_list(rows: list[Json], columns: Mapping[str, str], empty: str) -> None:
    """Prints rows in one line each, ``columns`` mapping keys to headings; prints ``empty`` without rows.

    The first column is never cut. Columns without room are left out; the last one shown is cut.
    """
    if not rows:
        out.print(empty, soft_wrap=True)
        return
    cells = [{key: "" if row.get(key) is None else str(row[key]) for key in columns} for row in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    shown: list[str] = []
    room = out.width
    for key, heading in columns.items():
        width = max(len(heading), *(len(row[key]) for row in cells))
        if shown and room < min(width, _LEAST):
            break
        shown.append(key)
        width = width if len(shown) == 1 else min(width, room)
        table.add_column(heading, no_wrap=True, width=width)
        room -= width + 3
    for row in cells:
        table.add_row(*(Text(row[key], overflow="ellipsis") for key in shown))
    out.print(table, crop=False, soft_wrap=False)
