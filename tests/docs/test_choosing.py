"""The page about choosing: its example loads weights and labels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search.tasks import TASKS, open_task
from search.techniques import TECHNIQUES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "choosing.md").read_text()


def test_the_example_loads_weights_and_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = re.findall(r"^```python task\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "my_task.py").write_text(text)
    names: dict[str, Any] = {"__file__": str(tmp_path / "my_task.py"), "__name__": "my_task"}
    exec(compile(text, "my_task.py", "exec"), names)
    torch.save(names["make_net"]().state_dict(), tmp_path / "net.pt")
    rng = np.random.default_rng(0)
    arrays = {
        f"{split}_{kind}": values
        for split in ("calibration", "validation", "test")
        for kind, values in {
            "images": rng.standard_normal((40, 1, 8, 8)).astype(np.float32),
            "labels": rng.integers(0, 10, 40),
        }.items()
    }
    np.savez(tmp_path / "data.npz", **arrays)
    monkeypatch.chdir("/")  # the example must not depend on the folder that a command is started in
    task = open_task("./my_task.py:make_task", {}, tmp_path)
    assert "accuracy" in task.metric_names()


def test_names_on_the_page_exist() -> None:
    named = set(re.findall(r"\| \[?`(\w+)`", PAGE.partition("## Techniques")[2].partition("## Strategies")[0]))
    assert named <= set(TECHNIQUES) | set(TASKS)
    assert named
