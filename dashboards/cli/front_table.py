"""The table of a front in a terminal, with the sentences around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from dashboards.cli.console import out
from dashboards.cli.listing import print_hidden
from dashboards.evidence import IN_WORDS, Evidence, qualify_title
from dashboards.figures import duration, figure, short_title
from dashboards.words import Json
from dashboards.words.answer import BEST_COMPROMISE
from dashboards.words.candidates import quality_in_words
from dashboards.words.jobs import state_in_words
from dashboards.words.metrics import USUAL_METRICS, metric_names
from dashboards.words.runtime import costs_by_runtime, costs_in_words
from search.fronts.objectives import metric_interval, metric_value
from search.short_names import short_name

_CHANGES_WIDTH = 30
"""Least room for the column of each candidate's changes."""


def print_answer(document: Json) -> None:
    """Prints the job's answer in one sentence, if there is one."""
    if document["answer"]:
        out.print(Text(document["answer"], style="bold"), soft_wrap=True)


def print_front(document: Json, *, every: bool = False, export_option: str = "") -> None:
    """Prints a job's front on a device: the answer, the baseline, the members, and what to know about them.

    Members that are equal within noise are one row, unless ``every`` member is asked for.
    """
    evidence = Evidence(document["evidence"])
    words = f" ({IN_WORDS[evidence]})" if IN_WORDS[evidence] else ""
    state = state_in_words(document)
    job = f"{document['job_id']} ({short_name(document['job_id'])})"
    out.print(f"[bold]{document['name']}[/bold] {job} on {document['device']}{words}: {state}", soft_wrap=True)
    print_answer(document)
    members = [member for member in document["front"] if every or not (member["like"] or member["unchanged"])]
    _print_table(document, members, every)
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
    _print_unconfirmed(document)
    if any(member["like"] for member in document["front"]) and not every:
        command = f"paretune front {document['job_id']} --all"
        out.print(f"members that are equal within noise in every column are one row; all: {command}", soft_wrap=True)
    best = document["best_compromise"]
    if best:
        out.print(f"best compromise: {best} ({BEST_COMPROMISE})", soft_wrap=True)
        if evidence is Evidence.MEASURED:
            out.print(f"export it with: paretune export {best} -o DIR{export_option}", soft_wrap=True)
    counts = ", ".join(f"{count} {state}" for state, count in document["trials"].items() if count)
    out.print(f"trials: {counts or 'none'} · {duration(document['wall_s'])}")


def _print_table(document: Json, members: Sequence[Json], every: bool) -> None:
    """Prints as many columns as fit: ids are never cut, and columns that are left out are named."""
    objectives = [objective["metric"] for objective in document["objectives"]]
    known = metric_names(document["baseline"]["metrics"])
    usual = [name for name in USUAL_METRICS if name in known and name not in objectives]
    runtime = ["runtime"] if document["runtime"] else []
    shown = [*objectives, *runtime, *usual]  # from the most to the least important
    hidden: list[str] = []
    while (width := _width(_table(document, members, shown, every))) > out.width and len(shown) > 1:
        hidden.insert(0, shown[-1])
        shown = shown[:-1]
    out.print(_table(document, members, shown, every, changes=out.width - width >= _CHANGES_WIDTH))
    print_hidden(hidden)


def _table(
    document: Json, members: Sequence[Json], shown: Sequence[str], every: bool, *, changes: bool = False
) -> Table:
    evidence, baseline = Evidence(document["evidence"]), document["baseline"]["metrics"]
    metrics, executed = [name for name in shown if name != "runtime"], "runtime" in shown
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("candidate", no_wrap=True)
    for metric in metrics:
        title, _, device = short_title(metric).rpartition(", ") if "@" in metric else (short_title(metric), "", "")
        title = qualify_title(title, metric, evidence).replace(", ", "\n")
        table.add_column(f"{title}\n{device}" if device else title, justify="right", no_wrap=True)
    if executed:
        table.add_column("runtime", no_wrap=True)
    if changes:
        table.add_column("what it changes", overflow="fold")

    def add_row(name: Text | str, figures: Mapping[str, Any], runtime: str, summary: str, style: str = "") -> None:
        further = [Text(runtime)] if executed else []
        further += [Text(summary)] if changes else []
        table.add_row(name, *(_cell(figures, metric) for metric in metrics), *further, style=style)

    if baseline:
        add_row("baseline", baseline, document["runtime"] or "", "nothing: fp32", "dim")
    likes = Counter(member["like"] for member in document["front"])
    for member in members:
        ties = f" (tied with {', '.join(member['tied_with'])})" if member["tied_with"] else ""
        how = " (simulated)" if member["simulated"] and not document["simulated"] else ""
        how += " (unconfirmed)" if member["unconfirmed"] else ""
        remarks = _remarks(member, 0 if every else likes[member["candidate_id"]])
        name = Text("\n".join([member["candidate_id"], *(f"  {remark}" for remark in remarks)]))
        add_row(name, member["metrics"], member["runtime"] or "–", member["summary"] + how + ties)
    return table


def _width(table: Table) -> int:
    """Returns the width of a table in which nothing is cut."""
    return table.__rich_measure__(out, out.options.update(max_width=10_000)).maximum


def _remarks(member: Json, likes: int) -> list[str]:
    """Returns what stands below a member's id: the members like it, and a machine that was not healthy."""
    health = member.get("health")
    return [
        *([f"{likes} more like it"] if likes else []),
        *([str(health)] if health not in (None, "healthy") else []),
    ]


def _print_unconfirmed(document: Json) -> None:
    unconfirmed = {member["candidate_id"]: why for member in document["front"] if (why := member["unconfirmed"])}
    if unconfirmed:
        reasons = ", ".join(dict.fromkeys(unconfirmed.values()))
        out.print(
            f"not confirmed, figures of the search: {', '.join(unconfirmed)} ({reasons}); "
            f"measure again with: paretune resume {document['job_id']}",
            soft_wrap=True,
        )


def _quality_lines(members: Sequence[Json]) -> dict[str, list[str]]:
    """Returns the outputs that quality was computed from, with their candidates; for remote devices only."""
    lines: dict[str, list[str]] = {}
    for member in members:
        for line in quality_in_words(member["metrics"]):
            lines.setdefault(line, []).append(member["candidate_id"])
    return lines


def _cell(metrics: Mapping[str, Any], name: str) -> str:
    """Returns a figure, and for a speed-up half its interval's width."""
    value, bounds = metric_value(metrics, name), metric_interval(metrics, name)
    text = figure(value, name)
    if bounds is None or name.partition("@")[0] != "speedup" or not value or bounds[0] == bounds[1]:
        return text
    return f"{text} ±{(bounds[1] - bounds[0]) / 2 / value:.1%}"
