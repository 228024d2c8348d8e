"""The job file: what may be written, and what is said of every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from evaluators.measuring.latency import Protocol
from hwprofiles.errors import DeviceUnavailable, InvalidInput
from search.devices.lookup import NO_AGENTS
from search.job.profiles import profiles_of
from search.job.schema import json_schema
from search.job.spec import DeviceSpec, Job, load_job, parse_job
from search.options import validate_options
from search.strategies import Nsga2

REPOSITORY = Path(__file__).parents[3]

LEAST: dict[str, Any] = {"task": {"name": "digits"}, "devices": ["dry-run"]}

FULL: dict[str, Any] = {
    "version": 1,
    "name": "digits-here",
    "task": {"name": "digits", "options": {"width": 64}},
    "devices": [{"name": "dry-run", "threads": 2, "batch": 8}],
    "objectives": [{"metric": "accuracy", "direction": "max"}, {"metric": "latency_ms.p90", "direction": "min"}],
    "constraints": ["accuracy >= baseline - 0.01", "size_bytes@dry-run <= 2000000"],
    "space": {"precision": {"choices": ["fp32", "int8"], "calibration": ["minmax", "entropy"]}, "graph": None},
    "recovery": {"epochs": 3, "losses": {"task": 1.0, "kl": {"temperature": 2}}},
    "filters": {},
    "strategy": {"name": "nsga2", "options": {"population": 8}},
    "budget": {"trials": 20, "minutes": 1.5, "batch": 4, "parallel": 2},
    "limits": {
        "training_s": 10,
        "exporting_s": 20.5,
        "building_s": 30,
        "measuring_s": 40,
        "memory_bytes": 4000000000,
    },
    "seed": 7,
}


TWO = ["dry-run", {"name": "dry-run", "threads": 2}]
A, B = "dry-run-t1-b1", "dry-run-t2-b1"
DEFAULTS = [{"metric": "cosine", "direction": "max"}, {"metric": "speedup", "direction": "max"}]


def parsed(**fields: Any) -> Job:
    return parse_job(LEAST | fields, folder=Path())


def refused(data: Any, *, folder: Path = Path()) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as caught:
        parse_job(data, folder=folder)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message + caught.value.hint
    assert caught.value.hint
    return caught.value.message, caught.value.hint


class TestJobs:
    def test_what_may_be_left_out(self) -> None:
        job = parsed()
        assert (job.version, job.name, job.seed, job.constraints, job.space) == (1, "job", 0, (), None)
        assert [(o.metric, o.direction) for o in job.joint_objectives] == [("cosine", "max"), ("speedup", "max")]
        assert (job.strategy.name, job.budget.trials, job.budget.minutes) == ("nsga2", 60, None)
        assert Job.model_validate({"task": {"name": "digits"}}).devices[0].name == "local-cpu"

    def test_everything(self) -> None:
        job = parse_job(FULL, folder=Path())
        assert job.devices == (DeviceSpec(name="dry-run", threads=2, batch=8),)
        assert [(o.metric, o.direction) for o in job.joint_objectives] == [
            ("accuracy", "max"),
            ("latency_ms.p90", "min"),
        ]
        assert [(c.metric, c.device) for c in job.joint_constraints] == [
            ("accuracy", None),
            ("size_bytes", "dry-run"),
        ]
        assert job.space == {
            "precision": {"choices": ["fp32", "int8"], "calibration": ["minmax", "entropy"]},
            "graph": {},
        }

    @pytest.mark.parametrize("data", [LEAST, FULL], ids=["least", "everything"])
    def test_the_resolved_job_is_json_and_comes_back(self, data: dict[str, Any]) -> None:
        job = parse_job(data, folder=Path())
        stored = json.loads(json.dumps(job.model_dump(mode="json"), allow_nan=False))
        assert Job.model_validate(stored) == job
        assert parse_job(stored, folder=Path()) == job

    def test_a_flag_over_the_resolved_job_is_checked_with_it(self) -> None:
        data = parse_job(FULL, folder=Path()).model_dump(mode="json")
        data["devices"], data["budget"]["trials"] = ["dry-run"], 5
        job = parse_job(data, folder=Path())
        assert (job.devices[0].batch, job.budget.trials, job.budget.minutes) == (1, 5, 1.5)
        data["budget"]["trials"] = 0
        assert refused(data)[0] == "budget.trials: must be at least 1, not 0"

    def test_it_is_frozen(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            parsed().seed = 3  # type: ignore[misc]

    @pytest.mark.parametrize(
        ("metric", "wanted"),
        [("accuracy", True), ("latency_ms", True), ("size_bytes", True), ("speedup", False), ("latency", False)],
    )
    def test_what_it_wants_measured(self, metric: str, wanted: bool) -> None:
        assert parse_job(FULL, folder=Path()).wants(metric) is wanted

    @pytest.mark.parametrize("path", sorted((REPOSITORY / "examples").glob("*.yaml")), ids=lambda path: path.name)
    def test_the_examples_have_known_fields_only(self, path: Path) -> None:
        assert Job.model_validate(yaml.safe_load(path.read_text())).name

    def test_a_strategy_by_its_name(self) -> None:
        assert parsed(strategy="random").strategy == parsed(strategy={"name": "random"}).strategy

    def test_the_schema_is_for_editors(self) -> None:
        schema = json.loads(json.dumps(json_schema()))
        assert set(schema["properties"]) == {*FULL, "stages"}
        assert schema["additionalProperties"] is False
        assert schema["required"] == ["task"]


class TestSeveralDevices:
    def test_a_name_that_is_there_once_is_the_label(self) -> None:
        assert parsed().labels == ("dry-run",)
        assert parsed(devices=TWO).labels == (A, B)
        devices = profiles_of(parsed(devices=TWO), NO_AGENTS)
        assert [(device.label, device.profile.threads) for device in devices] == [(A, 1), (B, 2)]

    def test_metrics_of_a_device_are_objectives_of_each(self) -> None:
        job = parsed(devices=TWO, objectives=[*DEFAULTS, {"metric": "latency_ms.p90", "direction": "min"}])
        assert names(job) == ["cosine", f"speedup@{A}", f"speedup@{B}", f"latency_ms.p90@{A}", f"latency_ms.p90@{B}"]
        assert [o.metric for o in job.objectives_on(B)] == ["cosine", "speedup", "latency_ms.p90"]

    @pytest.mark.parametrize(
        "objective",
        [
            {"metric": "speedup", "direction": "max", "device": B},
            {"metric": f"speedup@{B}", "direction": "max"},
        ],
    )
    def test_one_device_may_be_meant(self, objective: dict[str, str]) -> None:
        job = parsed(devices=TWO, objectives=[DEFAULTS[0], objective])
        assert names(job) == ["cosine", f"speedup@{B}"]
        assert [o.metric for o in job.objectives_on(A)] == ["cosine"]
        assert [o.metric for o in job.objectives_on(B)] == ["cosine", "speedup"]

    @pytest.mark.parametrize(
        "objective",
        [
            {"metric": "speedup", "direction": "max", "aggregate": "geomean"},
            {"metric": "speedup@geomean", "direction": "max"},
        ],
    )
    def test_or_all_of_them_as_one(self, objective: dict[str, str]) -> None:
        job = parsed(devices=TWO, objectives=[objective])
        assert names(job) == ["speedup@geomean"]
        assert [o.metric for o in job.objectives_on(A)] == ["speedup"]

    def test_a_job_of_one_device_has_plain_names(self) -> None:
        job = parsed(objectives=[
            {"metric": "speedup", "direction": "max", "device": "dry-run"},
            {"metric": "latency_ms", "direction": "min", "aggregate": "max"},
            {"metric": "wer@clean", "direction": "min"},
        ])  # fmt: skip
        assert names(job) == ["speedup", "latency_ms", "wer@clean"]

    def test_constraints_of_a_device(self) -> None:
        job = parsed(devices=TWO, constraints=["accuracy >= 0.9", f"speedup@{B} >= 2"])
        assert [c.text for c in job.constraints_on(A)] == ["accuracy >= 0.9"]
        assert [c.text for c in job.constraints_on(B)] == ["accuracy >= 0.9", f"speedup@{B} >= 2"]

    def test_what_it_wants_measured(self) -> None:
        job = parsed(devices=TWO, objectives=[{"metric": f"peak_memory_bytes@{B}", "direction": "min"}])
        assert job.wants("peak_memory_bytes")
        assert not job.wants("latency_ms")

    def test_alone_it_is_the_job_of_one_device(self) -> None:
        job = parsed(devices=TWO, constraints=[f"speedup@{B} >= 2", f"speedup@{A} >= 3"])
        alone = parse_job(job.alone(B), folder=Path())
        assert (alone.labels, alone.devices[0].threads, names(alone)) == (("dry-run",), 2, ["cosine", "speedup"])
        assert alone.constraints == ("speedup >= 2",)

    def test_it_comes_back_from_json(self) -> None:
        job = parsed(devices=TWO, objectives=[{"metric": "speedup", "direction": "max", "aggregate": "min"}])
        assert parse_job(json.loads(job.model_dump_json()), folder=Path()) == job


def names(job: Job) -> list[str]:
    return [objective.metric for objective in job.joint_objectives]


class TestPercentiles:
    @pytest.mark.parametrize(
        ("fields", "samples"),
        [
            ({}, 0),
            ({"constraints": ["latency_ms <= 5", "latency_ms.p50 <= 5"]}, 0),
            ({"constraints": ["latency_ms.p95 <= 5", "latency_ms.p90 <= 4"]}, 130),
            ({"objectives": [{"metric": "latency_ms.p99", "direction": "min"}]}, 662),
            ({"constraints": ["latency_ms.p99@local-cpu <= 5"]}, 662),
        ],
    )
    def test_those_named_are_measured_for(self, fields: dict[str, Any], samples: int) -> None:
        assert parse_job({"task": {"name": "digits"}, **fields}, folder=Path()).protocol == Protocol(samples=samples)

    @pytest.mark.parametrize(
        ("fields", "place"),
        [
            ({"constraints": ["size_bytes <= 5", "latency_ms.p75 <= 5"]}, "constraints.1"),
            ({"objectives": [{"metric": "latency_ms.p75", "direction": "min"}]}, "objectives.0"),
        ],
    )
    def test_others_are_refused_with_those_that_there_are(self, fields: dict[str, Any], place: str) -> None:
        message, hint = refused(LEAST | fields)
        assert message == f"{place}: there is no metric 'latency_ms.p75'"
        assert hint == "write latency_ms.p50, latency_ms.p90, latency_ms.p95 or latency_ms.p99"


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("fields", "place", "near"),
        [
            ({"obectives": []}, "obectives", "objectives"),
            ({"device": ["dry-run"]}, "device", "devices"),
            ({"task": {"name": "digits", "option": {}}}, "task.option", "options"),
            ({"task": {"name": "digits", "options": {"widht": 3}}}, "task.options.widht", "width"),
            ({"devices": [{"name": "dry-run", "treads": 2}]}, "devices.0.treads", "threads"),
            ({"objectives": [{"metric": "a", "directon": "max"}]}, "objectives.0.directon", "direction"),
            (
                {"objectives": [{"metric": "a", "direction": "max"}, {"metrc": "b", "direction": "max"}]},
                "objectives.1.metrc",
                "metric",
            ),
            ({"budget": {"trails": 3}}, "budget.trails", "trials"),
            ({"limits": {"traning_s": 3}}, "limits.traning_s", "training_s"),
            ({"strategy": {"nam": "nsga2"}}, "strategy.nam", "name"),
            ({"strategy": {"options": {"popluation": 4}}}, "strategy.options.popluation", "population"),
            ({"strategy": {"name": "random", "options": {"bach": 4}}}, "strategy.options.bach", "batch"),
            ({"space": {"precision": {"choises": ["int8"]}}}, "space.precision.choises", "choices"),
        ],
    )
    def test_the_nearest_is_named_at_every_level(self, fields: dict[str, Any], place: str, near: str) -> None:
        key = place.rpartition(".")[2]
        assert refused(LEAST | fields) == (f"{place}: unknown key {key!r}", f"did you mean {near!r}?")

    def test_a_misspelt_field_that_is_missing_too(self) -> None:
        assert refused({"taks": {"name": "digits"}}) == ("taks: unknown key 'taks'", "did you mean 'task'?")

    def test_without_a_near_one_all_are_listed(self) -> None:
        message, hint = refused(LEAST | {"budget": {"xyz": 3}})
        assert message == "budget.xyz: unknown key 'xyz'"
        assert hint == "known: batch, minutes, parallel, trials"

    def test_a_key_that_is_no_text(self) -> None:
        message, hint = refused({**LEAST, 1: 2})
        assert message == "1: unknown key 1"
        assert hint.startswith("known: budget, ")


class TestUnknownNames:
    @pytest.mark.parametrize(
        ("fields", "message", "hint"),
        [
            ({"task": {"name": "digit"}}, "task.name: unknown task 'digit'", "did you mean 'digits'?"),
            ({"devices": ["dryrun"]}, "devices.0.name: unknown device 'dryrun'", "did you mean 'dry-run'?"),
            ({"strategy": {"name": "nsga3"}}, "strategy.name: unknown strategy 'nsga3'", "did you mean 'nsga2'?"),
            (
                {"strategy": {"name": "xyz"}},
                "strategy.name: unknown strategy 'xyz'",
                "known: bayesian, evolution, fliqs, n2n, nsga2, random, sensitivity, staged",
            ),
            ({"space": {"precison": {}}}, "space: unknown technique 'precison'", "did you mean 'precision'?"),
            (
                {"constraints": ["size_bytes <= 5", "latency_ms@board <= 5"]},
                "constraints.1: 'latency_ms@board <= 5' names device 'board', which the job does not use",
                "use @dry-run, or no device",
            ),
        ],
    )
    def test_they_are_named(self, fields: dict[str, Any], message: str, hint: str) -> None:
        assert refused(LEAST | fields) == (message, hint)

    def test_a_file_of_a_task_is_looked_for_beside_the_job(self, tmp_path: Path) -> None:
        data = LEAST | {"task": {"name": "./my_task.py:make_task"}}
        message, _ = refused(data, folder=tmp_path)
        assert message == f"task.name: file {tmp_path / 'my_task.py'} does not exist"
        (tmp_path / "my_task.py").write_text("def make_task(): ...\n")
        assert parse_job(data, folder=tmp_path).task.name == "./my_task.py:make_task"


class TestMissing:
    def test_the_task(self) -> None:
        assert refused({"devices": ["dry-run"]}) == ("task: missing", "add the field 'task'")

    @pytest.mark.parametrize(
        ("fields", "place"),
        [
            ({"task": {}}, "task.name"),
            ({"task": {"name": "onnx", "options": {"data": "samples.npz"}}}, "task.options.model"),
            ({"devices": [{"threads": 2}]}, "devices.0.name"),
            ({"objectives": [{"metric": "a"}]}, "objectives.0.direction"),
        ],
    )
    def test_a_field(self, fields: dict[str, Any], place: str) -> None:
        assert refused(LEAST | fields) == (f"{place}: missing", f"add the field {place.rpartition('.')[2]!r}")

    @pytest.mark.parametrize("data", [None, [], "digits", 3])
    def test_everything(self, data: Any) -> None:
        message, hint = refused(data)
        assert message == "the job file must contain key: value fields"
        assert "task: {name: digits}" in hint


class TestWrongValues:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"version": 2}, "version: must be 1, not 2"),
            ({"name": 5}, "name: must be text, not 5"),
            ({"seed": -1}, "seed: must be at least 0, not -1"),
            ({"seed": "x"}, "seed: must be a whole number, not 'x'"),
            ({"budget": {"trials": 0}}, "budget.trials: must be at least 1, not 0"),
            ({"budget": {"trials": 2.5}}, "budget.trials: must be a whole number, not 2.5"),
            ({"budget": {"trials": "many"}}, "budget.trials: must be a whole number, not 'many'"),
            ({"budget": {"minutes": 0}}, "budget.minutes: must be greater than 0, not 0"),
            ({"budget": {"minutes": float("inf")}}, "budget.minutes: must be a finite number, not inf"),
            ({"budget": {"trials": None}}, "budget.trials: must be a whole number, but is empty"),
            ({"budget": None}, "budget: must be a mapping of fields, but is empty"),
            ({"budget": 5}, "budget: must be a mapping of fields, not 5"),
            ({"limits": {"training_s": "1h"}}, "limits.training_s: must be a number, not '1h'"),
            ({"limits": {"training_s": float("nan")}}, "limits.training_s: must be a finite number, not nan"),
            ({"task": "digits"}, "task: must be a mapping of fields, not 'digits'"),
            (
                {"task": {"name": "digits", "options": {"width": "x"}}},
                "task.options.width: must be a whole number, not 'x'",
            ),
            ({"devices": "dry-run"}, "devices: must be a list, not 'dry-run'"),
            ({"devices": [3]}, "devices.0: must be a mapping of fields, not 3"),
            ({"devices": [{"name": "dry-run", "threads": 0}]}, "devices.0.threads: must be at least 1, not 0"),
            ({"devices": []}, "devices: at least one device is needed"),
            ({"objectives": []}, "objectives: at least one objective is needed"),
            ({"objectives": ["speedup"]}, "objectives.0: must be a mapping of fields, not 'speedup'"),
            ({"objectives": {"metric": "a"}}, "objectives: must be a list"),
            (
                {"objectives": [{"metric": "a", "direction": "up"}]},
                "objectives.0.direction: must be 'max' or 'min', not 'up'",
            ),
            ({"constraints": "accuracy >= 0.9"}, "constraints: must be a list, not 'accuracy >= 0.9'"),
            ({"constraints": ["nll <= 1", 3]}, "constraints.1: must be text, not 3"),
            ({"constraints": ["nll <= 1", "nll < 1"]}, "constraints.1: constraint 'nll < 1' cannot be read"),
            ({"space": ["precision"]}, "space: must be a mapping of fields"),
            ({"space": {"precision": ["int8"]}}, "space.precision: must be a mapping of fields"),
            ({"space": {"precision": {"choices": "int8"}}}, "space.precision.choices: must be a list, not 'int8'"),
            ({"strategy": 3}, "strategy: must be a mapping of fields, not 3"),
            (
                {"strategy": {"options": {"population": 1}}},
                "strategy.options.population: must be at least 2, not 1",
            ),
        ],
    )  # fmt: skip
    def test_the_field_and_the_value_are_named(self, fields: dict[str, Any], message: str) -> None:
        assert refused(LEAST | fields)[0] == message

    def test_a_precision_that_there_is_not(self) -> None:
        message, _ = refused(LEAST | {"space": {"precision": {"choices": ["fp32", "int9"]}}})
        assert message.startswith("space.precision.choices.1: must be 'fp32', 'int8', ")
        assert message.endswith(", not 'int9'")

    @pytest.mark.parametrize(
        ("fields", "hint"),
        [
            ({"task": "digits"}, "write: task: {name: digits}"),
            ({"strategy": ["nsga2"]}, "write: strategy: {name: nsga2}"),
            ({"devices": "dry-run"}, "write: devices: ['dry-run']"),
            ({"devices": []}, "write: devices: [local-cpu]"),
            ({"constraints": "nll <= 1"}, "write: constraints: ['nll <= 1']"),
            ({"objectives": ["speedup"]}, "write: objectives: [{metric: speedup, direction: max}]"),
            ({"budget": None}, "give budget a value, or leave the line out"),
        ],
    )
    def test_it_is_shown_how_it_is_written(self, fields: dict[str, Any], hint: str) -> None:
        found = refused(LEAST | fields)[1]
        assert found == hint
        if hint.startswith("write: "):
            assert isinstance(yaml.safe_load(hint.removeprefix("write: ")), dict)

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"devices": ["dry-run", "local-cpu"]}, "devices: 'dry-run' is simulated and others are measured"),
            ({"devices": ["dry-run", "dry-run"]}, "devices.1: the same device as devices.0"),
            ({"devices": [{"name": "dry-run"}, {"name": "dry-run", "batch": 1}]}, "devices.1: the same device"),
            ({"devices": ["dry-run", "dry-ran"]}, "devices.1.name: unknown device 'dry-ran'"),
            (
                {"devices": TWO, "objectives": [{"metric": "speedup", "direction": "max", "device": "dry-run"}]},
                "objectives.0.device: 'dry-run' is no device of the job",
            ),
            (
                {"objectives": [{"metric": "speedup", "direction": "max", "device": "phone"}]},
                "objectives.0.device: 'phone' is no device of the job",
            ),
            (
                {"devices": TWO, "objectives": [
                    {"metric": "speedup", "direction": "max", "device": A, "aggregate": "min"},
                ]},
                f"objectives.0: names '{A}' and 'min'",
            ),
            (
                {"devices": TWO, "objectives": [{"metric": f"speedup@{A}", "direction": "max", "device": B}]},
                f"objectives.0: names '{A}' and '{B}'",
            ),
            (
                {"devices": TWO, "objectives": [{"metric": "speedup", "direction": "max", "aggregate": "mean"}]},
                "objectives.0.aggregate: must be 'min', 'max' or 'geomean'",
            ),
            ({"devices": TWO, "constraints": ["speedup@dry-run >= 2"]}, "names device 'dry-run', which the job"),
        ],
    )  # fmt: skip
    def test_devices_that_do_not_fit(self, fields: dict[str, Any], said: str) -> None:
        message, hint = refused(LEAST | fields)
        assert said in message
        assert hint

    def test_more_threads_than_the_device_has(self) -> None:
        with pytest.raises(DeviceUnavailable, match="4096 threads requested") as caught:
            parsed(devices=[{"name": "local-cpu", "threads": 4096}])
        assert caught.value.exit_code == 5

    def test_options_of_any_model(self) -> None:
        assert validate_options(Nsga2.Options, {"population": 4}, "here").model_dump()["population"] == 4
        with pytest.raises(InvalidInput, match=r"here\.population: must be at least 2"):
            validate_options(Nsga2.Options, {"population": 0}, "here")


class TestNumberFormats:
    FLIQS: ClassVar[dict[str, Any]] = {"strategy": {"name": "fliqs"}, "space": {"formats": {}}}

    @pytest.mark.parametrize("space", [None, {"precision": {}}, {}])
    def test_the_strategy_needs_the_technique(self, space: Any) -> None:
        message, hint = refused(LEAST | self.FLIQS | {"space": space})
        assert message == "space: the strategy 'fliqs' needs the technique 'formats'"
        assert yaml.safe_load(hint.removeprefix("write: ")) == {"space": {"formats": {}}}

    def test_not_beside_precision(self) -> None:
        message, hint = refused(LEAST | {"space": {"precision": {}, "formats": {}}})
        assert message == "space: formats and precision both decide how layers' numbers are stored"
        assert hint == "leave one of them out"

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"choices": ["int4", "int9"]}, "space.formats.choices: 'int9' is no number format: use one of int2, "),
            ({"choices": ["fp32"]}, "space.formats.choices: name a format besides fp32"),
            ({"choices": "int4"}, "space.formats.choices: must be a list, not 'int4'"),
            ({"inputs_from": 1}, "space.formats.inputs_from: must be less than 1, not 1"),
            ({"calibration_samples": 0}, "space.formats.calibration_samples: must be at least 1, not 0"),
        ],
    )
    def test_options_of_the_technique(self, options: dict[str, Any], said: str) -> None:
        assert refused(LEAST | {"space": {"formats": options}})[0].startswith(said)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"targets": [20, 0]}, "strategy.options.targets.1: must be greater than 0, not 0"),
            ({"targets": [-4]}, "strategy.options.targets.0: must be greater than 0, not -4"),
            ({"targets": 20}, "strategy.options.targets: must be a list, not 20"),
            ({"targets": []}, "strategy.options.targets: "),
            ({"cost": "bits"}, "strategy.options.cost: must be 'bit_operations', 'size' or 'latency', not 'bits'"),
            ({"tragets": [20]}, "strategy.options.tragets: unknown key 'tragets'"),
        ],
    )
    def test_options_of_the_strategy(self, options: dict[str, Any], said: str) -> None:
        assert refused(LEAST | self.FLIQS | {"strategy": {"name": "fliqs", "options": options}})[0].startswith(said)

    def test_as_it_is_written(self) -> None:
        job = parsed(**self.FLIQS, objectives=[{"metric": "bit_operations", "direction": "min"}])
        assert job.wants("bit_operations")
        assert parse_job(job.model_dump(mode="json"), folder=Path()) == job
        assert parsed(space={"formats": {"choices": ["INT4", "e3m2"]}}).strategy.name == "nsga2"


class TestFiles:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "job.yaml"

    def message(self, path: Path) -> str:
        with pytest.raises(InvalidInput) as caught:
            load_job(path)
        assert caught.value.hint
        assert "\n" not in caught.value.message
        return caught.value.message

    def test_a_job(self, path: Path) -> None:
        path.write_text(yaml.safe_dump(FULL))
        assert load_job(path) == parse_job(FULL, folder=path.parent)

    def test_json_is_yaml(self, path: Path) -> None:
        path.write_text(json.dumps(FULL))
        assert load_job(path) == parse_job(FULL, folder=path.parent)

    def test_a_task_beside_it(self, path: Path) -> None:
        (path.parent / "my_task.py").write_text("def make_task(): ...\n")
        path.write_text("task: {name: ./my_task.py:make_task}\ndevices: [dry-run]\n")
        assert load_job(path).task.name == "./my_task.py:make_task"

    def test_one_that_is_not_there(self, path: Path) -> None:
        assert self.message(path) == f"job file {path} does not exist"

    def test_a_folder(self, path: Path) -> None:
        path.mkdir()
        assert "cannot be read" in self.message(path)

    def test_one_that_is_no_text(self, path: Path) -> None:
        path.write_bytes(b"\xff\xfe\x00model")
        assert "cannot be read" in self.message(path)

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("task: {name: digits\ndevices: [dry-run]\n", 2),
            ("task:\n  name: digits\n options: {}\n", 3),
            ("name: one\nname two\n", 3),
            ("task:\n\tname: digits\n", 2),
            ("a: 1\nb: 2\nc: 'open\n", 4),
            ("a: 1\ntask: !!python/object/apply:os.system ['true']\n", 2),
        ],
    )
    def test_one_that_is_not_yaml(self, path: Path, text: str, line: int) -> None:
        path.write_text(text)
        assert self.message(path).startswith(f"job file {path} is not YAML at line {line}: ")

    @pytest.mark.parametrize("text", ["", "# nothing yet\n", "- task\n", "digits\n"])
    def test_one_that_holds_no_fields(self, path: Path, text: str) -> None:
        path.write_text(text)
        assert self.message(path) == "the job file must contain key: value fields"
