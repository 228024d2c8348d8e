"""The runtime as a decision: which of a device's runtimes stay, and what each of them makes of the other decisions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from number_formats import number_formats
from onnx_menagerie import ANIMALS
from small_jobs import classifier, samples

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.model import serialize
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement
from evaluators.testing.fake_device import FakeDevice
from hwprofiles import Profile, digest_of, find_device
from hwprofiles.errors import BuildFailed, CandidateError, DeviceUnavailable, InvalidInput, StageTimeout, UnsupportedOp
from search.devices.link import DeviceLost
from search.gains.runtimes import possible_runtimes
from search.options import validate_options
from search.space.candidate import Decision, Replacement, Space
from search.techniques import Draft, GraphTechnique, Offer, PrecisionTechnique, Subject
from search.techniques.runtime import RuntimeTechnique

ORT, F32, BF16, F16 = "onnxruntime", "openvino:f32", "openvino:bf16", "openvino:f16"
ON_THE_PROCESSOR = (ORT, F32, BF16, F16)


def profile(**changes: Any) -> Profile:
    two = {"runtimes": (("onnxruntime", "1.31"), ("openvino", "2026.4"))}
    return replace(find_device("local-cpu"), **(two | changes))


class SeveralRuntimes(FakeDevice):
    """Answers by runtime and number format: ``speeds[runtime][format]``, "" being fp32; may hold failures."""

    def __init__(self, speeds: dict[str, dict[str, Any]], own: Profile | None = None) -> None:
        super().__init__(self._answer, profile=own or profile())
        self._speeds = speeds
        self._runtime = ORT
        self.questions: list[tuple[str, str]] = []

    def measure(self, request: LatencyRequest) -> Measurement:
        self._runtime = request.runtime or ORT
        return super().measure(request)

    def _answer(self, path: Path) -> float:
        kind = number_format(path)
        self.questions.append((self._runtime, kind))
        known = self._speeds.get(self._runtime, {})
        answer = known.get(kind, known.get("other", 0.5))
        if isinstance(answer, Exception):
            raise answer
        return float(answer)


def number_format(path: Path) -> str:
    """As :func:`number_formats`, with ``symmetric`` for a zero in the middle, and "" for fp32."""
    model = onnx.load(path)
    if any(node.op_type in ("Attention", "Sum") for node in model.graph.node) and not number_formats(path):
        return "fused"
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    zeros = {int(values[node.input[2]]) for node in model.graph.node if node.op_type == "QuantizeLinear"}
    (kind,) = number_formats(path) or ("",)
    return f"{kind} symmetric" if kind == "int8" and zeros == {0} else kind


QUICK_EVERYWHERE = {"": 1.0, "uint8": 3.0, "int8": 2.0, "dynamic": 2.0, "8 bits": 0.5, "4 bits": 0.5}
"""What ONNX Runtime gains here."""

BF16_LIKES = {"": 4.0, "uint8": 4.5, "int8 symmetric": 5.0, "dynamic": 0.9, "8 bits": 4.2, "4 bits": 4.2}

USUAL = {
    ORT: QUICK_EVERYWHERE,
    F32: {"": 1.2, "int8 symmetric": 4.5},
    BF16: BF16_LIKES,
    F16: {"": 0.7, "int8 symmetric": 3.0},
}


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    rows = samples(32)["x"]
    feeds = [{"x": rows[start : start + 8]} for start in range(0, 32, 8)]
    return subject_of(classifier(2), feeds, tmp_path)


def subject_of(model: onnx.ModelProto, feeds: list[dict[str, Any]], cache: Path) -> Subject:
    clean = clean_graph(model)
    return Subject(
        model=clean,
        groups=layer_groups(clean, {name: list(values.shape) for name, values in feeds[0].items()}),
        digest=digest_of(["a model", clean.SerializeToString(deterministic=True).hex()]),
        sample=feeds[0],
        calibration_batches=lambda count: feeds,
        cache=cache,
        profile=profile(),
        wanted=frozenset(),
        runtimes=(),
    )


def offer_runtimes(subject: Subject, device: FakeDevice, choices: Iterable[str] = ()) -> Offer:
    options = validate_options(RuntimeTechnique.Options, {"choices": list(choices)}, "space.runtime")
    return RuntimeTechnique(subject, options).offer(device, Offer())


def ask_runtimes(subject: Subject, device: FakeDevice, choices: Iterable[str] = ()) -> tuple[Decision, ...]:
    return offer_runtimes(subject, device, choices).decisions


class TestPossible:
    def test_every_hint_of_every_runtime_the_first_one_first(self) -> None:
        assert possible_runtimes(profile()) == ON_THE_PROCESSOR

    def test_a_device_with_one_runtime(self) -> None:
        assert possible_runtimes(profile(runtimes=(("onnxruntime", "1.31"),))) == (ORT,)
        assert possible_runtimes(profile(runtimes=())) == (ORT,)

    def test_a_runtime_that_we_do_not_know_is_passed_over(self) -> None:
        assert possible_runtimes(profile(runtimes=(("onnxruntime", "1"), ("strange", "2")))) == (ORT,)

    def test_choices_narrow(self) -> None:
        assert possible_runtimes(profile(), (ORT, BF16)) == (ORT, BF16)
        assert possible_runtimes(profile(), (BF16,)) == (BF16,)

    def test_no_hint_is_the_first_hint(self) -> None:
        assert possible_runtimes(profile(), (ORT, "openvino")) == (ORT, F32)

    def test_another_processor_only_where_it_is_named(self) -> None:
        assert not any("gpu" in spec for spec in possible_runtimes(profile()))
        assert possible_runtimes(profile(), (ORT, "openvino:gpu-f16")) == (ORT, "openvino:gpu-f16")

    def test_what_the_device_lacks_leaves_its_first(self) -> None:
        alone = profile(runtimes=(("onnxruntime", "1.31"),))
        assert possible_runtimes(alone, (BF16,)) == (ORT,)


class TestDecision:
    def test_what_is_no_slower_stays(self, subject: Subject) -> None:
        (decision,) = ask_runtimes(subject, SeveralRuntimes(USUAL))
        assert (decision.name, decision.choices, decision.technique) == ("runtime", (ORT, F32, BF16), "runtime")

    def test_a_slow_runtime_whose_int8_is_the_fastest_stays(self, subject: Subject) -> None:
        speeds = USUAL | {F16: {"": 0.7, "int8 symmetric": 9.0}}
        (decision,) = ask_runtimes(subject, SeveralRuntimes(speeds))
        assert decision.choices == (ORT, F32, BF16, F16)

    def test_a_slow_family_stays_where_its_int8_beats_fp32(self, subject: Subject) -> None:
        slow = {"": 0.5, "uint8": 1.5, "int8 symmetric": 0.5}
        (decision,) = ask_runtimes(subject, SeveralRuntimes({F32: slow, BF16: slow, F16: {"": 0.4}}))
        assert decision.choices == (ORT, F32, BF16)

    @pytest.mark.parametrize(
        "failure", [UnsupportedOp("no kernel"), StageTimeout("took too long"), DeviceUnavailable("no library")]
    )
    def test_what_does_not_run_is_left_out_with_its_reason(self, subject: Subject, failure: Exception) -> None:
        device = SeveralRuntimes(USUAL | {BF16: {"": failure}, F32: {"": failure}, F16: {"": failure}})
        technique = RuntimeTechnique(subject, RuntimeTechnique.Options())
        offer = technique.offer(device, Offer())
        assert offer.decisions == ()
        assert {answer["runtime"] for answer in offer.answers} == {F32, BF16, F16}
        assert all(str(failure) in answer["reason"] for answer in offer.answers)

    def test_nobody_is_asked_about_one_runtime(self, subject: Subject) -> None:
        device = SeveralRuntimes(USUAL, profile(runtimes=(("onnxruntime", "1.31"),)))
        assert ask_runtimes(subject, device) == ()
        assert device.questions == []

    def test_a_modelled_device_decides_nothing(self, subject: Subject) -> None:
        assert RuntimeTechnique(subject, RuntimeTechnique.Options()).offer(None, Offer()) == Offer()

    def test_answers_are_remembered(self, subject: Subject) -> None:
        first = ask_runtimes(subject, SeveralRuntimes(USUAL))
        again = SeveralRuntimes({})
        assert ask_runtimes(subject, again) == first
        assert again.questions == []

    def test_answers_of_a_busy_machine_hold_for_this_job_alone(
        self, subject: Subject, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []

        def busy(device: FakeDevice, request: LatencyRequest) -> Any:
            asked.append(str(request.runtime))
            return {"ratio": 2.0, "ci95": [1.9, 2.1], "ms": 1.0, "baseline_ms": 2.0, "transient": True}

        monkeypatch.setattr("search.gains.whole_model.measure_gain", busy)
        for _ in range(2):
            (decision,) = ask_runtimes(subject, SeveralRuntimes(USUAL))
        assert decision.choices == ON_THE_PROCESSOR
        assert asked == [F32, BF16, F16]
        ask_runtimes(replace(subject, transient={}), SeveralRuntimes(USUAL))
        assert asked == [F32, BF16, F16] * 2

    def test_each_device_is_asked_with_its_own_batch(self, subject: Subject) -> None:
        class Recording(SeveralRuntimes):
            def measure(self, request: LatencyRequest) -> Measurement:
                batches.append(len(request.sample["x"]))
                return super().measure(request)

        batches: list[int] = []
        wider = replace(subject, samples=lambda profile: {"x": samples(profile.batch)["x"]})
        ask_runtimes(wider, Recording(USUAL, profile(batch=4)))
        assert set(batches) == {4}

    def test_answers_are_named_by_the_sample(self, subject: Subject) -> None:
        ask_runtimes(subject, SeveralRuntimes(USUAL))
        again = SeveralRuntimes(USUAL)
        ask_runtimes(replace(subject, sample={"x": subject.sample["x"][:2]}), again)
        assert again.questions

    def test_a_device_that_is_lost_is_no_answer(self, subject: Subject) -> None:
        with pytest.raises(DeviceLost):
            ask_runtimes(subject, SeveralRuntimes({spec: {"": DeviceLost("gone")} for spec in (F32, BF16, F16)}))

    def test_without_the_first_runtime(self, subject: Subject) -> None:
        (decision,) = ask_runtimes(subject, SeveralRuntimes(USUAL), [BF16])
        assert decision.choices == (BF16,)

    def test_an_unknown_runtime_is_refused(self) -> None:
        for choice, message in (("onixruntime", "unknown runtime 'onixruntime'"), ("openvino:f8", "no hint 'f8'")):
            with pytest.raises(InvalidInput, match=message):
                validate_options(RuntimeTechnique.Options, {"choices": [choice]}, "space.runtime")

    def test_it_changes_no_graph(self, subject: Subject) -> None:
        draft = Draft(subject.model, subject.groups)
        assert RuntimeTechnique(subject, RuntimeTechnique.Options()).apply(draft, {"runtime": BF16}) is draft


class TestPrecisions:
    """Runtimes share a layer's decision, but not what it is built as."""

    def ask(self, subject: Subject, device: FakeDevice, **options: Any) -> tuple[PrecisionTechnique, Offer]:
        earlier = offer_runtimes(subject, device)
        technique = PrecisionTechnique(subject, validate_options(PrecisionTechnique.Options, options, "space"))
        return technique, technique.offer(device, earlier)

    def test_a_value_is_there_where_one_runtime_gains_by_it(self, subject: Subject) -> None:
        _, offer = self.ask(subject, SeveralRuntimes(USUAL))
        every = ("fp32", "int8", "int8_dynamic", "int8_weight", "int4_weight")
        assert {decision.choices for decision in offer.decisions} == {every}

    def test_elsewhere_the_nearest_that_pays_stands_in(self, subject: Subject) -> None:
        _, offer = self.ask(subject, SeveralRuntimes(USUAL))
        assert set(offer.replacements) == {
            Replacement(ORT, "precision", "int8_weight", "fp32"),
            Replacement(ORT, "precision", "int4_weight", "fp32"),
            Replacement(F32, "precision", "int8_dynamic", "int8"),
            Replacement(BF16, "precision", "int8_dynamic", "int8"),
        }

    def test_one_family_is_asked_once_in_its_fastest_member(self, subject: Subject) -> None:
        device = SeveralRuntimes(USUAL)
        self.ask(subject, device)
        assert {runtime for runtime, kind in device.questions if kind == "dynamic"} == {ORT, BF16}
        assert {runtime for runtime, kind in device.questions if kind == "uint8"} == {ORT, BF16}

    def test_each_runtime_gets_its_own_number_format(self, subject: Subject, tmp_path: Path) -> None:
        technique, offer = self.ask(subject, SeveralRuntimes(USUAL))
        for runtime, wanted in ((ORT, "uint8"), (None, "uint8"), (F32, "int8 symmetric"), (BF16, "int8 symmetric")):
            assert self.built(technique, offer, tmp_path, runtime) == wanted

    def test_a_runtime_may_want_what_the_first_one_wants(self, subject: Subject, tmp_path: Path) -> None:
        technique, offer = self.ask(subject, SeveralRuntimes(USUAL | {BF16: BF16_LIKES | {"uint8": 9.0}}))
        assert self.built(technique, offer, tmp_path, BF16) == "uint8"

    def test_a_format_that_is_refused_is_tried_with_biases_in_float(self, subject: Subject, tmp_path: Path) -> None:
        def integer_biases(path: Path) -> bool:
            model = onnx.load(path)
            return any(tensor.data_type == onnx.TensorProto.INT32 for tensor in model.graph.initializer)

        class NoIntegerBias(SeveralRuntimes):
            def _answer(self, path: Path) -> float:
                if self._runtime == BF16 and number_format(path).startswith(("int8", "uint8")) and integer_biases(path):
                    raise UnsupportedOp("no integer biases here")
                return super()._answer(path)

        technique, offer = self.ask(subject, NoIntegerBias(USUAL))
        values = {f"precision:{group.name}": "int8" for group in subject.groups} | {"runtime": BF16}
        draft = Draft(subject.model, subject.groups, static_schemes=offer.static_schemes)
        onnx.save(technique.apply(draft, values).model, tmp_path / "built.onnx")
        assert number_format(tmp_path / "built.onnx") == "int8 symmetric"
        assert not integer_biases(tmp_path / "built.onnx")

    def test_the_first_runtime_s_files_are_what_they_are_without_others(self, subject: Subject, tmp_path: Path) -> None:
        with_others, offer = self.ask(subject, SeveralRuntimes(USUAL))
        alone = replace(subject, cache=tmp_path / "alone", runtimes=None)
        without = PrecisionTechnique(alone, with_others.options)
        schemes = without.offer(SeveralRuntimes(USUAL), Offer()).static_schemes
        draft = Draft(subject.model, subject.groups, static_schemes=offer.static_schemes)
        for precision in ("int8", "int8_dynamic"):
            values = {f"precision:{group.name}": precision for group in subject.groups}
            there = with_others.apply(draft, values | {"runtime": ORT}).model
            assert serialize(there) == serialize(without.apply(replace(draft, static_schemes=schemes), values).model)

    def test_without_a_runtime_decision_nobody_else_is_asked(self, subject: Subject) -> None:
        device = SeveralRuntimes(USUAL)
        technique = PrecisionTechnique(replace(subject, runtimes=None), PrecisionTechnique.Options())
        offer = technique.offer(device, offer_runtimes(subject, SeveralRuntimes(USUAL)))
        assert {runtime for runtime, _ in device.questions} == {ORT}
        assert {decision.choices for decision in offer.decisions} == {("fp32", "int8", "int8_dynamic")}
        assert offer.replacements == ()

    def test_where_size_is_wanted_all_that_runs_stays(self, subject: Subject) -> None:
        small = replace(subject, wanted=frozenset({"size_bytes"}))
        _, offer = self.ask(small, SeveralRuntimes(USUAL | {BF16: BF16_LIKES | {"dynamic": UnsupportedOp("no")}}))
        assert {(one.runtime, one.value) for one in offer.replacements} == {
            (F32, "int8_dynamic"), (BF16, "int8_dynamic")
        }  # fmt: skip

    def test_where_int8_is_no_choice_nothing_is_missed(self, subject: Subject) -> None:
        technique, offer = self.ask(subject, SeveralRuntimes(USUAL), choices=["fp32", "int8_weight"])
        schemes = offer.static_schemes
        assert technique.scheme_of(BF16, schemes) == technique.scheme_of(ORT, schemes)

    def test_formats_belong_to_the_job_and_not_to_a_cache(self, subject: Subject, tmp_path: Path) -> None:
        technique, offer = self.ask(subject, SeveralRuntimes(USUAL))
        elsewhere = PrecisionTechnique(replace(subject, cache=tmp_path / "empty"), technique.options)
        assert self.built(elsewhere, offer, tmp_path, BF16) == "int8 symmetric"

    def test_a_format_that_nobody_was_asked_for_is_no_other_file(self, subject: Subject, tmp_path: Path) -> None:
        technique, _ = self.ask(subject, SeveralRuntimes(USUAL))
        with pytest.raises(BuildFailed, match="has no number format for runtime 'openvino:bf16'"):
            self.built(technique, Offer(), tmp_path, BF16)

    def built(self, technique: PrecisionTechnique, offer: Offer, folder: Path, runtime: str | None) -> str:
        subject = technique.subject
        values = {f"precision:{group.name}": "int8" for group in subject.groups}
        if runtime is not None:
            values["runtime"] = runtime
        draft = Draft(subject.model, subject.groups, static_schemes=offer.static_schemes)
        model = technique.apply(draft, values).model
        onnx.save(model, folder / "built.onnx")
        return number_format(folder / "built.onnx")


