"""Tensors of a model by name, and the effect of removing channels on modules of each kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LAYERS = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)
"""Modules that give their channels by their weights."""

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
BY_CHANNEL = (*BATCH_NORMS, *INSTANCE_NORMS)
"""Normalisations that treat each channel separately."""

OVER_CHANNELS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
"""Normalisations that mix channels, so that removing one changes the others."""

HEAD_COUNTS = ("heads", "num_heads", "n_heads", "num_attention_heads")
"""Attributes that hold an attention module's number of heads."""

Coordinate = tuple[str, int, int]
"""A tensor's name, an axis, and an index along it."""


class Tensors:
    """All parameters and buffers of a model, each under its first name."""

    def __init__(self, model: nn.Module) -> None:
        self.by_name: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}
        self._owners: defaultdict[str, list[tuple[nn.Module, str]]] = defaultdict(list)
        for path, module in model.named_modules(remove_duplicate=True):
            for attribute, tensor in [*module._parameters.items(), *module._buffers.items()]:
                if tensor is None:
                    continue
                name = self._names.setdefault(id(tensor), f"{path}.{attribute}" if path else attribute)
                self.by_name[name] = tensor
                self._owners[name].append((module, attribute))

    def name_of(self, tensor: Tensor | None) -> str | None:
        """Returns a tensor's name; None if it does not belong to the model."""
        return None if tensor is None else self._names.get(id(tensor))

    def replace(self, name: str, tensor: Tensor) -> None:
        """Replaces a tensor in each module that holds it."""
        old = self.by_name[name]
        new = nn.Parameter(tensor, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else tensor
        for module, attribute in self._owners[name]:
            setattr(module, attribute, new)
        self.by_name[name] = new


def coordinates(module: nn.Module, tensors: Tensors, channel: int, *, out: bool) -> list[Coordinate] | None:
    """Locates channel ``channel`` of a module's output (or input) in the module's tensors; None if channels cannot be
    removed from modules of this kind."""

    def at(axis: int, index: int, *attributes: str) -> list[Coordinate]:
        names = (tensors.name_of(getattr(module, attribute, None)) for attribute in attributes)
        return [(name, axis, index) for name in names if name is not None]

    if isinstance(module, nn.Linear):
        return at(0, channel, "weight", "bias") if out else at(1, channel, "weight")
    if isinstance(module, CONVOLUTIONS):
        inputs = module.in_channels // module.groups
        if out:
            return at(0, channel, "weight", "bias")
        if inputs > 1 or module.groups == 1:
            return at(1, channel % inputs, "weight")
        wide = module.out_channels // module.groups
        rows = range(channel * wide, (channel + 1) * wide)
        return [coordinate for index in rows for coordinate in at(0, index, "weight", "bias")]
    if isinstance(module, TRANSPOSED) and module.groups == 1:
        return at(1, channel, "weight") + at(0, channel, "bias") if out else at(0, channel, "weight")
    if isinstance(module, BY_CHANNEL):
        return at(0, channel, "weight", "bias", "running_mean", "running_var")
    if isinstance(module, nn.GroupNorm):
        return at(0, channel, "weight", "bias")
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        return at(0, channel, "weight", "bias") if len(module.normalized_shape) == 1 else None
    if isinstance(module, nn.PReLU):
        return at(0, channel, "weight") if module.num_parameters > 1 else []
    if isinstance(module, nn.Embedding):
        return at(1, channel, "weight")
    return None


def equal_parts(module: nn.Module, tensors: Tensors) -> list[tuple[list[Coordinate], ...]]:
    """Lists coordinates to remove together, one channel of each of a module's groups, so that these stay equally
    wide."""
    if isinstance(module, CONVOLUTIONS) and module.groups > 1 and module.in_channels > module.groups:
        parts, wide = module.groups, module.out_channels // module.groups
    elif isinstance(module, nn.GroupNorm) and module.num_groups > 1 and module.affine:
        parts, wide = module.num_groups, module.num_channels // module.num_groups
    else:
        return []
    return [
        tuple(coordinates(module, tensors, part * wide + place, out=True) or [] for part in range(parts))
        for place in range(wide)
    ]


def update_sizes(module: nn.Module) -> None:
    """Updates a module's size attributes after channels were removed from its tensors."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, CONVOLUTIONS):
        if module.in_channels == module.groups > 1:
            module.groups = module.weight.shape[0] * module.groups // module.out_channels
        module.out_channels = module.weight.shape[0]
        module.in_channels = module.weight.shape[1] * module.groups
    elif isinstance(module, TRANSPOSED):
        module.in_channels, module.out_channels = module.weight.shape[0], module.weight.shape[1] * module.groups
    elif isinstance(module, BY_CHANNEL):
        sized = next((t for t in (module.weight, module.running_mean) if t is not None), None)
        module.num_features = module.num_features if sized is None else len(sized)
    elif isinstance(module, nn.GroupNorm) and module.weight is not None:
        module.num_channels = len(module.weight)
    elif isinstance(module, nn.LayerNorm | nn.RMSNorm) and module.weight is not None:
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
    elif isinstance(module, nn.Embedding):
        module.embedding_dim = module.weight.shape[1]


def first_of(names: Iterable[str], module: nn.Module) -> str | None:
    """Returns the first attribute among ``names`` that holds an integer above 1."""
    values = {name: getattr(module, name, None) for name in names}
    return next((name for name, value in values.items() if isinstance(value, int) and value > 1), None)
