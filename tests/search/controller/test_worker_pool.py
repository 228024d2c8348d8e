"""The pool of workers, on a Ray cluster of this machine."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.controller.place import Place
from search.controller.trial_feed import Answer, Order
from search.trials.earlier import Earlier

PLACES = 3


class Feed:
    """Hands out so many trials, at most as many at a time as there are places."""

    def __init__(self, trials: int) -> None:
        self.left = [Order(str(number), {}, Earlier(), 0.0) for number in range(trials)]
        self.open: set[str] = set()
        self.answers: list[Answer] = []
        self.losses: Counter[str] = Counter()

    @property
    def is_over(self) -> bool:
        return not self.left and not self.open

    def next(self) -> Order | None:
        if not self.left or len(self.open) == PLACES:
            return None
        order = self.left.pop()
        self.open.add(order.digest)
        return order

    def take(self, order: Order, answer: Answer) -> None:
        self.open.remove(order.digest)
        self.answers.append(answer)

    def lose(self, order: Order) -> None:
        self.open.remove(order.digest)
        self.losses[order.digest] += 1
        if self.losses[order.digest] < 2:
            self.left.append(order)


class Sleeper:
    """Answers with the id of its process; the trial named 1 ends its first process."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def begin(self) -> None:
        pass

    def run(self, order: Order) -> Answer:
        time.sleep(0.05)
        if order.digest == "1":
            try:
                (Path(self.folder) / "ended").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os._exit(1)
        return Answer("done", reason=(str(os.getpid()), ""))

    def close(self) -> None:
        (Path(self.folder) / f"closed-{os.getpid()}").touch()


class Unable:
    """Cannot be made."""

    def __init__(self, folder: str) -> None:
        raise OSError("no such machine")

    def begin(self) -> None:
        pass


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    from search.controller.ray_cluster import local_cluster

    with local_cluster(PLACES) as place:
        yield place


def test_workers_stay_until_the_end(place: Place, tmp_path: Path) -> None:
    from search.controller.worker_pool import run_trials

    feed = Feed(30)
    run_trials(Sleeper, {"folder": str(tmp_path)}, feed, place)  # type: ignore[arg-type]
    processes = {answer.reason[0] for answer in feed.answers}
    assert len(feed.answers) == 30
    assert feed.losses == {"1": 1}, "the trial of the lost process is handed out again"
    assert len(processes) <= PLACES + 1
    closed = {path.name.removeprefix("closed-") for path in tmp_path.glob("closed-*")}
    assert closed, "idle workers end their sandboxes"
    assert closed <= processes


def test_workers_that_cannot_start_cost_trials_not_the_search(place: Place, tmp_path: Path) -> None:
    from search.controller.worker_pool import run_trials

    feed = Feed(2)
    run_trials(Unable, {"folder": str(tmp_path)}, feed, place)  # type: ignore[arg-type]
    assert not feed.answers
    assert feed.losses == {"0": 2, "1": 2}
