"""Every error says what is wrong and how to mend it, also after it came from another process."""

from __future__ import annotations

import copy
import pickle

import pytest

from hwprofiles import errors
from hwprofiles.errors import CandidateError, ParetuneError, candidate_errors, is_transient, transient_states

# As the module draws it.
EXIT_CODES = {
    "ParetuneError": 4,
    "InvalidInput": 2,
    "NotFound": 3,
    "NotAllowed": 4,
    "DeviceUnavailable": 5,
    "StorageError": 4,
    "ClusterLost": 75,
    "CandidateError": 4,
    "BuildFailed": 4,
    "UnsupportedOp": 4,
    "StageTimeout": 4,
    "OutOfMemory": 4,
    "ProcessCrashed": 4,
    "UnhealthyMeasurement": 4,
    "TrainingStopped": 4,
    "Unreachable": 4,
    "TransientError": 4,
    "MachineBusy": 4,
    "MemoryShort": 4,
    "WorkerLost": 4,
    "NotAsked": 4,
}
STATES = {
    "BuildFailed": "build_failed",
    "UnsupportedOp": "unsupported_op",
    "StageTimeout": "timeout",
    "OutOfMemory": "out_of_memory",
    "ProcessCrashed": "crashed",
    "UnhealthyMeasurement": "unhealthy_measurement",
    "TrainingStopped": "stopped",
    "Unreachable": "infeasible",
    "TransientError": "passing",
    "MachineBusy": "machine_busy",
    "MemoryShort": "memory_short",
    "WorkerLost": "worker_lost",
    "NotAsked": "not_asked",
}


def _family(kind: type[ParetuneError]) -> set[type[ParetuneError]]:
    return {kind}.union(*(_family(sub) for sub in kind.__subclasses__() if sub.__module__ == errors.__name__))


@pytest.fixture(params=EXIT_CODES)
def kind(request: pytest.FixtureRequest) -> type[ParetuneError]:
    found = getattr(errors, request.param)
    assert issubclass(found, ParetuneError)
    return found


def test_the_tree_is_as_drawn() -> None:
    assert {found.__name__ for found in _family(ParetuneError)} == set(EXIT_CODES)
    assert {found.__name__ for found in _family(CandidateError)} == {"CandidateError", *STATES}


def test_the_drawing_shows_every_class() -> None:
    drawing = errors.__doc__ or ""
    assert all(name in drawing for name in EXIT_CODES)
    assert all(state in drawing for state in STATES.values())


def test_exit_codes(kind: type[ParetuneError]) -> None:
    assert kind.exit_code == EXIT_CODES[kind.__name__]


@pytest.mark.parametrize("name", STATES)
def test_states(name: str) -> None:
    assert getattr(errors, name).state == STATES[name]


def test_passing_is_what_says_nothing_about_the_candidate() -> None:
    passing = {name for name in EXIT_CODES if is_transient(getattr(errors, name)("said"))}
    assert passing == {
        "ParetuneError", "InvalidInput", "NotFound", "NotAllowed", "DeviceUnavailable", "StorageError",
        "ClusterLost", "TransientError", "UnhealthyMeasurement", "MachineBusy", "MemoryShort", "WorkerLost", "NotAsked",
    }  # fmt: skip


def test_classes_by_state() -> None:
    assert {kind.__name__: state for state, kind in candidate_errors().items()} == STATES
    assert set(transient_states()) == {
        "passing", "unhealthy_measurement", "machine_busy", "memory_short", "worker_lost", "not_asked",
    }  # fmt: skip


def test_message_and_hint(kind: type[ParetuneError]) -> None:
    error = kind("the disk is full", "free some space")
    assert (error.message, error.hint, str(error)) == ("the disk is full", "free some space", "the disk is full")
    assert kind("alone").hint == ""


@pytest.mark.parametrize("trip", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_it_travels_whole(kind: type[ParetuneError], trip: object) -> None:
    assert callable(trip)
    again = trip(kind("the disk is full", "free some space"))
    assert type(again) is kind
    assert (again.message, again.hint) == ("the disk is full", "free some space")
