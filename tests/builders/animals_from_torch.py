"""Models that torch exported."""

from __future__ import annotations

import io
import warnings

import onnx
from animals import animal, normal


def exported(module: object, example: tuple[object, ...], names: list[str], **options: object) -> onnx.ModelProto:
    """A torch module through the older exporter, whose deprecation warnings stay here."""
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, example, buffer, dynamo=False, input_names=names, output_names=["y"], opset_version=17, **options
        )
    return onnx.ModelProto.FromString(buffer.getvalue())


@animal(normal(2, 9, 32))
def torch_encoder_layer() -> onnx.ModelProto:
    import torch

    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
    module = torch.nn.Sequential(layer, torch.nn.Linear(32, 5)).eval()
    for flag in (False,):
        torch.backends.mha.set_fastpath_enabled(flag)
    try:
        return exported(module, (torch.randn(2, 9, 32),), ["x"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


@animal(normal(3, 5, 10))
def torch_recurrent_batch_first() -> onnx.ModelProto:
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(10, 8, num_layers=2, batch_first=True)
            self.gru = torch.nn.GRU(8, 8, batch_first=True)
            self.last = torch.nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.gru(self.lstm(x)[0])[0][:, -1])

    torch.manual_seed(0)
    return exported(Net().eval(), (torch.randn(3, 5, 10),), ["x"])


@animal(normal(2, 3, 16, 16))
def torch_convolutional_net() -> onnx.ModelProto:
    import torch
    from torch import nn

    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.SiLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Hardswish(), nn.Conv2d(8, 16, 1), nn.ReLU6(), nn.MaxPool2d(2),
        nn.ConvTranspose2d(16, 8, 2, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    )  # fmt: skip
    module.train()
    for _ in range(4):
        module(torch.randn(8, 3, 16, 16))
    return exported(module.eval(), (torch.randn(2, 3, 16, 16),), ["x"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
