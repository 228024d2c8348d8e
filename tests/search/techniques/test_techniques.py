"""What every technique promises, and what the devices' answers make of a space."""

from __future__ import annotations

import functools
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from number_formats import number_formats
from onnx_menagerie import ANIMALS
from small_jobs import classifier, samples

from evaluators.devices.device import Device
from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.fusion import fuse_transformer
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.model import serialize
from evaluators.graphs.reference_run import run_once
from evaluators.graphs.run_shapes import shapes_in_run
from evaluators.health import Health
from evaluators.probing.capability import Capability, Sweep, SweepPoint
from evaluators.testing.fake_device import FakeDevice, Speed
from hwprofiles import Precision, Profile, find_device
from hwprofiles.errors import ProcessCrashed, UnhealthyMeasurement, UnsupportedOp
from search.gains import layers as layer_gains
from search.options import validate_options
from search.space.candidate import Decision
from search.techniques import Draft, GraphTechnique, Offer, PrecisionTechnique, Subject, Technique
from search.techniques.precision import NEVER_PAYS
from search.testing.techniques import TechniqueConformance, create_subject

Feed = dict[str, np.ndarray]


def dense_feeds() -> list[Feed]:
    rows = samples(32)["x"]
    return [{"x": rows[start : start + 8]} for start in range(0, 32, 8)]


@functools.cache
def fused_encoder() -> onnx.ModelProto | None:
    animal = ANIMALS["encoder"]
    return fuse_transformer(clean_graph(animal.build()), animal.feeds(1)[0])


