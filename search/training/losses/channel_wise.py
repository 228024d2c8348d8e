"""Channel-wise distillation of feature maps."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from hwprofiles.errors import InvalidInput
from search.training.losses.base import Loss, LossOptions, same_shape, teacher_of
from search.training.outputs import Seen


class ChannelWiseOptions(LossOptions):
    """``features`` maps a part of the student to the part of the teacher that its output is compared with."""

    features: dict[str, str] = Field(min_length=1)
    temperature: float = Field(4.0, gt=0, allow_inf_nan=False)


class ChannelWise(Loss):
    """For each channel ``T² KL`` between where the teacher and where the student is active: softmax over positions of
    the maps ``(n, channels, *positions)`` divided by T. Mean over samples and channels, sum over features.

    Shu et al., *Channel-wise Knowledge Distillation for Dense Prediction* (ICCV 2021). As there, a 1x1
    convolution that is trained along brings a student's channels to the teacher's number where they differ.
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

    def prepare(self, seen: Seen) -> None:
        """See :meth:`Loss.prepare`."""
        for name, other in self.options.features.items():
            student, teacher = seen.student.features[name], teacher_of(seen).features[other]
            if student.ndim < 3 or teacher.ndim < 3:
                raise InvalidInput(
                    f"losses.cwd.features: {name!r} gives no maps (n, channels, *positions)",
                    "name parts whose outputs are feature maps, such as convolutions",
                )
            same_shape(student[:, 0], teacher[:, 0], f"a channel of {name!r}")
            channels, wanted = student.shape[1], teacher.shape[1]
            self.adapters.append(
                nn.Identity() if channels == wanted else nn.Conv1d(channels, wanted, 1, bias=False).to(student.device)
            )

    def forward(self, seen: Seen) -> Tensor:
        """See :meth:`Loss.forward`."""
        total = seen.student.output.new_zeros(())
        temperature: float = self.options.temperature
        for adapter, (name, other) in zip(self.adapters, self.options.features.items(), strict=True):
            student = adapter(seen.student.features[name].flatten(2))
            teacher = teacher_of(seen).features[other].flatten(2)
            total = total + functional.kl_div(
                functional.log_softmax(student / temperature, dim=-1).flatten(0, 1),
                functional.log_softmax(teacher / temperature, dim=-1).flatten(0, 1),
                reduction="batchmean", log_target=True,
            )  # fmt: skip
        return total * temperature**2
