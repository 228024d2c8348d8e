"""Terminal output: progress on stderr, tables on stdout."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from dashboards.documents.format_strip import Block, count_formats
from dashboards.documents.jobs import state_in_words
from dashboards.documents.metrics import metric_names
from dashboards.documents.report import Json
from dashboards.documents.runtime import costs_by_runtime, costs_in_words
from dashboards.documents.time_spent import left_in_words, spent_in_words
from dashboards.documents.words import quality_in_words
from dashboards.evidence import IN_WORDS, Evidence, qualify_title
from dashboards.figures import duration, figure, short_title
from search.controller.progress import Status, Watcher
from search.fronts.objectives import metric_interval, metric_value
from search.short_names import short_name

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_ALWAYS_SHOWN = ("latency_ms", "size_bytes")
_QUIET_S = 10.0
"""Seconds between lines of progress if stderr is not a terminal."""

_WIDE = 110
"""Least width of a terminal that shows each candidate's changes."""

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
        """Show one line of activity."""
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


def print_front(document: Json) -> None:
    """Print a job's front as a table: the baseline, then members with their ties."""
    evidence = Evidence(document["evidence"])
    words = f" ({IN_WORDS[evidence]})" if IN_WORDS[evidence] else ""
    state = state_in_words(document)
    job = f"{document['job_id']} ({short_name(document['job_id'])})"
    out.print(f"[bold]{document['name']}[/bold] {job} on {document['device']}{words}: {state}", soft_wrap=True)
    metrics = [objective["metric"] for objective in document["objectives"]]
    baseline = document["baseline"]["metrics"]
    usual = [name for name in ("accuracy", *_ALWAYS_SHOWN) if name in metric_names(baseline)]
    shown = [*dict.fromkeys([*metrics, *usual])]
    wide = out.width >= _WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("candidate", no_wrap=True)
    for metric in shown:
        title, _, device = short_title(metric).rpartition(", ") if "@" in metric else (short_title(metric), "", "")
        title = qualify_title(title, metric, evidence).replace(", ", "\n")
        table.add_column(f"{title}\n{device}" if device else title, justify="right", no_wrap=True)
    executed = document["runtime"]
    if executed:
        table.add_column("runtime", overflow="fold")
    if wide:
        table.add_column("what it changes", overflow="fold")
    if baseline:
        changes = [Text(executed)] if executed else []
        changes += [Text("nothing: fp32")] if wide else []
        table.add_row("baseline", *(_cell(baseline, m) for m in shown), *changes, style="dim")
    for member in document["front"]:
        ties = f" (tied with {', '.join(member['tied_with'])})" if member["tied_with"] else ""
        how = " (simulated)" if member["simulated"] and not document["simulated"] else ""
        how += " (unconfirmed)" if member["unconfirmed"] else ""
        changes = [Text(member["runtime"] or "–")] if executed else []
        changes += [Text(member["summary"] + how + ties)] if wide else []
        table.add_row(member["candidate_id"], *(_cell(member["metrics"], m) for m in shown), *changes)
    out.print(table)
    for line, ids in _quality_lines(document["front"]).items():
        out.print(f"{', '.join(ids)}: {line}", soft_wrap=True)
    for runtime, costs in costs_by_runtime(document["front"]).items():
        out.print(f"with {runtime}: {costs_in_words(costs)}", soft_wrap=True)
    if evidence is Evidence.MODELLED:
        out.print(
            "speed is a bound: the device's peaks allow this latency at best, and this speed-up at most; "
            "quality was evaluated on this machine",
            soft_wrap=True,
        )
    unconfirmed = {member["candidate_id"]: why for member in document["front"] if (why := member["unconfirmed"])}
    if unconfirmed:
        reasons = ", ".join(dict.fromkeys(unconfirmed.values()))
        out.print(
            f"not confirmed, figures of the search: {', '.join(unconfirmed)} ({reasons}); "
            f"measure again with: paretune resume {document['job_id']}",
            soft_wrap=True,
        )
    miss = document["nearest_miss"]
    if miss:
        reason = f"{miss['candidate_id']} {miss['reason']}"
        out.print(f"no candidate meets all constraints; closest: {reason}", soft_wrap=True)
    counts = ", ".join(f"{count} {state}" for state, count in document["trials"].items() if count)
    out.print(f"trials: {counts or 'none'} · {duration(document['wall_s'])}")


def _quality_lines(members: Sequence[Json]) -> dict[str, list[str]]:
    """The outputs that quality was computed from, with their candidates; for remote devices only."""
    lines: dict[str, list[str]] = {}
    for member in members:
        for line in quality_in_words(member["metrics"]):
            lines.setdefault(line, []).append(member["candidate_id"])
    return lines


def print_ending(document: Json) -> None:
    """Print why a job ended early, if it did, and its time by phase."""
    if document["ending"]:
        out.print(f"ended early: {document['ending']['text']}", soft_wrap=True)
    spent = spent_in_words(document["time_s"])
    if spent:
        out.print(f"time: {spent}", soft_wrap=True)


def _cell(metrics: Mapping[str, Any], name: str) -> str:
    """A figure, and for a speed-up half its interval's width."""
    value, bounds = metric_value(metrics, name), metric_interval(metrics, name)
    text = figure(value, name)
    if bounds is None or name.partition("@")[0] != "speedup" or not value or bounds[0] == bounds[1]:
        return text
    return f"{text} ±{(bounds[1] - bounds[0]) / 2 / value:.1%}"


def print_formats(layers: Sequence[Block]) -> None:
    """Print the number formats of layers as blocks in the graph's order, and their legend."""
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
    """Print rows as a table, ``columns`` mapping keys to headings; prints ``empty`` without rows."""
    if not rows:
        out.print(empty)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title or None)
    for heading in columns.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if row.get(key) is None else str(row[key])) for key in columns))
    out.print(table)


def as_text(print_report: Callable[[], None]) -> str:
    """What a function prints as a report, without colours."""
    with out.capture() as captured:
        print_report()
    return Text.from_ansi(captured.get()).plain


def print_error(message: str, hint: str) -> None:
    """Print one line that says what is wrong, and one that says how to fix it."""
    err.print(Text(f"error: {message}", style="bold red"), soft_wrap=True)
    if hint:
        err.print(Text(f"  hint: {hint}"), soft_wrap=True)
