"""What techniques share that choose among a module's channels: steps of widths, samples, and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from evaluators.devices.device import Device
from evaluators.graphs.run_shapes import shapes_in_run
from evaluators.graphs.shapes import Shape
from hwprofiles import Precision
from hwprofiles.suggestions import nearest
from search.bounds import MOST, Seed
from search.criterion_names import CRITERIA
from search.space.layer_changes import KEPT
from search.tasks.drawing import draw_samples
from search.techniques.base import TechniqueOptions
from search.techniques.module import ModuleTechnique

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from search.pruning import ChannelGroup
    from search.pruning.criteria import Batch, Criterion

USUAL_STEP = 8
"""Multiple to which widths are rounded for devices that were not probed, as He et al. (AMC, ECCV 2018) use it on
processors and graphics cards."""

_BATCH = 64


class ChannelOptions(TechniqueOptions):
    """Options about channels that stay."""

    criterion: str = "taylor"
    """Which channels stay."""
    samples: int = Field(256, ge=2, le=MOST)
    """Calibration samples that the criterion uses."""
    round: Literal["auto"] | int = Field("auto", json_schema_extra={"maximum": MOST})
    """Widths are multiples of so many channels; ``auto`` takes the device's step."""
    seed: Seed = 0
    """Of the criterion and of the samples' distortions."""

    @field_validator("round")
    @classmethod
    def _check_step(cls, step: str | int) -> str | int:
        if isinstance(step, int) and not 1 <= step <= MOST:
            raise ValueError(f"round is auto, or a number of channels from 1 to {MOST}")
        return step

    @field_validator("criterion")
    @classmethod
    def _check_criterion(cls, name: str) -> str:
        if name not in CRITERIA:
            raise ValueError(f"unknown criterion {name!r}; {nearest(name, list(CRITERIA))}")
        return name


class ChannelTechnique(ModuleTechnique):
    """A technique that removes channels and blocks from the module."""

    decides: ClassVar[str] = "which channels and blocks are left"
    options: ChannelOptions
    unchanged = KEPT

    def step(self, device: Device | None, group: ChannelGroup) -> int:
        """Returns the number of channels of which a group's widths are multiples, for a device."""
        from search.pruning import channel_step

        if isinstance(self.options.round, int):
            return self.options.round
        profile = self.subject.profile if device is None else device.profile
        capability = self.subject.capabilities.get(profile.digest)
        return USUAL_STEP if capability is None else channel_step(capability, group, (Precision.FP32, Precision.INT8))

    def score(self, module: nn.Module, groups: Sequence[ChannelGroup]) -> Mapping[str, NDArray[np.float64]]:
        """Computes the importance of the channels of a module's groups, by the group's name."""
        criterion: Criterion = CRITERIA[self.options.criterion](seed=self.options.seed)
        return criterion.scores(module, groups, self._batches)

    @cached_property
    def structure(self) -> nn.Module:
        """The task's own module, to look at."""
        return self.module()

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Shapes of the fp32 graph's tensors, for one sample."""
        sample = {name: values[:1] for name, values in self.task.inputs("calibration").items()}
        return shapes_in_run(self.subject.model, sample)

    @cached_property
    def _batches(self) -> list[Batch]:
        """Calibration samples, with labels where the task has them."""
        import numpy as np
        import torch

        from search.pruning.criteria import Batch

        samples = self.task.training().epoch(np.random.default_rng(self.options.seed))
        chosen = draw_samples(len(samples), self.options.samples)
        batches = []
        for start in range(0, len(chosen), _BATCH):
            rows = chosen[start : start + _BATCH]
            labels = None if samples.labels is None else torch.tensor(samples.labels[rows]).long()
            batches.append(Batch(tuple(torch.tensor(values[rows]) for values in samples.inputs), labels))
        return batches
