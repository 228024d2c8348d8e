"""The layer tables of a job: one for each device, and for each graph and runtime of its candidates."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from evaluators.devices.device import Device
from evaluators.probing.layer_table import LayerTable
from evaluators.probing.layer_timing import Question, measure_table
from evaluators.probing.questions import LayerAnswers
from evaluators.runtimes import runtime_of
from evaluators.tensors import Arrays
from hwprofiles import Precision, digest_of
from search.job.facts import StructureTable
from search.json_cache import JsonCache
from search.space.candidate import RUNTIME, Space
from search.space.layer_changes import LayerChange, tabulated_decisions, uniform_levels
from search.techniques import Draft, Technique, is_of_module
from search.techniques.precision import CALIBRATION, PREFIX, PrecisionTechnique, executable_precision
from search.techniques.trained_formats import FORMATS, FormatsTechnique

LIMIT_S = 120.0
"""Time for the tables of one device; answers so far are cached for the next job."""

MOST = 8
"""Most combinations of graph and runtime for which tables are measured, in order."""


def measure_layer_tables(
    device: Device,
    space: Space,
    techniques: Mapping[str, Technique],
    draft: Draft,
    sample: Arrays,
    *,
    subject: str,
    cache: Path,
    runtime: str = RUNTIME,
    most: int = MOST,
    transient: MutableMapping[str, Any] | None = None,
    changes: Sequence[LayerChange] = (),
    narrow_draft: Callable[[Mapping[str, str]], Draft | None] = lambda values: None,
    limit_s: float = LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[StructureTable, ...]:
    """Measure layer tables on a device, in up to ``limit_s``.

    The first table is that of the fp32 model; without it there are none.

    If decisions narrow layers (as ``changes`` say), each table is followed by those of uniformly narrowed models, which
    ``narrow_draft`` makes (untrained); values between them are interpolated. Decisions whose ``changes`` are told by a
    table of costs need no layer tables of their own.

    ``draft`` is the fp32 model, ``subject`` names it and its data, ``runtime`` is the name of the decision for the
    device's runtime. ``transient`` holds the answers of a busy machine.
    """
    precision = techniques.get("precision")
    if not isinstance(precision, PrecisionTechnique):
        return ()
    ends_at = clock() + limit_s
    tables: list[StructureTable] = []
    integers: dict[str, str] = {}
    baseline = space.baseline().decisions
    unchanged = {name: baseline[name] for name in tabulated_decisions(changes) & baseline.keys()}
    with LayerAnswers(device, JsonCache(cache / "layers"), transient=transient) as answers:
        for values in itertools.islice(_structures(space, runtime, changes), most):
            spec = values.get(runtime)
            changed = narrow_draft(values) or draft
            for technique in techniques.values():
                changed = technique.apply(changed, unchanged | values)
            question = Question(
                name=digest_of([subject, {name: value for name, value in values.items() if name != runtime}]),
                model=changed.model,
                groups=changed.groups,
                values=_precisions(space, changed, values),
                sample=sample,
                # Files have the number format that the first device's runtime wants, whichever device executes them.
                scheme=precision.scheme_of(spec if runtime == RUNTIME else None),
                runtime=None if spec == device.profile.runtime else spec,
                integers_runtime=spec and integers.setdefault(runtime_of(spec).family, spec),
            )
            table = measure_table(answers, question, limit_s=max(0.0, ends_at - clock()), clock=clock)
            if table is None:
                break
            tables.append(StructureTable(values, table))
    return tuple(tables)


def measure_format_table(
    device: Device, techniques: Mapping[str, Technique], draft: Draft, sample: Arrays, *, subject: str, cache: Path,
    transient: MutableMapping[str, Any] | None = None, limit_s: float = LIMIT_S,
) -> LayerTable | None:  # fmt: skip
    """Measure a device's table of the fp32 model's layers in fp32 and int8, for a one-shot search by latency.

    None if the job has no such search, or the time was not enough.
    """
    formats = techniques.get(FORMATS)
    if not isinstance(formats, FormatsTechnique) or not formats.by_latency:
        return None
    values = {group.name: {Precision.INT8.value: Precision.INT8} for group in formats.layers}
    question = Question(subject, draft.model, draft.groups, values, sample, formats.scheme)
    with LayerAnswers(device, JsonCache(cache / "layers"), transient=transient) as answers:
        return measure_table(answers, question, limit_s=limit_s)


def structure_of(
    decisions: Mapping[str, str], runtime: str = RUNTIME, changes: Sequence[LayerChange] = ()
) -> dict[str, str]:
    """The values that determine a candidate's tables.

    All but the layers' precisions, the calibration's method, changes of the module, changes that a table of costs
    tells, and runtimes of other devices.
    """
    tabulated = tabulated_decisions(changes)
    return {
        name: value
        for name, value in decisions.items()
        if not name.startswith(PREFIX) and name != CALIBRATION and not is_of_module(name)
        and (not is_runtime(name) or name == runtime) and name not in tabulated
    }  # fmt: skip


def is_runtime(name: str) -> bool:
    """Whether a decision chooses the runtime of a candidate on one of the devices."""
    return name.partition("@")[0] == RUNTIME


def _structures(space: Space, runtime: str, changes: Sequence[LayerChange]) -> Iterator[dict[str, str]]:
    """The structures of the space's candidates, the baseline's first, each followed by its narrowed ones."""
    baseline = space.baseline().decisions
    choices = {decision.name: decision.choices for decision in space.decisions}
    names = structure_of(baseline, runtime, changes)
    seen: list[dict[str, str]] = []
    for values in itertools.product(*(choices[name] for name in names)):
        candidate = space.candidate(baseline | dict(zip(names, values, strict=True)))
        structure = structure_of(candidate.decisions, runtime, changes)
        if structure not in seen:
            seen.append(structure)
            yield structure
            yield from (structure | level for level in uniform_levels(changes, choices))


def _precisions(space: Space, draft: Draft, structure: Mapping[str, str]) -> dict[str, dict[str, Precision]]:
    """The values of each group's decision in this structure, with the precision that each is computed in."""
    groups = {PREFIX + group.name: group for group in draft.groups}
    baseline = space.baseline().decisions | dict(structure)
    precisions: dict[str, dict[str, Precision]] = {}
    for decision in space.decisions:
        if decision.name in groups:
            group = groups[decision.name]
            candidates = (space.candidate(baseline | {decision.name: value}) for value in decision.choices)
            values = dict.fromkeys(candidate.decisions[decision.name] for candidate in candidates)
            precisions[group.name] = {value: executable_precision(group, Precision(value)) for value in values}
    return precisions
