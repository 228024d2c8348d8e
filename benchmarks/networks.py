"""Networks that benchmarks train: on the GPU where there is one."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def trained_on() -> str:
    """Where :func:`search.training.recover.recover` trains here: the GPU's name, else ``cpu``."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


@torch.no_grad()
def answers(module: nn.Module, images: NDArray[np.float32], batch: int = 512) -> NDArray[Any]:
    """Its outputs; a copy of the module works them out, so that it stays where it is."""
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    moved = copy.deepcopy(module).to(place).eval()
    parts = [moved(torch.from_numpy(images[at : at + batch]).to(place)) for at in range(0, len(images), batch)]
    return torch.cat(parts).float().cpu().numpy()
