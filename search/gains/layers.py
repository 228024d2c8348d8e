"""Whether a precision is faster on a device in any layer shape: benchmarked once, cached for every job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from evaluators.devices.device import Device
from evaluators.graphs.layer_groups import LayerGroup, layer_groups
from evaluators.graphs.run_shapes import shapes_in_run
from evaluators.probing.answers import failure_of
from evaluators.probing.questions import LayerAnswers, SingleLayer
from evaluators.probing.single_layer import extract_layer, layer_key
from evaluators.processes.sandbox_child import report
from evaluators.quantize import Scheme
from hwprofiles import Precision
from hwprofiles.errors import StageTimeout, transient_states
from search.json_cache import JsonCache
from search.subject import Subject

_SILENT = (*transient_states(), StageTimeout.state)


@dataclass(frozen=True)
class Gain:
    """The speed-up of a layer by a precision on a device; ``ratio`` and ``ci95`` are None if it does not run there."""

    layer: str
    precision: Precision
    activations: str
    ratio: float | None
    ci95: tuple[float, float] | None
    reason: str = ""
    state: str = ""
    """The state of the failure that is the reason."""

    @property
    def silent(self) -> bool:
        """Whether the device gave no answer, for lack of time or a transient failure: nothing can be concluded."""
        return self.ci95 is None and self.state in _SILENT

    @property
    def slower(self) -> bool:
        """Whether the layer is clearly slower than in fp32, or does not run at all."""
        return not self.silent and (self.ci95 is None or self.ci95[1] < 1.0)

    def pays(self, *, small: bool) -> bool:
        """Returns whether the precision is worth searching in; if ``small`` candidates are wanted, it only has to
        run."""
        return self.runs if small else not self.slower

    @property
    def runs(self) -> bool:
        """Whether the device executes the layer, however fast; true also if it was too noisy to measure the speed."""
        return self.ci95 is not None or self.silent


class LayerGains:
    """Benchmarks the layer shapes of a model on a device. Answers are cached by layer, number format and device, and
    shared by all models with such a layer."""

    def __init__(self, subject: Subject, device: Device) -> None:
        self._subject, self._device = subject, device
        self.unasked: set[Precision] = set()
        """Precisions of layers that could not be benchmarked on their own; filled by :meth:`ask`."""

    def ask(self, precisions: Iterable[Precision], scheme: Scheme, *, small: bool = False) -> list[Gain]:
        """Benchmarks each precision and returns the gains, in up to seconds a layer shape.

        Layers with most work come first, up to the first layer shape that is not slower (if ``small`` candidates are
        wanted: up to the first that runs).
        """
        layers = list(self._layers())
        precisions = list(precisions)
        gains: list[Gain] = []
        with LayerAnswers(
            self._device, JsonCache(self._subject.cache / "layers"), transient=self._subject.transient
        ) as answers:
            for precision in precisions:
                report(f"benchmarking {precision}")
                for group, layer in layers:
                    if precision in group.precisions:
                        gains.append(_gain(answers, layer, precision, scheme))
                        if gains[-1].pays(small=small) and not gains[-1].silent:
                            break
        return gains

    def _layers(self) -> Iterator[tuple[LayerGroup, SingleLayer]]:
        model, sample = self._subject.model, self._subject.sample_of(self._device.profile)
        shapes = shapes_in_run(model, sample)
        seen = set()
        for group in sorted(self._subject.groups, key=lambda group: -group.macs):
            key = layer_key(model, group, shapes)
            if key and key in seen:
                continue
            seen.add(key)
            extracted = extract_layer(model, group, shapes)
            if extracted is not None and (own_groups := layer_groups(extracted)):
                yield group, SingleLayer(key, own_groups[:1], extracted)
            else:
                self.unasked.update(group.precisions)


def _gain(answers: LayerAnswers, layer: SingleLayer, precision: Precision, scheme: Scheme) -> Gain:
    answer = answers.gain(layer, precision, scheme)
    interval = answer.get("ci95")
    return Gain(
        layer.key,
        precision,
        scheme.activation_type,
        answer.get("ratio"),
        interval and tuple(interval),
        answer.get("reason", ""),
        failure_of(answer),
    )
