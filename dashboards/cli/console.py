"""Terminal output: progress on stderr, tables on stdout."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from dashboards.figures import duration
from dashboards.words import Json
from dashboards.words.format_strip import Block, count_formats
from dashboards.words.time_spent import left_in_words, spent_in_words
from search.controller.progress import Status, Watcher

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_QUIET_S = 10.0
"""Seconds between lines of progress if stderr is not a terminal."""

_INK, _PAPER = "#1c1f24", "#ffffff"
_SHADES = {
    32: (_INK, "#ffffff"), 16: (_INK, "#e6f0f7"), 8: (_INK, "#cfe3f2"), 7: (_INK, "#a9cde6"), 6: (_INK, "#83b6da"),
    5: (_INK, "#5b9dcb"), 4: (_PAPER, "#2a74b0"), 3: (_PAPER, "#1a5288"), 2: (_PAPER, "#0e305a"),
}  # fmt: skip
"""Text and ground of a layer's block by :attr:`Block.shade`, as in the pages' light theme."""


class ProgressBar(Watcher):
    """A live line on a terminal; occasional plain lines if stderr is not a terminal."""

    def __init__(self, *, shown: bool = True) -> None:
        self._shown = shown
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            console=err,
            transient=True,
        )
        self._task = self._progress.add_task("preparing", total=None, figures="")
        self._said = ("", "")
        self._said_at = 0.0

    def __enter__(self) -> ProgressBar:
        if self._shown and err.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown and err.is_terminal:
            self._progress.stop()

    def update(self, status: Status) -> None:
        """See :meth:`Watcher.update`."""
        if not self._shown:
            return
        figures = _figures(status)
        if err.is_terminal:
            total = status.trials if status.phase in ("searching", "confirming") else None
            self._progress.update(
                self._task, description=status.phase, completed=status.finished, total=total, figures=figures
            )
            return
        now = time.monotonic()
        said = (status.phase, status.message)
        if said != self._said or now - self._said_at >= _QUIET_S:
            self._said, self._said_at = said, now
            done = f"{status.finished}/{status.trials} " if status.finished else ""
            err.print(": ".join(part for part in (status.phase, done + figures) if part), soft_wrap=True)

    def note(self, text: str) -> None:
        """See :meth:`Watcher.note`."""
        if not self._shown:
            return
        err.print(text, soft_wrap=True, markup=False)

    def say(self, text: str) -> None:
        """Shows one line of activity."""
        self.update(Status(text))


def _figures(status: Status) -> str:
    parts = [status.message] if status.message else []
    if status.finished:
        parts.append(f"front {status.front}")
        if status.best_speedup is not None:
            parts.append(f"best {status.best_speedup:.2f}x")
        if status.failed:
            parts.append(f"{status.failed} failed")
    if status.left_s:
        parts.append(left_in_words(status.left_s))
    elif status.seconds_left is not None:
        parts.append(f"{duration(status.seconds_left)} left")
    parts += status.at_work
    return " · ".join(parts)


def print_ending(document: Json) -> None:
    """Prints why a job ended early, if it did, and its time by phase."""
    if document["ending"]:
        out.print(f"ended early: {document['ending']['text']}", soft_wrap=True)
    spent = spent_in_words(document["time_s"])
    if spent:
        out.print(f"time: {spent}", soft_wrap=True)


def print_formats(layers: Sequence[Block]) -> None:
    """Prints the number formats of layers as blocks in the graph's order, and their legend."""
    width = max(len(layer.mark) for layer in layers) + 1
    a_line = max(1, out.width // width)
    for start in range(0, len(layers), a_line):
        blocks = [_block(layer, width) for layer in layers[start : start + a_line]]
        out.print(Text.assemble(*blocks), soft_wrap=True)
    legend = [(_block(layer, width), Text(f" {layer.format} × {count}")) for layer, count in count_formats(layers)]
    meaning = Text(", ").join(Text.assemble(*entry) for entry in legend)
    out.print(Text.assemble("bits of each layer's weights: ", meaning), soft_wrap=True)


def _block(layer: Block, width: int) -> Text:
    ink, ground = _SHADES.get(layer.shade or 0, ("", ""))
    return Text(f"{layer.mark:>{width - 1}} ", style=f"{ink} on {ground}" if ground else "")


def print_rows(title: str, rows: list[Json], columns: Mapping[str, str], empty: str) -> None:
    """Prints rows as a table, ``columns`` mapping keys to headings; prints ``empty`` without rows."""
    if not rows:
        out.print(empty)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title or None)
    for number, heading in enumerate(columns.values()):
        table.add_column(heading, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text("" if row.get(key) is None else str(row[key])) for key in columns))
    out.print(table)


def print_fields(fields: Json) -> None:
    """Prints names and values as a table, without None; as plain lines if a word of a value would be cut."""
    shown = {name: str(value) for name, value in fields.items() if value is not None}
    if not shown:
        return
    room = out.width - max(map(len, shown)) - 5
    if max(len(word) for value in shown.values() for word in value.split() or [""]) <= room:
        print_rows("", [{"name": name, "value": value} for name, value in shown.items()], {"name": "", "value": ""}, "")
        return
    for name, value in shown.items():
        out.print(f"{name}: {value}", soft_wrap=True, markup=False)


def as_text(print_report: Callable[[], None]) -> str:
    """Returns what a function prints as a report, without colours."""
    with out.capture() as captured:
        print_report()
    return Text.from_ansi(captured.get()).plain


def print_error(message: str, hint: str) -> None:
    """Prints one line that says what is wrong, and one that says how to fix it."""
    err.print(Text(f"error: {message}", style="bold red"), soft_wrap=True)
    if hint:
        err.print(Text(f"  hint: {hint}"), soft_wrap=True)
