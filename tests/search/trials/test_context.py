"""The context of a job: sent to other processes, and compared by its digest."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from capability_record import capability_of
from contexts import context_of
from small_jobs import spec

from evaluators.probing.layer_table import LayerTable
from evaluators.quantize import Scheme
from hwprofiles import find_device
from search.devices.link import StoreLink
from search.job.devices import JobDevice
from search.job.facts import JobFacts
from search.job.spec import Job
from search.space.candidate import Space
from search.trials.context import JobContext

TABLE = LayerTable((), (), 2.0, 0.1, 0.2)
DRY_RUN = find_device("dry-run")

CHANGES: dict[str, Any] = {
    "job": Job.model_validate(spec(seed=1)),
    "folder": "/elsewhere",
    "devices": (JobDevice("dry-run", find_device("dry-run", 2)),),
    "link": StoreLink("sqlite://", "job search"),
    "capabilities": (capability_of(DRY_RUN),),
    "subject": "model and data",
    "static_schemes": {"onnxruntime": Scheme("int8")},
    "space": Space((), "context"),
    "layer_times": TABLE,
    "files": {"model.onnx": "0" * 64},
    "digests": {"model": "0" * 64},
}


@pytest.fixture
def context() -> JobContext:
    return context_of(Job.model_validate(spec()), Path("/jobs"), DRY_RUN)


def test_a_copy_is_equal_and_has_the_same_job(context: JobContext) -> None:
    prepared = replace(context, **CHANGES)
    copy = pickle.loads(pickle.dumps(prepared))
    assert (copy, hash(copy), copy.digest) == (prepared, hash(prepared), prepared.digest)
    assert (copy.job, copy.layer_times) == (prepared.job, TABLE)
    assert copy.job is copy.job


def test_every_field_counts(context: JobContext) -> None:
    assert set(CHANGES) == {field.name for field in fields(JobContext)}
    changed = [replace(context, **{name: value}) for name, value in CHANGES.items()]
    assert len({context, *changed}) == 1 + len(CHANGES)
    assert context != "a context"


def test_the_order_of_schemes_does_not_count(context: JobContext) -> None:
    schemes = {"onnxruntime": Scheme(), "openvino": Scheme("int8")}
    backwards = dict(reversed(schemes.items()))
    assert replace(context, static_schemes=schemes) == replace(context, static_schemes=backwards)


def test_facts_complete_it(context: JobContext) -> None:
    facts = JobFacts(subject="x", static_schemes={"onnxruntime": Scheme("int8")}, layer_times=TABLE)
    prepared = context.with_preparation(facts, Space((), "context"))
    assert (prepared.subject, prepared.static_schemes, prepared.layer_times) == (
        "x", {"onnxruntime": Scheme("int8")}, TABLE,
    )  # fmt: skip


def test_devices_are_known_by_label(context: JobContext) -> None:
    two = replace(context, devices=(*context.devices, JobDevice("phone", find_device("dry-run", 2))))
    assert (two.profile, two.further_devices) == (DRY_RUN, two.devices[1:])
    assert [two.profile_of(label).threads for label in (None, "dry-run", "phone")] == [1, 1, 2]
