"""Channel-wise distillation of feature maps."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from hwprofiles.errors import InvalidInput
from search.bounds import LARGEST
from search.training.losses.base import Loss, LossOptions, check_same_shape, teacher_of
from search.training.outputs import LossInputs


class ChannelWiseOptions(LossOptions):
    """Options of :class:`ChannelWise`."""

    features: dict[str, str] = Field(min_length=1)
    """Maps a submodule of the student to the submodule of the teacher that its output is compared with."""
    temperature: float = Field(4.0, gt=0, le=LARGEST, allow_inf_nan=False)
    """Softens both distributions."""


class ChannelWise(Loss):
    """``T² KL`` per channel between teacher and student, of the softmax over positions of the maps ``(n, channels,
    *positions)`` divided by T. Mean over samples and channels, sum over features.

    Shu et al., *Channel-wise Knowledge Distillation for Dense Prediction* (ICCV 2021). As there, if the numbers of
    channels differ, a jointly trained 1x1 convolution maps the student's to the teacher's.
    """

    Options = ChannelWiseOptions
    of_teacher = True

    def __init__(self, options: ChannelWiseOptions) -> None:
        super().__init__(options)
        self.adapters = nn.ModuleList()

    @property
    def taps(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """See :meth:`Loss.taps`."""
        return tuple(self.options.features), tuple(self.options.features.values())

    def prepare(self, batch: LossInputs) -> None:
        """See :meth:`Loss.prepare`."""
        for name, teacher_name in self.options.features.items():
            student, teacher = batch.student.features[name], teacher_of(batch).features[teacher_name]
            if student.ndim < 3 or teacher.ndim < 3:
                raise InvalidInput(
                    f"losses.cwd.features: {name!r} does not output feature maps (n, channels, *positions)",
                    "name parts that do, such as convolutions",
                )
            check_same_shape(student[:, 0], teacher[:, 0], f"a channel of {name!r}")
            channels, wanted = student.shape[1], teacher.shape[1]
            self.adapters.append(
                nn.Identity() if channels == wanted else nn.Conv1d(channels, wanted, 1, bias=False).to(student.device)
            )

    def forward(self, batch: LossInputs) -> Tensor:
        """See :meth:`Loss.forward`."""
        total = batch.student.output.new_zeros(())
        temperature: float = self.options.temperature
        for adapter, (name, teacher_name) in zip(self.adapters, self.options.features.items(), strict=True):
            student = adapter(batch.student.features[name].flatten(2))
            teacher = teacher_of(batch).features[teacher_name].flatten(2)
            total = total + functional.kl_div(
                functional.log_softmax(student / temperature, dim=-1).flatten(0, 1),
                functional.log_softmax(teacher / temperature, dim=-1).flatten(0, 1),
                reduction="batchmean", log_target=True,
            )  # fmt: skip
        return total * temperature**2
