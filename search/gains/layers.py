"""Whether a device gains by a precision in any layer shape: asked of the device, remembered for every job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from evaluators.devices.device import Device
from evaluators.graphs.layer_groups import LayerGroup, layer_groups
from evaluators.graphs.run_shapes import shapes_in_run
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
    """The speed-up of a layer by a precision on the device, with its interval; None where it does not run there."""

    layer: str
    precision: Precision
    activations: str
    ratio: float | None
    ci95: tuple[float, float] | None
    reason: str = ""

    @property
    def silent(self) -> bool:
        """Whether the device gave no answer, for want of time or by the moment's fault: nothing may be concluded."""
        return self.ci95 is None and self.reason.startswith(_SILENT)

    @property
    def slower(self) -> bool:
        """Whether it is clearly slower than fp32, or does not run at all."""
        return not self.silent and (self.ci95 is None or self.ci95[1] < 1.0)

    def pays(self, *, small: bool) -> bool:
        """Whether it is reason enough to search in this precision; where ``small`` is wanted, running is."""
        return self.runs if small else not self.slower

    @property
    def runs(self) -> bool:
        """Whether the device executes it, however fast; a device too noisy to say how fast does."""
        return self.ci95 is not None or self.silent


class LayerGains:
    """Asks a device about the layer shapes of a model. Answers lie in the cache, named by layer, number format and
    device, and are shared by all models that have such a layer."""

    def __init__(self, subject: Subject, device: Device) -> None:
        self._subject, self._device = subject, device
        self.unasked: set[Precision] = set()
        """The precisions of layers that could not be asked about by themselves, after :meth:`ask`."""

    def ask(self, precisions: Iterable[Precision], scheme: Scheme, *, small: bool = False) -> list[Gain]:
        """The gains by each precision, the layers with most work first, up to the first layer shape that does not run
        slower by it; where ``small`` is wanted, up to the first that runs."""
        layers = list(self._layers())
        precisions = list(precisions)
        gains: list[Gain] = []
        with LayerAnswers(
            self._device, JsonCache(self._subject.cache / "layers"), transient=self._subject.passing
        ) as answers:
            for precision in precisions:
                report(f"asking the device about {precision}")
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
            if extracted is not None and (own := layer_groups(extracted)):
                yield group, SingleLayer(key, own[:1], extracted)
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
    )
