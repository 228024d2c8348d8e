"""The layer tables of a job: one for each device, and for each graph and runtime of its candidates."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import replace
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
from search.space.candidate import Space, runtime_decision
from search.space.layer_changes import LayerChange, tabulated_decisions, uniform_levels
from search.techniques import Draft, Technique, trains
from search.techniques.one_shot_formats import FORMATS
from search.techniques.precision import CALIBRATION, PRECISION, PrecisionTechnique, executable_precision
from search.techniques.trained_formats import FormatsTechnique

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
    label: str | None = None,
    most: int = MOST,
    transient: MutableMapping[str, Any] | None = None,
    changes: Sequence[LayerChange] = (),
    narrow_draft: Callable[[Mapping[str, str]], Draft | None] = lambda values: None,
    limit_s: float = LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[StructureTable, ...]:
    """Measures layer tables on a device, in up to ``limit_s``.

    The first table is that of the fp32 model; without it there are none.

    If decisions narrow layers (as ``changes`` say), each table is followed by those of uniformly narrowed models, which
    ``narrow_draft`` makes (untrained); values between them are interpolated. Decisions whose ``changes`` are told by a
    table of costs need no layer tables of their own.

    ``draft`` is the fp32 model, ``subject`` names it and its data, ``label`` is the device's in decisions (None: the
    first). ``transient`` holds the answers of a busy machine.
    """
    precision = techniques.get("precision")
    if not isinstance(precision, PrecisionTechnique):
        return ()
    ends_at = clock() + limit_s
    tables: list[StructureTable] = []
    integers: dict[str, str] = {}
    runtime, names = runtime_decision(label), structural_names(space, label, changes)
    baseline = space.baseline().decisions
    unchanged = {name: baseline[name] for name in tabulated_decisions(changes) & baseline.keys()}
    with LayerAnswers(device, JsonCache(cache / "layers"), transient=transient) as answers:
        for values in itertools.islice(_structures(space, names, changes), most):
            spec = values.get(runtime)
            changed = replace(narrow_draft(values) or draft, static_schemes=draft.static_schemes)
            for technique in techniques.values():
                changed = technique.apply(changed, unchanged | values)
            question = Question(
                name=digest_of([subject, {name: value for name, value in values.items() if name != runtime}]),
                model=changed.model,
                groups=changed.groups,
                values=_precisions(space, changed, values),
                sample=sample,
                # Files have the number format that the first device's runtime wants, whichever device executes them.
                scheme=precision.scheme_of(spec if label is None else None, draft.static_schemes),
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
    """Measures a device's table of the fp32 model's layers in fp32 and int8, for a one-shot search by latency.

    None if the job has no such search, or the time was not enough.
    """
    formats = techniques.get(FORMATS)
    if not isinstance(formats, FormatsTechnique) or not formats.by_latency:
        return None
    values = {group.name: {Precision.INT8.value: Precision.INT8} for group in formats.layers}
    question = Question(subject, draft.model, draft.groups, values, sample, formats.scheme)
    with LayerAnswers(device, JsonCache(cache / "layers"), transient=transient) as answers:
        return measure_table(answers, question, limit_s=limit_s)


def structural_names(space: Space, label: str | None = None, changes: Sequence[LayerChange] = ()) -> tuple[str, ...]:
    """Names of the decisions that determine a candidate's tables on a device (None: the first).

    All but the layers' precisions, the calibration's method, changes of the module, changes that a table of costs
    tells, and runtimes of other devices.
    """
    tabulated = tabulated_decisions(changes)
    return tuple(
        decision.name
        for decision in space.decisions
        if decision.technique not in (PRECISION, CALIBRATION)
        and decision.name not in tabulated
        and not trains([decision.technique])
        and (decision.scope != "device" or decision.device == label)
    )


def structure_of(decisions: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Returns a candidate's values of the decisions that :func:`structural_names` lists."""
    return {name: decisions[name] for name in names if name in decisions}


def _structures(space: Space, names: Sequence[str], changes: Sequence[LayerChange]) -> Iterator[dict[str, str]]:
    """Yields the structures of the space's candidates, the baseline's first, each followed by its narrowed ones."""
    baseline = space.baseline().decisions
    choices = {decision.name: decision.choices for decision in space.decisions}
    seen: list[dict[str, str]] = []
    for values in itertools.product(*(choices[name] for name in names)):
        structure = structure_of(space.candidate(baseline | dict(zip(names, values, strict=True))).decisions, names)
        if structure not in seen:
            seen.append(structure)
            yield structure
            yield from (structure | level for level in uniform_levels(changes, choices))


def _precisions(space: Space, draft: Draft, structure: Mapping[str, str]) -> dict[str, dict[str, Precision]]:
    """Returns the values of each group's decision in this structure, with the precision that each is computed in."""
    groups = {group.name: group for group in draft.groups}
    baseline = space.baseline().decisions | dict(structure)
    precisions: dict[str, dict[str, Precision]] = {}
    for decision in space.decisions_of(PRECISION):
        if decision.target in groups:
            group = groups[decision.target]
            candidates = (space.candidate(baseline | {decision.name: value}) for value in decision.choices)
            values = dict.fromkeys(candidate.decisions[decision.name] for candidate in candidates)
            precisions[group.name] = {value: executable_precision(group, Precision(value)) for value in values}
    return precisions