class TestGraphs:
    @pytest.mark.parametrize(
        ("fused", "stays"), [(9.0, True), (4.0, False), (2.0, False), (CandidateError("Attention is unknown"), False)]
    )
    def test_a_runtime_keeps_the_fused_graph_only_if_it_is_faster_by_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fused: Any, stays: bool
    ) -> None:
        animal = ANIMALS["encoder"]
        subject = subject_of(animal.build(), animal.feeds(2), tmp_path)
        monkeypatch.setattr("search.techniques.fusion.fuse_transformer", lambda model, sample: renamed(model))
        device = SeveralRuntimes(USUAL | {BF16: BF16_LIKES | {"fused": fused}})
        technique = GraphTechnique(subject, GraphTechnique.Options())
        offer = technique.offer(device, offer_runtimes(subject, device))
        assert [decision.choices for decision in offer.decisions] == [("plain", "fused")]
        away = tuple(Replacement(spec, "graph", "fused", "plain") for spec in (F32, BF16))
        assert offer.replacements == (() if stays else away)


def renamed(model: onnx.ModelProto) -> onnx.ModelProto:
    """As a fused graph, for who only looks: an Add is a Sum."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    next(node for node in copy.graph.node if node.op_type == "Add").op_type = "Sum"
    return copy


def test_seeds_hold_each_different_assignment_once(subject: Subject) -> None:
    device = SeveralRuntimes(USUAL)
    earlier = offer_runtimes(subject, device)
    offer = earlier.merge(PrecisionTechnique(subject, PrecisionTechnique.Options()).offer(device, earlier))
    _, *decisions = offer.decisions
    seeds = Space(offer.decisions, "", offer.replacements).uniform()
    shown = [
        (seed.decisions["runtime"], max(seed.decisions[decision.name] for decision in decisions)) for seed in seeds
    ]
    assert shown == [
        (ORT, "fp32"), (ORT, "int8"), (ORT, "int8_dynamic"),
        (F32, "fp32"), (F32, "int8"), (F32, "int8_weight"), (F32, "int4_weight"),
        (BF16, "fp32"), (BF16, "int8"), (BF16, "int8_weight"), (BF16, "int4_weight"),
    ]  # fmt: skip
