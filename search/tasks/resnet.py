"""A small residual network (He et al., 2016) for one-channel images."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        is_plain = stride == 1 and channels_in == channels
        self.shortcut: nn.Module = (
            nn.Identity()
            if is_plain
            else nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(n, channels_in, h, w)`` to ``(n, channels, h / stride, w / stride)``."""
        inner = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(inner)) + self.shortcut(x))


class ResNet(nn.Module):
    """Three stages of ``(depth - 2) // 6`` blocks, of 1, 2 and 4 times ``width`` channels."""

    def __init__(self, *, width: int, depth: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        blocks: list[nn.Module] = []
        channels = width
        for stage in range(3):
            for block in range((depth - 2) // 6):
                wider = width * 2**stage
                blocks.append(ResidualBlock(channels, wider, 2 if stage and block == 0 else 1))
                channels = wider
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images ``(n, 1, h, w)`` to logits ``(n, classes)``."""
        features = self.blocks(torch.relu(self.norm(self.stem(x))))
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits
