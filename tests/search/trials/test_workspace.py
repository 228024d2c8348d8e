"""What happens in a job's sandboxes: the fp32 model, candidates' files, and their quality."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from contexts import context_of
from number_formats import number_formats
from onnx_builder import Builder
from small_jobs import classifier, samples, spec, write_classifier

from evaluators.measuring.latency import Protocol
from evaluators.processes.sandbox import Sandbox
from evaluators.testing.fake_device import FakeDevice
from hwprofiles import Precision, Profile, find_device
from hwprofiles.errors import BuildFailed, InvalidInput
from search.devices.link import DeviceLost
from search.devices.lookup import NO_AGENTS
from search.gains.whole_model import WholeModel
from search.job.facts import JobFacts
from search.job.profiles import profiles_of
from search.job.spec import parse_job
from search.prediction import tables
from search.space.display import Fields, items_of
from search.subject import Draft
from search.tasks import OnnxTask
from search.trials import preparation, sandboxed, scoring, workspace
from search.trials.context import JobContext
from search.trials.scoring import Scoring
from search.trials.workspace import Workspace

Order = Callable[..., JobContext]
INT8 = "int8"


@pytest.fixture
def order(tmp_path: Path) -> Iterator[Order]:
    """Orders for the small classifier's job."""
    write_classifier(tmp_path)

    def of(profile: Profile | None = None, subject: str | None = None, **fields: Any) -> JobContext:
        job = parse_job(spec(**fields), folder=tmp_path)
        return context_of(job, tmp_path, profile, subject=subject)

    yield of
    sandboxed.workspace_of.cache_clear()


def all_int8(space: Workspace, value: str = INT8) -> dict[str, str]:
    return {f"precision:{group.name}": value for group in space.groups}


class TestModel:
    def test_it_is_exported_once_for_all_jobs(self, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
        times: list[Path] = []
        export = OnnxTask.export

        def counted(task: OnnxTask, path: Path, *, trained: bool = True) -> None:
            times.append(path)
            export(task, path, trained=trained)

        monkeypatch.setattr(OnnxTask, "export", counted)
        first, again = Workspace(order()), Workspace(order(name="another", seed=5))
        assert first.model.SerializeToString() == again.model.SerializeToString()
        assert len(times) == 1
        assert not times[0].exists()
        assert [path.name for path in first.baseline_path.parent.iterdir()] == [f"{first.exported.sha256}.onnx"]

    def test_other_data_is_another_subject(self, order: Order, tmp_path: Path) -> None:
        before = Workspace(order())
        np.savez(tmp_path / "samples.npz", **samples(seed=1))
        assert Workspace(order()).digest != before.digest
        with pytest.raises(InvalidInput, match="another model or other data than when the job was prepared"):
            Workspace(order(subject=before.digest))

    def test_the_modelled_device_has_a_model_of_its_own(self, order: Order) -> None:
        """An untrained structure must never stand in for the trained model."""
        assert Workspace(order()).digest != Workspace(order(find_device("dry-run"))).digest

    @pytest.mark.parametrize("batch", [1, 4])
    def test_a_sample_is_one_inference(self, order: Order, batch: int) -> None:
        space = Workspace(order(find_device("local-cpu", 1, batch)))
        space.model  # noqa: B018 - exported
        assert {name: values.shape for name, values in space.sample.items()} == {"x": (batch, 16)}

    def test_a_batch_larger_than_the_split_repeats_its_samples(self, order: Order) -> None:
        """A smaller batch under the larger one's name would be another measurement."""
        space = Workspace(order(find_device("local-cpu", 1, 64)))
        rows = space.task.inputs("validation")["x"]
        assert len(rows) == 20
        np.testing.assert_array_equal(space.sample["x"], np.concatenate([rows, rows, rows, rows])[:64])
        assert space.notes() == ["the validation split has 20 samples: an inference of 64 repeats some of them"]
        assert Workspace(order(find_device("local-cpu", 1, 20))).notes() == []

    def test_a_batch_that_the_model_cannot_take_is_refused(self, order: Order, tmp_path: Path) -> None:
        onnx.save(classifier(1, batch=4), tmp_path / "model.onnx")
        with pytest.raises(InvalidInput, match="takes 4 samples in one inference") as caught:
            Workspace(order(find_device("local-cpu", 1, 8))).sample  # noqa: B018 - taken on first use
        assert caught.value.hint == "write batch: 4 at the device"
        assert Workspace(order(find_device("local-cpu", 1, 4))).notes() == []
        assert Workspace(order()).notes() == ["the model takes 4 samples in one inference: latencies are of 4"]

    def test_calibration_samples_are_drawn_from_all_of_the_split(self, order: Order) -> None:
        """Sorted by class, the first of them would show one class alone."""
        space = Workspace(order())
        given = space.task.inputs("calibration")["x"]
        few, more = (np.concatenate([b["x"] for b in space.samples.calibration_batches(n)]) for n in (8, 16))
        places = [int(np.flatnonzero((given == row).all(1))[0]) for row in more]
        assert len(set(places)) == 16
        assert max(places) >= 30  # of 40
        assert places != sorted(places)
        np.testing.assert_array_equal(more[:8], few)
        np.testing.assert_array_equal(
            np.concatenate([b["x"] for b in Workspace(order()).samples.calibration_batches(8)]), few
        )

    def test_half_precision_is_searched_in_float32_and_said_so(self, order: Order, tmp_path: Path) -> None:
        model = classifier(3)
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT:
                halves = onnx.numpy_helper.to_array(tensor).astype(np.float16)
                tensor.CopyFrom(onnx.numpy_helper.from_array(halves, tensor.name))
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
        onnx.save(model, tmp_path / "model.onnx")
        space = Workspace(order())
        (note,) = space.notes()
        assert note.startswith("the model's float16 numbers were converted to float32")
        assert space.space(None).size == 5**4
        assert space.sample["x"].dtype == np.float16
        built = space.build(all_int8(space), tmp_path / "int8.onnx")
        assert Scoring(space).quality(built.path, "validation").metrics["cosine"] > 0.9
        assert preparation.Preparation(space)._facts().notes == (note,)

    def test_layers_that_are_quantised_already_are_told(self, order: Order, tmp_path: Path) -> None:
        from onnxruntime.quantization import quantize_dynamic

        onnx.save(classifier(3), tmp_path / "float.onnx")
        names = [node.name for node in onnx.load(tmp_path / "float.onnx").graph.node if node.op_type == "MatMul"]
        quantize_dynamic(tmp_path / "float.onnx", tmp_path / "model.onnx", nodes_to_exclude=names[:1])
        space = Workspace(order())
        assert space.notes() == [
            "3 layers of the model are quantised already and stay as they are; float layers left to decide: 1"
        ]
        quantize_dynamic(tmp_path / "float.onnx", tmp_path / "model.onnx")
        space = Workspace(order())
        (note,) = space.notes()
        assert note.endswith("no float layer is left to quantise: give the float32 model to search in it")
        assert space.space(None).size == 1

    def test_text_is_an_input_like_any_other(self, order: Order, tmp_path: Path) -> None:
        builder = Builder()
        counts = builder.op(
            "TfIdfVectorizer", builder.input("t", ["n", 4], onnx.TensorProto.STRING), mode="TF", min_gram_length=1,
            max_gram_length=1, max_skip_count=0, ngram_counts=[0], ngram_indexes=[0, 1, 2, 3],
            pool_strings=["a", "b", "c", "d"],
        )  # fmt: skip
        builder.op("MatMul", counts, builder.weight(4, 3), out="y")
        builder.output("y", shape=["n", 3])
        onnx.save(builder.model(), tmp_path / "model.onnx")
        words = np.random.default_rng(0).choice(list("abcdé"), (60, 4))
        np.savez(tmp_path / "samples.npz", t=words)
        space = Workspace(order())
        assert Workspace(order(subject=space.digest)).digest == space.digest
        decisions = {f"precision:{group.name}": "int8_dynamic" for group in space.groups}
        built = space.build(decisions, tmp_path / "built.onnx")
        assert Scoring(space).quality(built.path, "validation").metrics["cosine"] > 0.99
        assert Scoring(space).quality(built.path, "test").metrics["cosine"] > 0.99


class TestSpace:
    def test_without_a_section_every_technique_is_there(self, order: Order) -> None:
        space = Workspace(order()).space(None)
        assert {decision.technique for decision in space.decisions} == {"precision"}  # nothing to fuse in it
        assert space.size == 5**4

    def test_a_section_names_the_techniques(self, order: Order) -> None:
        assert Workspace(order(space={})).space(None).size == 1
        assert Workspace(order(space={"graph": {}})).space(None).size == 1
        assert Workspace(order(space={"precision": {"choices": ["fp32", INT8]}})).space(None).size == 2**4

    def test_candidates_of_other_options_are_others(self, order: Order) -> None:
        fields: list[dict[str, Any]] = [
            {}, {"space": {"precision": {}}}, {"space": {"precision": {"calibration_samples": 8}}},
        ]  # fmt: skip
        contexts = [Workspace(order(**one)).space(None).context for one in fields]
        contexts.append(Workspace(order(find_device("local-cpu", 1, 2))).space(None).context)
        contexts.append(Workspace(order(replace(find_device("local-cpu"), processor="another"))).space(None).context)
        assert len(set(contexts)) == 5
        assert Workspace(order(seed=3)).space(None).context == contexts[0]


class TestBuild:
    def test_the_same_decisions_give_the_same_bytes(self, order: Order, tmp_path: Path) -> None:
        space = Workspace(order())
        decisions = all_int8(space)
        built = space.build(decisions, tmp_path / "out" / "one.onnx")
        space.build(all_int8(space, "int4_weight"), tmp_path / "out" / "other.onnx")
        again = space.build(decisions, tmp_path / "out" / "again.onnx")
        assert built.sha256 == again.sha256 == hashlib.sha256(built.path.read_bytes()).hexdigest()
        assert built.size_bytes == built.path.stat().st_size
        assert sorted(path.name for path in built.path.parent.iterdir()) == ["again.onnx", "one.onnx", "other.onnx"]
        process = Sandbox()
        try:
            elsewhere = process.call(
                sandboxed.build, order(), decisions, tmp_path / "elsewhere.onnx", stage="building", limit_s=300
            )
        finally:
            process.close()
        assert elsewhere.sha256 == built.sha256

    def test_a_large_model_is_let_go_between_builds(
        self, order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = order()
        space = sandboxed.workspace_of(asked)
        first = sandboxed.build(asked, all_int8(space), tmp_path / "first.onnx")
        assert "model" in vars(space)
        monkeypatch.setattr(workspace, "LARGE_MODEL_BYTES", 100)
        again = sandboxed.build(asked, all_int8(space), tmp_path / "again.onnx")
        assert not {"model", "techniques"} & vars(space).keys()
        assert sandboxed.build(asked, all_int8(space), tmp_path / "third.onnx").sha256 == again.sha256 == first.sha256

    def test_no_decisions_give_the_fp32_model(self, order: Order, tmp_path: Path) -> None:
        space = Workspace(order())
        built = space.build(all_int8(space, "fp32"), tmp_path / "same.onnx")
        assert built.path.read_bytes() == space.baseline_path.read_bytes()

    def test_calibration_data_decide(self, order: Order, tmp_path: Path) -> None:
        whole = Workspace(order())
        few = Workspace(order(space={"precision": {"calibration_samples": 1}}))
        one, other = (
            space.build(all_int8(space), tmp_path / f"{number}.onnx") for number, space in enumerate((whole, few))
        )
        assert one.sha256 != other.sha256

    def test_the_device_is_asked_about_the_model_s_own_file(self, order: Order) -> None:
        """A large baseline is not written anew for each question."""
        space, device = Workspace(order()), FakeDevice(lambda path: 2.0)
        model = WholeModel(space.techniques["precision"].subject, device)
        assert model.measure_gain(["anything"], lambda: space.model, "onnxruntime")["ratio"] == 2.0
        assert {request.baseline for request in device.requests} == {space.baseline_path}


class TestQuality:
    def test_the_fp32_model_equals_itself(self, order: Order) -> None:
        space = Workspace(order())
        space.model  # noqa: B018 - exported
        found = Scoring(space).quality(space.baseline_path, "validation")
        assert (found.metrics["cosine"], found.metrics["top1_agreement"]) == (1.0, 1.0)
        assert set(found.metrics) == {"cosine", "top1_agreement", "accuracy", "nll"} == set(found.intervals)

    def test_a_split_is_run_once(self, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
        """Though the task asks for the outputs of its samples too."""
        space = Workspace(order())
        runs: list[int] = []
        run_all = scoring.run_all

        def counted(session: Any, samples: Any, **options: Any) -> Any:
            runs.append(len(samples))
            return run_all(session, samples, **options)

        monkeypatch.setattr(scoring, "run_all", counted)
        Scoring(space).quality(space.baseline_path, "validation")
        assert len(runs) == 1

    @pytest.mark.parametrize("split", ["validation", "test"])
    def test_losses_are_of_the_same_figures(self, order: Order, tmp_path: Path, split: Any) -> None:
        space = Workspace(order())
        built = space.build(all_int8(space, "int4_weight"), tmp_path / "small.onnx")
        found = Scoring(space).quality(built.path, split)
        assert 0.5 < found.metrics["cosine"] < 1
        losses = Scoring(space).losses(built.path, split)
        assert {name: loss.value for name, loss in losses.items()} == found.metrics
        baseline = Scoring(space).quality(space.baseline_path, split).metrics
        assert {name: loss.baseline for name, loss in losses.items()} == baseline
        low, high = losses["cosine"].difference_ci95 or (0, 0)
        assert low <= found.metrics["cosine"] - 1 <= high < 0

    def test_a_finished_figure_has_an_interval_where_the_same_is_asked_each_time(
        self, order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a task's ``evaluate`` gives is in the receipt too, for both models."""

        def evaluate(self: OnnxTask, predict: Any, split: Any) -> dict[str, float]:
            return {"largest": float(max(values.max() for values in predict(self.inputs(split)).values()))}

        monkeypatch.setattr(OnnxTask, "evaluate", evaluate)
        space = Workspace(order())
        built = space.build(all_int8(space, "int4_weight"), tmp_path / "small.onnx")
        loss = Scoring(space).losses(built.path, "test")["largest"]
        assert loss.value == Scoring(space).quality(built.path, "test").metrics["largest"]
        assert loss.baseline == Scoring(space).quality(space.baseline_path, "test").metrics["largest"] != loss.value
        low, high = loss.difference_ci95 or (0, 0)
        assert low < loss.value - loss.baseline < high
        assert loss.ci95 is None

    def test_a_finished_figure_of_something_else_each_time_has_none(
        self, order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batches = iter(range(1, 100))

        def evaluate(self: OnnxTask, predict: Any, split: Any) -> dict[str, float]:
            rows = {name: values[: next(batches)] for name, values in self.inputs(split).items()}
            return {"largest": float(max(values.max() for values in predict(rows).values()))}

        monkeypatch.setattr(OnnxTask, "evaluate", evaluate)
        space = Workspace(order())
        built = space.build(all_int8(space, "int4_weight"), tmp_path / "small.onnx")
        assert Scoring(space).losses(built.path, "test")["largest"].difference_ci95 is None

    def test_the_batch_of_the_device_decides(self, order: Order, tmp_path: Path) -> None:
        """Dynamic quantisation takes its ranges from what is in one batch."""
        cosines = []
        for batch in (1, 20):
            space = Workspace(order(find_device("local-cpu", 1, batch)))
            built = space.build(all_int8(space, "int8_dynamic"), tmp_path / "dynamic.onnx")
            cosines.append(Scoring(space).quality(built.path, "validation").metrics["cosine"])
        assert cosines[0] != cosines[1]

    def test_outputs_of_the_fp32_model_are_kept(self, order: Order, home: Path) -> None:
        space = Workspace(order())
        built = space.build(all_int8(space), home / "int8.onnx")
        first = Scoring(space).quality(built.path, "validation")
        space.baseline_path.rename(home / "moved.onnx")
        assert Scoring(space).quality(built.path, "validation") == first
        assert [path.suffix for path in (home / "cache" / "references").iterdir()] == [".npz"]

    def test_each_runtime_and_hint_has_its_own_outputs_of_the_fp32_model(self, order: Order) -> None:
        space, profile = Workspace(order()), find_device("local-cpu")
        for number, runtime in enumerate(("onnxruntime", "openvino:f32", "openvino:bf16")):
            given = {"y": np.full(3, number)}
            found = Scoring(space)._reference("validation", replace(profile, runtime=runtime), given)
            assert found["y"].tolist() == given["y"].tolist()

    def test_outputs_that_are_no_numbers_are_a_failure(self, order: Order, tmp_path: Path) -> None:
        space = Workspace(order())
        space.model  # noqa: B018 - exported
        builder = Builder(17)
        x = builder.op("MatMul", builder.input("x", ["n", 16]), builder.weight(16, 10))
        builder.op("Sqrt", builder.op("Sub", x, builder.const(1e6)), out="logits")
        builder.output("logits", shape=["n", 10])
        onnx.save(builder.model(), tmp_path / "nan.onnx")
        with pytest.raises(BuildFailed, match="NaN or infinity"):
            Scoring(space).quality(tmp_path / "nan.onnx", "validation")

    def test_a_file_that_is_gone_is_a_failure(self, order: Order, tmp_path: Path) -> None:
        space = Workspace(order())
        space.model  # noqa: B018 - exported
        with pytest.raises(BuildFailed):
            Scoring(space).quality(tmp_path / "nowhere.onnx", "validation")


def test_layers_that_a_change_took_out_of_their_decision_are_shown(order: Order, tmp_path: Path) -> None:
    space = Workspace(order())
    group, *others = space.groups
    variant = Draft(space.model, (replace(group, precisions=(Precision.FP32,)), *others), "changed")
    space.__dict__["variants"] = SimpleNamespace(techniques={"any": None}, draft=lambda decisions: variant)
    (item,) = items_of(space.build(all_int8(space), tmp_path / "built.onnx").metrics)
    assert item == Fields("Layers that are not computed as decided", {group.name: "its layers now allow only fp32"})


class TestPrepare:
    def test_on_a_device(self, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
        device = FakeDevice(lambda path: 1.0 if path.parent.name == "models" else 3.0)
        monkeypatch.setattr(preparation, "open_device", lambda *_: device)
        found = sandboxed.prepare(order())
        assert found.space.size > 1
        assert found.metrics["speedup"] == {"ratio": 1.0, "ci95": [0.99, 1.01]}
        assert found.metrics["cosine"] == 1.0
        assert found.metrics["latency_ms"]["p50"] == 1.0
        assert found.metrics["size_bytes"] == found.facts.model_path.stat().st_size
        assert found.metrics["peak_memory_bytes"] > 0
        assert set(found.metrics["intervals"]) == {"cosine", "top1_agreement", "accuracy", "nll"}
        assert found.facts.shared_split is False
        assert [group.name for group in found.facts.groups]
        assert found.facts.device_answers
        held = found.facts.coverage
        assert held is not None
        assert (held["decided"], held["left_alone"], held["left_out"]) == (held["layers"], [], [])
        assert (("precision", "int8"),) in found.space.promising
        record = found.facts.baseline_measurements["dry-run"]
        assert (record["ratio"], record["verdict"], record["health"]["verdict"]) == (1.0, "stable", "healthy")
        assert found.facts.references["dry-run"].latency_ms == 1.0
        assert "baseline_ms" not in record
        assert json.loads(json.dumps(found.baseline, allow_nan=False))

    def test_a_percentile_that_there_is_no_time_for_is_refused_before_anything_else_is_asked(
        self, order: Order, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def never(*_: Any, **__: Any) -> Any:
            raise AssertionError("asked about the space")

        slow = FakeDevice(lambda path: 1.0, baseline_ms=150.0)
        monkeypatch.setattr(preparation, "open_device", lambda *_: slow)
        monkeypatch.setattr(Workspace, "space", never)
        with pytest.raises(InvalidInput, match="needs 662 inferences of each model, which at 150 ms") as caught:
            sandboxed.prepare(order(constraints=["latency_ms.p99 <= 5"]))
        assert "a lower percentile" in caught.value.hint

    def test_a_percentile_gets_its_inferences(self, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
        device = FakeDevice(lambda path: 1.0)
        monkeypatch.setattr(preparation, "open_device", lambda *_: device)
        sandboxed.prepare(order(constraints=["latency_ms.p90 <= 5"]))
        assert Protocol(samples=64) in [request.protocol for request in device.requests]

    def test_a_table_of_the_first_structure_unless_the_strategy_screens(
        self, order: Order, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []
        monkeypatch.setattr(preparation, "measure_layer_tables", lambda *_, most, **__: asked.append(most) or ())
        monkeypatch.setattr(
            preparation, "open_device", lambda profile, *_: FakeDevice(lambda path: 1.0, profile=profile)
        )
        devices = [{"name": "local-cpu"}, {"name": "local-cpu", "batch": 2}]
        for strategy in ({"name": "nsga2"}, {"name": "random", "options": {"screen": 4}}):
            job = parse_job(spec(devices=devices, strategy=strategy), folder=Path(order().folder))
            found = sandboxed.prepare(replace(order(), job=job, devices=profiles_of(job, NO_AGENTS)))
            assert list(found.facts.layer_tables) == list(job.labels)
        assert asked == [1, tables.MOST, tables.MOST]

    def test_a_table_that_cannot_be_made_stops_no_job(self, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
        failures: list[Exception] = [BuildFailed("no memory for it"), DeviceLost("gone")]

        def failing(*_: Any, **__: Any) -> Any:
            raise failures.pop(0)

        monkeypatch.setattr(preparation, "measure_layer_tables", failing)
        monkeypatch.setattr(preparation, "open_device", lambda *_: FakeDevice(lambda path: 1.0))
        facts = sandboxed.prepare(order()).facts
        (tables,), (reason,) = facts.layer_tables.values(), facts.no_layer_tables.values()
        assert (tables, reason) == ((), "no memory for it")
        with pytest.raises(DeviceLost):
            sandboxed.prepare(order())

    def test_every_process_builds_by_the_formats_that_were_chosen(
        self, order: Order, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        likes_int8 = FakeDevice(lambda path: 3.0 if "int8" in number_formats(path) else 1.5)
        monkeypatch.setattr(preparation, "open_device", lambda *_: likes_int8)
        found = sandboxed.prepare(order())
        assert found.facts.static_schemes["onnxruntime"].activation_type == "int8"
        for folder in ("gains", "layers"):
            shutil.rmtree(home / "cache" / folder)
        space = Workspace(
            order().with_preparation(JobFacts.from_dict(json.loads(json.dumps(found.facts.to_dict()))), found.space)
        )
        built = space.build(all_int8(space), tmp_path / "int8.onnx")
        assert number_formats(built.path) == {"int8"}
        unasked = Workspace(order())
        assert unasked.space(None).context != found.space.context

    def test_the_facts_alone_measure_no_baseline(self, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
        def speed(path: Path) -> float:
            if path.parent.name == "models":
                raise AssertionError("measured the baseline")
            return 2.0

        def never(*_: object, **__: object) -> None:
            raise AssertionError("evaluated")

        monkeypatch.setattr(preparation, "open_device", lambda *_: FakeDevice(speed))
        monkeypatch.setattr(preparation, "measure_layer_tables", never)
        monkeypatch.setattr(Scoring, "quality", never)
        facts = sandboxed.facts(order(objectives=[{"metric": "bit_operations", "direction": "min"}]))
        assert facts.model_path.exists()
        assert "onnxruntime" in facts.static_schemes

    def test_on_the_modelled_device(self, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
        def never(*_: object) -> None:
            raise AssertionError("evaluated")

        monkeypatch.setattr(Scoring, "quality", never)
        found = sandboxed.prepare(order(find_device("dry-run")))
        assert found.space.size == 5**4
        assert found.metrics["speedup"]["ratio"] == 1.0
        assert "device_answers" not in found.facts.to_dict()

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"objectives": [{"metric": "wit", "direction": "max"}]}, r"objectives\.0: the task has no metric 'wit'"),
            ({"constraints": ["wit >= 0.5"]}, r"constraints\.0: the task has no metric 'wit'"),
            ({"constraints": ["latency_ms.p95 <= 1"]}, "constraints: the task has no metric 'latency_ms.p95'"),
        ],
    )
    def test_metrics_that_nothing_gives_are_named(self, order: Order, fields: dict[str, Any], said: str) -> None:
        with pytest.raises(InvalidInput, match=said) as caught:
            sandboxed.prepare(order(find_device("dry-run"), **fields))
        assert caught.value.hint.startswith("known: ")
        assert "cosine" in caught.value.hint