class TestGraph(TechniqueConformance):
    kind = GraphTechnique

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        animal = ANIMALS["encoder"]
        return create_subject(animal.build(), animal.feeds(2), tmp_path)

    @pytest.fixture(autouse=True)
    def _fusing_once(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        """The graph tools take a second each time: they run once, but where equal bytes are the question."""
        if request.node.originalname != "test_the_same_values_give_the_same_bytes":
            monkeypatch.setattr("search.techniques.fusion.fuse_transformer", lambda model, sample: fused_encoder())

    def test_there_is_one_decision(self, new: Callable[..., Technique]) -> None:
        (decision,) = self.decisions(new())
        assert (decision.name, decision.choices) == ("graph", ("plain", "fused"))

    def test_fused_computes_the_same(self, new: Callable[..., Technique], subject: Subject) -> None:
        fused = new().apply(Draft(subject.model, subject.groups), {"graph": "fused"})
        assert serialize(fused.model) != serialize(subject.model)
        assert {group.name for group in fused.groups} <= {group.name for group in subject.groups}
        expected, found = run_once(subject.model, subject.sample), run_once(fused.model, subject.sample)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-3)

    def test_one_choice_is_no_decision(self, new: Callable[..., Technique]) -> None:
        assert self.decisions(new(choices=["plain"])) == ()

    def test_where_nothing_can_be_fused_there_is_nothing_to_decide(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.undo()
        technique = GraphTechnique(create_subject(classifier(), dense_feeds(), tmp_path), GraphTechnique.Options())
        assert self.decisions(technique) == ()
        draft = Draft(technique.subject.model, technique.subject.groups)
        assert technique.apply(draft, {"graph": "fused"}) is draft


class TestPrecision(TechniqueConformance):
    kind = PrecisionTechnique

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        return create_subject(classifier(2), dense_feeds(), tmp_path)

    def test_without_a_device_every_precision_is_offered(self, new: Callable[..., Technique]) -> None:
        decisions = self.decisions(new())
        assert len(decisions) == 3
        assert all(decision.choices == tuple(Precision) for decision in decisions)
        assert all(decision.name.startswith("precision:") for decision in decisions)

    def test_choices_narrow_the_space(self, new: Callable[..., Technique]) -> None:
        decisions = self.decisions(new(choices=["fp32", "int8"]))
        assert {decision.choices for decision in decisions} == {("fp32", "int8")}
        assert self.decisions(new(choices=["fp32"])) == ()

    def test_several_calibrations_are_a_decision(self, new: Callable[..., Technique], subject: Subject) -> None:
        feeds = [{"x": np.tile(feed["x"], (16, 1))} for feed in dense_feeds()]
        feeds[0]["x"][0, 0] = 300.0  # so far out that a method may well leave it out
        outlier = replace(subject, calibration_batches=lambda count: feeds)
        options = {"calibration": ["minmax", "entropy"], "choices": ["fp32", "int8"]}
        technique = PrecisionTechnique(outlier, validate_options(PrecisionTechnique.Options, options, "space"))
        *layers, calibration = self.decisions(technique)
        assert (calibration.name, calibration.choices) == ("calibration", ("minmax", "entropy"))
        draft = Draft(subject.model, subject.groups)
        values = {decision.name: "int8" for decision in layers}
        minmax, entropy = (technique.apply(draft, values | {"calibration": m}) for m in calibration.choices)
        assert serialize(minmax.model) != serialize(entropy.model)
        assert len(self.decisions(new(calibration="percentile"))) == 3

    def test_a_calibration_is_kept_for_other_jobs(self, new: Callable[..., Technique], subject: Subject) -> None:
        draft = Draft(subject.model, subject.groups)
        values = {decision.name: "int8" for decision in self.decisions(new())}
        first = new().apply(draft, values)

        def never(count: int) -> list[Feed]:
            raise AssertionError("calibrated again")

        again = self.kind(replace(subject, calibration_batches=never), self.kind.Options())
        assert serialize(again.apply(draft, values).model) == serialize(first.model)


def speeds(**by_format: float | Exception) -> Speed:
    """The speed-up, or the failure, of a layer in each number format."""

    def speed(path: Path) -> float:
        (kind,) = number_formats(path)
        answer = by_format[kind.replace(" ", "_").replace("4", "four").replace("8_", "eight_")]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return speed


def probed_matmul(profile: Profile, slow: Precision) -> Capability:
    """A device that never gains by a precision of matrix products."""
    points = tuple(SweepPoint(width, 0.5, (0.4, 0.6), 2.0) for width in (64, 128))
    sweeps = tuple(Sweep(name, slow, "", points, None, (), None) for name in ("matmul", "gemm"))
    return Capability(profile.digest, "onnxruntime", "1", True, 0.2, sweeps)


ALL_FASTER = {"uint8": 3.0, "int8": 2.0, "dynamic": 2.0, "eight_bits": 1.5, "four_bits": 1.2}


class TestDeviceAnswers:
    """A space holds what pays on the device."""

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        return create_subject(classifier(2), dense_feeds(), tmp_path)

    def ask(
        self, subject: Subject, answers: dict[str, Any], **options: Any
    ) -> tuple[Offer, tuple[str, ...], FakeDevice]:
        technique = PrecisionTechnique(subject, validate_options(PrecisionTechnique.Options, options, "space"))
        device = FakeDevice(speeds(**ALL_FASTER | answers))
        offer = technique.offer(device, Offer())
        choices = {decision.choices for decision in offer.decisions}
        assert len(choices) <= 1
        return offer, next(iter(choices), ()), device

    def test_what_is_faster_stays(self, subject: Subject) -> None:
        assert self.ask(subject, {})[1] == tuple(Precision)

    def test_what_is_slower_is_dropped(self, subject: Subject) -> None:
        assert self.ask(subject, {"four_bits": 0.8})[1] == ("fp32", "int8", "int8_dynamic", "int8_weight")

    def test_what_may_be_no_slower_stays(self, subject: Subject) -> None:
        """The interval of 0.995 ± 1 % holds 1."""
        assert "int4_weight" in self.ask(subject, {"four_bits": 0.995})[1]

    @pytest.mark.parametrize("wanted", ["size_bytes", "peak_memory_bytes"])
    def test_what_is_slower_stays_where_size_is_wanted(self, subject: Subject, wanted: str) -> None:
        smaller = replace(subject, wanted=frozenset({wanted}))
        assert "int4_weight" in self.ask(smaller, {"four_bits": 0.5})[1]

    @pytest.mark.parametrize("failure", [UnsupportedOp("no kernel"), ProcessCrashed("died 3 times")])
    def test_what_does_not_run_is_dropped(self, subject: Subject, failure: Exception) -> None:
        offer, choices, _ = self.ask(subject, {"eight_bits": failure})
        assert choices == ("fp32", "int8", "int8_dynamic", "int4_weight")
        reasons = [answer["reason"] for answer in offer.answers if answer["precision"] == "int8_weight"]
        assert reasons
        assert all(str(failure) in reason for reason in reasons)

    def test_what_does_not_run_is_dropped_even_where_size_is_wanted(self, subject: Subject) -> None:
        smaller = replace(subject, wanted=frozenset({"size_bytes"}))
        assert "int8_weight" not in self.ask(smaller, {"eight_bits": UnsupportedOp("no kernel")})[1]

    def test_failures_of_the_moment_are_asked_about_again(self, subject: Subject) -> None:
        """They are no answer: what they were asked about stays, until there is one."""
        noisy = UnhealthyMeasurement("the interval is still wide")
        small = replace(subject, wanted=frozenset({"size_bytes"}))
        slow = {"eight_bits": 0.5}
        assert "int8_weight" in self.ask(subject, {"eight_bits": noisy})[1]
        assert "int8_weight" in self.ask(small, {"eight_bits": noisy})[1]
        assert "int8_weight" in self.ask(subject, slow)[1]  # for this process they do
        assert "int8_weight" not in self.ask(replace(subject, transient={}), slow)[1]

    def test_what_the_whole_model_gains_by_stays(self, subject: Subject) -> None:
        """Each layer alone pays for entering and leaving integers; all of them together pay once."""

        def speed(path: Path) -> float:
            whole = len(onnx.load(path.parent / "baseline.onnx").graph.node) > 2
            return 2.25 if whole and number_formats(path) == {"uint8"} else 0.6

        technique = PrecisionTechnique(subject, PrecisionTechnique.Options())
        offer = technique.offer(FakeDevice(speed), Offer())
        assert {one.choices for one in offer.decisions} == {("fp32", "int8")}
        (last,) = [one for one in offer.answers if one.get("ratio") == 2.25]
        assert (last["layer"], last["precision"]) == ("all", "int8")

    @pytest.mark.parametrize(("whole", "stays"), [(2.0, True), (0.5, False), (UnhealthyMeasurement("noisy"), True)])
    def test_silence_leaves_nothing_out(
        self, subject: Subject, monkeypatch: pytest.MonkeyPatch, whole: float | Exception, stays: bool
    ) -> None:
        """Where no layer can be cut out of the model, the whole model is asked; where it does not answer, all stays."""
        monkeypatch.setattr(layer_gains, "extract_layer", lambda *of: None)
        monkeypatch.setattr(layer_gains, "layer_key", lambda *of: "")
        _, choices, device = self.ask(subject, dict.fromkeys(ALL_FASTER, whole))
        assert choices == (tuple(Precision) if stays else ())
        assert device.asked

    def test_a_precision_is_asked_about_until_a_layer_pays(self, subject: Subject) -> None:
        offer, _, _ = self.ask(subject, {"four_bits": 0.5})
        asked = Counter(str(answer["precision"]) for answer in offer.answers if answer["layer"] != "all")
        shapes = asked.pop("int4_weight")
        assert shapes > 1
        assert asked == dict.fromkeys(("int8", "int8_dynamic", "int8_weight"), 1)

    def test_another_job_s_answers_change_no_file(self, subject: Subject, tmp_path: Path) -> None:
        """Its machine was busy, and it likes other activations; one cache serves both."""
        offer, _, _ = self.ask(subject, {"uint8": 2.0, "int8": 3.0})
        other = replace(subject, digest="asked anew", transient={})
        shutil.rmtree(subject.cache / "gains")
        self.ask(replace(other, digest=subject.digest), {"uint8": 3.0, "int8": 2.0})
        self.check_activations(offer, subject, tmp_path, "int8")

    def test_a_busy_answer_about_activations_holds_for_one_job(
        self, subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        measure = FakeDevice.measure
        with monkeypatch.context() as patched:
            patched.setattr(
                FakeDevice, "measure", lambda *a, **o: replace(measure(*a, **o), health=Health("contended"))
            )
            offer, _, _ = self.ask(subject, {"uint8": 2.0, "int8": 3.0})
        self.check_activations(offer, subject, tmp_path, "int8")
        next_job = replace(subject, transient={})
        offer, _, _ = self.ask(next_job, {"uint8": 3.0, "int8": 2.0})
        self.check_activations(offer, next_job, tmp_path, "uint8")

    def test_nothing_that_pays_leaves_nothing_to_decide(self, subject: Subject) -> None:
        slower = dict.fromkeys(ALL_FASTER, 0.5)
        assert self.ask(subject, slower)[1] == ()

    def test_a_layer_that_pays_keeps_the_precision_for_all(self, subject: Subject) -> None:
        def asked(folder: str, pays: Callable[[int], bool]) -> tuple[tuple[Decision, ...], list[int]]:
            """The decisions, and the sizes of the layers asked about, where some sizes pay."""
            sizes: list[int] = []

            def speed(path: Path) -> float:
                sizes.append((path.parent / "baseline.onnx").stat().st_size)
                return 2.0 if pays(sizes[-1]) else 0.5

            own = replace(subject, cache=subject.cache / folder)
            technique = PrecisionTechnique(own, PrecisionTechnique.Options())
            return technique.offer(FakeDevice(speed), Offer()).decisions, sizes

        nothing, sizes = asked("nothing", lambda size: False)
        assert nothing == ()
        smallest = min(sizes)
        assert smallest < sorted(set(sizes))[-2]  # the whole model is larger, and asked about too
        decisions, _ = asked("smallest", lambda size: size == smallest)
        assert {decision.choices for decision in decisions} == {tuple(Precision)}

    @pytest.mark.parametrize(("uint8", "int8", "liked"), [(3.0, 2.0, "uint8"), (0.7, 2.5, "int8"), (0.6, 0.7, "int8")])
    def test_the_device_chooses_the_activations(
        self, subject: Subject, tmp_path: Path, uint8: float, int8: float, liked: str
    ) -> None:
        offer, choices, _ = self.ask(subject, {"uint8": uint8, "int8": int8})
        assert ("int8" in choices) == (max(uint8, int8) > 1)
        self.check_activations(offer, subject, tmp_path, liked)

    def test_activations_that_do_not_run_are_not_chosen(self, subject: Subject, tmp_path: Path) -> None:
        offer, choices, _ = self.ask(subject, {"uint8": UnsupportedOp("no kernel"), "int8": 1.1})
        assert "int8" in choices
        self.check_activations(offer, subject, tmp_path, "int8")

    def test_activations_that_are_given_are_not_asked_about(self, subject: Subject, tmp_path: Path) -> None:
        offer, _, device = self.ask(subject, {"uint8": 9.0, "int8": 2.0}, activations="int8", choices=["fp32", "int8"])
        assert {answer["activations"] for answer in offer.answers} == {"int8"}
        assert len(device.asked) == len(offer.answers)
        self.check_activations(offer, subject, tmp_path, "int8")

    def test_answers_are_remembered_for_the_device(self, subject: Subject) -> None:
        asked = self.ask(subject, {})[2].asked
        assert asked
        offer, choices, device = self.ask(subject, dict.fromkeys(ALL_FASTER, 0.1))
        assert device.asked == []
        assert choices == tuple(Precision)
        assert len(offer.answers) == len(asked)
        elsewhere = replace(find_device("local-cpu"), processor="another")
        another = FakeDevice(speeds(**dict.fromkeys(ALL_FASTER, 0.1)), profile=elsewhere)
        assert PrecisionTechnique(subject, PrecisionTechnique.Options()).offer(another, Offer()).decisions == ()

    def test_what_never_pays_on_a_probed_device_is_not_asked_about(self, subject: Subject) -> None:
        profile = find_device("local-cpu")
        known = {profile.digest: probed_matmul(profile, Precision.INT4_WEIGHT)}
        offer, choices, device = self.ask(replace(subject, capabilities=known), {})
        assert choices == ("fp32", "int8", "int8_dynamic", "int8_weight")
        everything = self.ask(replace(subject, cache=subject.cache / "again"), {})[2]
        assert len(device.asked) < len(everything.asked)
        (answer,) = [answer for answer in offer.answers if answer["precision"] == "int4_weight"]
        assert answer["reason"] == NEVER_PAYS

    def test_what_never_pays_is_asked_about_where_size_is_wanted(self, subject: Subject) -> None:
        profile = find_device("local-cpu")
        known = {profile.digest: probed_matmul(profile, Precision.INT4_WEIGHT)}
        small = replace(subject, capabilities=known, wanted=frozenset({"size_bytes"}))
        assert "int4_weight" in self.ask(small, {"four_bits": 0.5})[1]

    def test_what_another_profile_can_do_says_nothing(self, subject: Subject) -> None:
        profile = find_device("local-cpu")
        known = {"another": probed_matmul(profile, Precision.INT4_WEIGHT)}
        assert "int4_weight" in self.ask(replace(subject, capabilities=known), {})[1]

    @pytest.mark.parametrize("name", ["encoder_with_a_mask_made_at_run_time", "decoder_of_learned_queries"])
    def test_products_are_asked_about_whatever_is_in_the_way(self, tmp_path: Path, name: str) -> None:
        """Shapes that only a run tells, and layers that read constants."""
        animal = ANIMALS[name]
        feeds = animal.feeds()
        subject = create_subject(animal.build(), feeds, tmp_path)
        shapes = shapes_in_run(subject.model, feeds[0])
        subject = replace(subject, groups=layer_groups(subject.model, shapes=shapes))
        technique = PrecisionTechnique(subject, PrecisionTechnique.Options())
        offer = technique.offer(FakeDevice(speeds(**ALL_FASTER)), Offer())
        asked = {str(answer["layer"]).partition("(")[0] for answer in offer.answers}
        assert "MatMul" in asked
        products = [group for group in subject.groups if group.kind == "MatMul"]
        choices = {one.name: one.choices for one in offer.decisions}
        assert all(choices[f"precision:{group.name}"] == tuple(Precision) for group in products)
        values = {one.name: "int8" if "int8" in one.choices else "fp32" for one in offer.decisions}
        built = technique.apply(Draft(subject.model, subject.groups), values).model
        assert run_once(built, feeds[0])

    def check_activations(self, offer: Offer, subject: Subject, tmp_path: Path, liked: str) -> None:
        """Any process of the job builds with these activations, without asking the device."""
        technique = PrecisionTechnique(subject, PrecisionTechnique.Options())
        values = {f"precision:{group.name}": "int8" for group in subject.groups}
        draft = Draft(subject.model, subject.groups, static_schemes=offer.static_schemes)
        built = technique.apply(draft, values)
        onnx.save(built.model, tmp_path / "built.onnx")
        assert number_formats(tmp_path / "built.onnx") == {liked}


def test_a_device_is_asked_only_by_techniques_that_need_it(tmp_path: Path) -> None:
    class Untouchable(FakeDevice):
        def measure(self, request: Any) -> Any:
            raise AssertionError("asked")

    device: Device = Untouchable(lambda path: 1.0)
    technique = GraphTechnique(create_subject(classifier(), dense_feeds(), tmp_path), GraphTechnique.Options())
    assert technique.offer(device, Offer()) == Offer()
