"""Plays three new users with the wheel, each in a folder of its own, and records what they type and see.

Run by ``make first-hour``, which writes docs/first-hour.md; ends with exit code 1 at the first claim that fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from pathlib import Path

from first_hour_record import Failed, Page, User

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
AGENT_LIMIT_S = 120.0
EXPORT = re.compile(r"^export it with: paretune (export .*)$", re.MULTILINE)

MODEL = """\
import numpy as np, torch
from scipy.ndimage import zoom
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(0)
digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
images, labels = zoom(digits.images[order] / 16, (1, 4, 4), order=1)[:, None].astype("float32"), digits.target[order]
net = nn.Sequential(
    nn.Conv2d(1, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 1, 1), nn.ReLU(), nn.Conv2d(64, 128, 3, 2, 1), nn.ReLU(),
    nn.Conv2d(128, 128, 3, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(512, 10),
)
fit(net, images[:1000], labels[:1000], epochs=8)
torch.onnx.export(net.eval(), (torch.zeros(1, 1, 32, 32),), "net.onnx", input_names=["image"], output_names=["digit"],
                  dynamic_axes={"image": {0: "n"}, "digit": {0: "n"}}, dynamo=False)
np.savez("samples.npz", image=images[1000:], labels=labels[1000:])
"""
WEIGHTS = """\
import numpy as np, torch
from sklearn.datasets import load_digits
from my_net import MyNet

torch.manual_seed(0)
digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
images, labels = (digits.images[order] / 16)[:, None].astype("float32"), digits.target[order]
net = MyNet()
fit(net, images[:1000], labels[:1000], epochs=6)
torch.save(net.state_dict(), "net.pt")
parts = {"calibration": slice(0, 1000), "validation": slice(1000, 1400), "test": slice(1400, None)}
np.savez("data.npz", **{f"{name}_{kind}": values[part] for name, part in parts.items()
                        for kind, values in (("images", images), ("labels", labels))})
"""
FIT = """\
def fit(net, images, labels, epochs):
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(torch.as_tensor(images)[rows]), torch.as_tensor(labels)[rows])
            loss.backward()
            optimizer.step()

"""
NET = """\
from torch import nn


class MyNet(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(64 * 64, 10),
        )
"""


def main() -> None:
    """Plays the users and writes the page; everything else lies in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="the wheel that make dist built")
    parser.add_argument("-o", "--output", type=Path, help="the page; default: print it")
    parser.add_argument("--minutes", type=float, default=2.0, help="of each search")
    parser.add_argument("--fast", action="store_true", help="take the packages of this environment in place of pip's")
    given = parser.parse_args()
    page = Page(fast=given.fast)
    with tempfile.TemporaryDirectory(prefix="first-hour-") as place:
        home, wheel = Path(place), given.wheel.resolve()
        try:
            edge = play_edge(page, home / "edge", wheel, given.minutes)
            play_torch(page, home / "torch", edge, given.minutes)
            play_board(page, home / "board", edge, wheel, given.minutes)
        except Failed as error:
            sys.exit(f"{page.text()}\n\nFAILED: {error}")
    if given.output is None:
        print(page.text())
    else:
        given.output.write_text(page.text())


def play_edge(page: Page, folder: Path, wheel: Path, minutes: float) -> User:
    """An ONNX file to an exported bundle."""
    page.section("An edge engineer: an ONNX file", "`net.onnx`, with labelled samples in `samples.npz`; no other file.")
    user = User.make(page, folder, wheel)
    install(user, "torch==2.13.0", f"./{wheel.name}[full]")
    user.prepare(MODEL, FIT)
    user.paretune("run", "net.onnx", "--data", "samples.npz", "--minutes", f"{minutes:g}")
    printed = user.said
    page.check("the objectives are accuracy and speedup, because there are labels",
               "objectives: accuracy and speedup (default; the task has labels)" in printed)  # fmt: skip
    found = EXPORT.search(printed)
    page.check("the front ends with the command that exports its best compromise", found is not None)
    user.paretune(*(found[1] if found else "").replace("DIR", "bundle").split())
    receipt = json.loads((folder / "bundle" / "receipt.json").read_text())
    page.check("the bundle has a model, and a receipt that no measurement contradicts",
               (folder / "bundle" / "model.onnx").is_file() and receipt["verdict"] in ("confirmed", "inconclusive"),
    )  # fmt: skip
    page.check("3 commands, less than 5 minutes", user.commands == 3 and user.spent_s < 300)
    return user


