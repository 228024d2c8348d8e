"""Lists: one line a row, at any width of the terminal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from dashboards.cli.console import out
from dashboards.words import Json

_LEAST = 12
"""Fewest characters of a column that is cut."""


def print_list(
    rows: list[Json],
    columns: Mapping[str, str],
    empty: str,
    *,
    cut: Collection[str] = (),
    wrap: Collection[str] = (),
    below: str = "",
) -> None:
    """Prints rows in one line each, apart from the text of columns to ``wrap``; prints ``empty`` without rows.

    ``columns`` maps keys to headings. Columns without room are left out and named; the text of the last one follows
    below the table if it is the column ``below``. Only text is cut or wrapped, neither ids nor names.
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
        if shown and room < (min(width, _LEAST) if key in {*cut, *wrap} else width):
            break
        shown.append(key)
        width = width if len(shown) == 1 else min(width, room)
        table.add_column(heading, no_wrap=key not in wrap, width=width)
        room -= width + 3
    for row in cells:
        table.add_row(*(Text(row[key], overflow="fold" if key in wrap else "ellipsis") for key in shown))
    out.print(table, crop=False, soft_wrap=False)
    print_hidden([heading for key, heading in columns.items() if key not in {*shown, below}])
    if below in columns and below not in shown:
        for row in cells:
            if row[below]:
                out.print(Text(f"{row[shown[0]]}, {columns[below]}: {row[below]}"), soft_wrap=True)


def print_hidden(headings: Sequence[str]) -> None:
    """Prints which columns had no room, if any."""
    if headings:
        out.print(f"not shown, the terminal is narrow: {', '.join(headings)}", soft_wrap=True)
