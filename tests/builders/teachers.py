"""Teachers as strangers write them, after the layouts of torchvision and transformers, in a size that runs at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from search.pruning import ChannelGroup, width_choices
from search.pruning.criteria import CRITERIA
from search.students import build_student, find_units
from search.tasks.resnet import ResNet
from search.tasks.vit import VisionTransformer
from search.testing.nets import settle

CLASSES = 5


class Vgg(nn.Module):
    """Plain convolutions with normalisation, and three linear layers behind a flattened picture."""

    def __init__(self, layout: tuple[int | str, ...] = (16, 16, "M", 32, 32, "M", 64, 48, "M")) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for item in layout:
            if isinstance(item, str):
                layers.append(nn.MaxPool2d(2, 2))
                continue
            layers += [nn.Conv2d(channels, item, 3, padding=1), nn.BatchNorm2d(item), nn.ReLU(inplace=True)]
            channels = item
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Linear(channels * 4, 40), nn.ReLU(True), nn.Dropout(), nn.Linear(40, 40), nn.ReLU(True), nn.Dropout(),
            nn.Linear(40, CLASSES),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return out


class Strided(nn.Module):
    """Plain convolutions with strides, without padding, and dilated; average over the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.GELU(), nn.Conv2d(8, 12, 3, padding=1, dilation=2), nn.GELU(),
            nn.Conv2d(12, 16, 2, stride=2), nn.GELU(), nn.Conv2d(16, 10, 3, padding="same"), nn.GELU(),
            nn.Conv2d(10, 14, 1, padding=1), nn.GELU(),
        )  # fmt: skip
        self.head = nn.Linear(14, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x).mean((2, 3)))
        return out


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; the shortcut has a layer where shapes change."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride > 1 or channels_in != channels:
            layers = (nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
            self.downsample = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += identity
        activated: Tensor = self.relu(out)
        return activated


class TorchvisionResNet(nn.Module):
    """The stem with pooling, and four stages ``layer1`` to ``layer4``."""

    def __init__(self, blocks: tuple[int, ...] = (3, 4, 6, 3), width: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 7, 2, 3, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = width
        for number, count in enumerate(blocks):
            wide, stage = width * 2**number, list[nn.Module]()
            for block in range(count):
                stage.append(BasicBlock(channels, wide, 2 if number and block == 0 else 1))
                channels = wide
            self.add_module(f"layer{number + 1}", nn.Sequential(*stage))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(channels, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        out: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return out


class InvertedResidual(nn.Module):
    """Wide, depthwise, narrow; a plain shortcut where shapes stay."""

    def __init__(self, channels_in: int, channels: int, stride: int, ratio: int) -> None:
        super().__init__()
        wide, layers = channels_in * ratio, list[nn.Module]()
        if ratio > 1:
            layers += [nn.Conv2d(channels_in, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(inplace=True)]
        layers += [nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(True)]
        self.conv = nn.Sequential(*layers, nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.use_res_connect = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv(x) if self.use_res_connect else self.conv(x)
        return out


class MobileNetV2(nn.Module):
    """Inverted residual blocks between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True))
        blocks = [
            InvertedResidual(8, 8, 1, 1), InvertedResidual(8, 12, 2, 4), InvertedResidual(12, 12, 1, 4),
            InvertedResidual(12, 16, 1, 4), InvertedResidual(16, 16, 1, 4),
        ]  # fmt: skip
        last = nn.Sequential(nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6(inplace=True))
        self.features = nn.Sequential(stem, *blocks, last)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(32, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1)).flatten(1))
        return out


class EncoderBlock(nn.Module):
    """torchvision's encoder block: normalisation first, torch's own attention."""

    def __init__(self, heads: int, width: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        y, _ = self.self_attention(y, y, y, need_weights=False)
        x = x + y
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class TorchvisionViT(nn.Module):
    """Patches by a convolution, a class token, and a classifier of it."""

    def __init__(self, width: int = 16, heads: int = 4, depth: int = 3) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(1, width, 4, 4)
        self.class_token = nn.Parameter(0.1 * torch.randn(1, 1, width))
        self.pos_embedding = nn.Parameter(0.1 * torch.randn(1, 17, width))
        self.layers = nn.Sequential(*(EncoderBlock(heads, width) for _ in range(depth)))
        self.ln, self.head = nn.LayerNorm(width), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embedding
        out: Tensor = self.head(self.ln(self.layers(x))[:, 0])
        return out


class BertSelfAttention(nn.Module):
    """Heads as transformers names them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_attention_heads, self.attention_head_size = heads, width // heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
        shape = (*hidden_states.shape[:-1], self.num_attention_heads, self.attention_head_size)
        query, key, value = (
            layer(hidden_states).view(shape).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) / self.attention_head_size**0.5 + attention_mask
        context = scores.softmax(-1) @ value
        return context.transpose(1, 2).flatten(-2)


class BertOutput(nn.Module):
    """A linear layer, the sum with the block's input, and normalisation."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.dense, self.LayerNorm, self.dropout = nn.Linear(width_in, width), nn.LayerNorm(width), nn.Dropout(0.1)

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        out: Tensor = self.LayerNorm(self.dropout(self.dense(hidden_states)) + input_tensor)
        return out


class BertAttention(nn.Module):
    """Self-attention and its output, which is a block of its own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self, self.output = BertSelfAttention(width, heads), BertOutput(width, width)

    def forward(self, hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
        out: Tensor = self.output(self.self(hidden_states, attention_mask), hidden_states)
        return out


class BertLayer(nn.Module):
    """Attention and two linear layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = BertAttention(width, heads)
        self.intermediate, self.output = nn.Linear(width, 2 * width), BertOutput(2 * width, width)

    def forward(self, hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
        attended = self.attention(hidden_states, attention_mask)
        out: Tensor = self.output(nn.functional.gelu(self.intermediate(attended)), attended)
        return out


class Bert(nn.Module):
    """Words and places, layers, and a classifier of the first token."""

    def __init__(self, width: int = 24, heads: int = 3, depth: int = 3) -> None:
        super().__init__()
        self.word_embeddings, self.position_embeddings = nn.Embedding(40, width), nn.Embedding(12, width)
        self.LayerNorm = nn.LayerNorm(width)
        self.layer = nn.ModuleList(BertLayer(width, heads) for _ in range(depth))
        self.pooler, self.classifier = nn.Linear(width, width), nn.Linear(width, CLASSES)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = (1.0 - attention_mask[:, None, None, :].float()) * -10000.0
        places = torch.arange(input_ids.shape[1])[None]
        x = self.LayerNorm(self.word_embeddings(input_ids) + self.position_embeddings(places))
        for layer in self.layer:
            x = layer(x, mask)
        out: Tensor = self.classifier(torch.tanh(self.pooler(x[:, 0])))
        return out


def _tokens() -> tuple[Tensor, ...]:
    mask = torch.ones(3, 12, dtype=torch.long)
    mask[0, 7:] = 0
    return torch.randint(0, 40, (3, 12)), mask


TEACHERS: dict[str, Callable[[], nn.Module]] = {
    "digits": lambda: ResNet(width=8, depth=14, classes=CLASSES),
    "digits_vit": lambda: VisionTransformer(size=16, patch=4, width=16, heads=4, depth=3, classes=CLASSES),
    "vgg": Vgg,
    "strided": Strided,
    "resnet34": TorchvisionResNet,
    "mobilenet": MobileNetV2,
    "torchvision_vit": TorchvisionViT,
    "bert": Bert,
}


def teacher(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Returns a teacher by name and an example of three samples; the same each time."""
    torch.manual_seed(0)
    model = settle(TEACHERS[name]())
    size = 32 if name == "resnet34" else 16
    return model, _tokens() if name == "bert" else (torch.randn(3, 1, size, size),)


class Workshop:
    """A teacher, its units and their scores."""

    def __init__(self, model: nn.Module, example: tuple[Tensor, ...]) -> None:
        self.model, self.example, self.units = model, example, find_units(model, example)
        self.groups: dict[str, ChannelGroup] = {unit.name: unit.group for unit in self.units if unit.group is not None}
        self.removable = [unit.name for unit in self.units if unit.removal is not None]
        self.scores: Mapping[str, Any] = CRITERIA["l1"]().scores(model, list(self.groups.values()))

    def build(self, removed: Collection[str], factors: Mapping[str, float]) -> nn.Module:
        """Builds a student without the units ``removed``, others narrowed by their factors."""
        widths = {name: width_choices(self.groups[name], [factor])[-1] for name, factor in factors.items()}
        return build_student(self.model, self.units, removed, widths, self.scores, self.example)


@cache
def workshop(name: str) -> Workshop:
    """Returns the workshop of a teacher, made once a process: change nothing in it."""
    return Workshop(*teacher(name))