def play_torch(page: Page, folder: Path, edge: User, minutes: float) -> None:
    """A torch module with trained weights, as two pages document it."""
    page.section(
        "An ML engineer: a torch module",
        "The weights `net.pt` and the arrays `data.npz`; Paretune is installed as above. `my_task.py` is the [example "
        "of choosing.md](choosing.md#a-complete-example-with-labels-and-loaded-weights).",
    )
    user = User.beside(page, folder, edge)
    (folder / "my_net.py").write_text(NET)
    user.prepare(WEIGHTS, FIT)
    (folder / "my_task.py").write_text(example("choosing.md"))
    user.paretune("run", "my_task.py:make_task", "--minutes", f"{minutes:g}")
    check_search(page, user, "my_task")
    page.say(
        "`other.py` is the [example of job-file.md](job-file.md#your-own-model). It loads `net.pt` by its bare name, "
        "and is run from another folder."
    )
    (folder / "other.py").write_text(example("job-file.md"))
    (folder / "elsewhere").mkdir()
    user.paretune("run", "../other.py:make_task", "--minutes", f"{minutes / 2:g}", folder="elsewhere")
    check_search(page, user, "other")


def play_board(page: Page, folder: Path, edge: User, wheel: Path, minutes: float) -> None:
    """A board that measures for this machine; both are this machine here."""
    page.section(
        "An edge engineer with a board",
        "The model of the first user. The board is a second environment on the same machine; with a real board the "
        "token's file is copied there (`scp`), and `ssh -R` connects the two. Each command has a terminal of its own.",
    )
    board = User.make(page, folder, wheel)
    install(board, f"./{wheel.name}[ort]")
    host = edge.again()
    with host.started("paretune", "devices", "token", "pi", "-o", "../board/pi.token", "--serve") as server:
        server.wait_for("Paretune is at", AGENT_LIMIT_S)
        agent_line = "agent --server http://127.0.0.1:8700 --token-file pi.token --device pi"
        page.check("it printed the agent's whole command", f"paretune {agent_line}" in server.said)
        with board.started("paretune", *agent_line.split()) as agent:
            agent.wait_for("registered as pi", AGENT_LIMIT_S)
            host.paretune("run", "net.onnx", "--data", "samples.npz", "--device", "pi", "--minutes", f"{minutes:g}")
    page.check("candidates were measured on the board", " on pi: done" in host.said and "done" in states(host, "net"))
    page.check("4 commands, the installation included", board.commands + host.commands == 4)


def install(user: User, *what: str) -> None:
    """The first command: pip; with ``--fast`` the packages of this environment stand in for it."""
    constraints = "constraints.txt"
    (user.folder / constraints).write_text((ROOT / constraints).read_text())
    places = [place for place in sys.path if place.endswith("site-packages")]
    user.install(["install", "--quiet", "--constraint", constraints, *what], stand_in=places)


def check_search(page: Page, user: User, job: str) -> None:
    """The search began with accuracy, and every candidate of it could be built."""
    page.check("accuracy is an objective, and no candidate failed",
               "objectives: accuracy and speedup" in user.said and states(user, job)
               and not {"failed", "build_failed", "crashed"} & set(states(user, job)))  # fmt: skip


def states(user: User, job: str) -> list[str]:
    """The states of a job's candidates."""
    return [row["state"] for row in json.loads(user.ask("candidates", job, "--format", "json"))["trials"]]


def example(page: str) -> str:
    """The example task of a page."""
    (text,) = re.findall(r"^```python task\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    return str(text)


if __name__ == "__main__":
    os.umask(0o022)
    main()
