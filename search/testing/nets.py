"""Small nets for the suites: their channels depend on one another in every way that pruning knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from search.tasks.resnet import ResNet
from search.tasks.vit import VisionTransformer

Inputs = tuple[Tensor, ...]
Net = TypeVar("Net", bound=nn.Module)
CLASSES = 5


def settle(model: Net, seed: int = 1) -> Net:
    """Puts a model into evaluation mode, with biases and normalisation statistics that are not all zeros and ones.

    Returns the same model.
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                mean = 0.2 * torch.randn(module.num_features, generator=rng)
                variance = 0.5 + torch.rand(module.num_features, generator=rng)
                for statistic, value in ((module.running_mean, mean), (module.running_var, variance)):
                    if statistic is not None:
                        statistic.copy_(value)
            if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
                module.weight.copy_(0.5 + torch.rand(module.weight.shape, generator=rng))
                module.bias.copy_(0.2 * torch.randn(module.bias.shape, generator=rng))
    return model.eval()


class Grouped(nn.Module):
    """A depthwise convolution, one with a multiplier, and one of four groups."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.depthwise, self.point = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 12, 1)
        self.wider, self.narrow = nn.Conv2d(12, 24, 3, padding=1, groups=12), nn.Conv2d(24, 16, 1)
        self.grouped, self.last = nn.Conv2d(16, 24, 3, padding=1, groups=4), nn.Conv2d(24, 6, 1)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.depthwise(torch.relu(self.norm(self.first(x)))))
        x = torch.relu(self.wider(torch.relu(self.point(x))))
        x = torch.sigmoid(self.grouped(torch.relu(self.narrow(x))))
        out: Tensor = self.head(torch.relu(self.last(x)).mean((2, 3)))
        return out


class Concatenated(nn.Module):
    """Two branches side by side, one normalisation over both, and a flattened end."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(3, 10, 1)
        self.norm, self.both = nn.BatchNorm2d(16), nn.Conv2d(16, 4, 3, padding=1)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 16, 12), nn.ReLU(inplace=True), nn.Linear(12, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([torch.relu(self.left(x)), self.right(x)], 1)
        x = nn.functional.avg_pool2d(torch.relu(self.both(torch.relu(self.norm(x)))), 2)
        out: Tensor = self.head(x)
        return out


class Attention(nn.Module):
    """Self-attention as people write it, with the number of heads as an attribute."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        split = (self.heads, self.size)
        q, k, v = (layer(x).unflatten(-1, split).transpose(1, 2) for layer in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / self.size**0.5 + bias
        out: Tensor = self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(-2))
        return out


class EncoderLayer(nn.Module):
    """Attention and two dense layers, each with a residual sum and a norm after it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention, self.norm1 = Attention(width, heads), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.norm1(x + self.attention(x, bias))
        out: Tensor = self.norm2(x + self.down(nn.functional.gelu(self.up(x))))
        return out


class Encoder(nn.Module):
    """Token ids and their mask, both ``(batch, tokens)``, to classes."""

    def __init__(self, width: int = 16, heads: int = 4) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(20, width), nn.Parameter(0.1 * torch.randn(1, 6, width))
        self.layers = nn.ModuleList(EncoderLayer(width, heads) for _ in range(2))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        bias = (1.0 - mask[:, None, None, :].to(torch.float32)) * -100.0
        x = self.words(ids) + self.places
        for layer in self.layers:
            x = layer(x, bias)
        out: Tensor = self.head(x.mean(1))
        return out


class TorchEncoder(nn.Module):
    """torch's own encoder layers, with normalisation first."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(7, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 24, dropout=0.1, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.encoder(self.enter(x)).mean(1))
        return out


def resnet() -> tuple[nn.Module, Inputs]:
    return settle(ResNet(width=8, depth=8, classes=CLASSES)), (torch.randn(3, 1, 8, 8),)


def grouped() -> tuple[nn.Module, Inputs]:
    return settle(Grouped()), (torch.randn(3, 3, 6, 6),)


def concatenated() -> tuple[nn.Module, Inputs]:
    return settle(Concatenated()), (torch.randn(3, 3, 8, 8),)


def encoder() -> tuple[nn.Module, Inputs]:
    mask = torch.ones(3, 6, dtype=torch.long)
    mask[0, 4:] = 0
    return settle(Encoder()), (torch.randint(0, 20, (3, 6)), mask)


def torch_encoder() -> tuple[nn.Module, Inputs]:
    return settle(TorchEncoder()), (torch.randn(3, 6, 7),)


def vit() -> tuple[nn.Module, Inputs]:
    model = VisionTransformer(size=8, patch=2, width=16, heads=4, depth=2, classes=CLASSES)
    return settle(model), (torch.randn(3, 1, 8, 8),)


NETS: dict[str, Callable[[], tuple[nn.Module, Inputs]]] = {
    "resnet": resnet,
    "grouped": grouped,
    "concatenated": concatenated,
    "encoder": encoder,
    "torch_encoder": torch_encoder,
    "vit": vit,
}


def net(name: str, seed: int = 0) -> tuple[nn.Module, Inputs]:
    """Returns a net by name and an example of its inputs, three samples; the same for the same seed."""
    torch.manual_seed(seed)
    return NETS[name]()
