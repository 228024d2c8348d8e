"""The workers of a search as actors of a Ray cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from search.controller.place import Place
from search.controller.trial_feed import Order, TrialFeed
from search.devices.cluster import settings  # noqa: F401 - before Ray

# isort: split
import ray
from ray.exceptions import RayError

LOOK_S = 0.5
"""Between two looks at what changes without the end of a trial: the time, the job's state, the places of a cluster."""

CLOSING_S = 5.0
"""For idle workers to end by themselves."""


def run_trials(kind: type[Any], parameters: Mapping[str, Any], feed: TrialFeed, place: Place) -> None:
    """Runs trials until the feed is over (minutes to hours).

    Each worker of the class ``kind``, made with ``parameters``, runs one trial after another. There are never more than
    ``place.most`` allows. A worker that is lost costs its trial, which the feed hands out again, or not. A trial waits
    for whichever worker is first, one that starts or one that has ended its trial, and one that has started stays:
    starting costs seconds of a core.
    """
    pool = _Pool(kind, {**parameters, **place.parameters}, place.resources)
    waiting: deque[Order] = deque()
    try:
        while True:
            while (order := feed.next()) is not None:
                waiting.append(order)
            if feed.is_over:
                break
            pool.resize(len(waiting), place.most())
            while waiting and pool.idle:
                pool.run(waiting.popleft())
            _collect(pool, feed, waiting)
    except BaseException:
        pool.kill()
        raise
    pool.close()


def _collect(pool: _Pool, feed: TrialFeed, waiting: deque[Order]) -> None:
    """Waits for a while, and hands what has ended to the feed."""
    for order, answer in pool.wait():
        if answer is not None and order is not None:
            feed.take(order, answer)
        elif order is not None or waiting:
            # A worker that cannot start costs a trial that waits for it: otherwise workers would start for ever.
            feed.lose(order or waiting.popleft())


class _Pool:
    """Actors that start, are idle, or are at work."""

    def __init__(self, kind: type[Any], parameters: Mapping[str, Any], resources: Mapping[str, float]) -> None:
        names = {"cpu": "num_cpus", "gpu": "num_gpus", "memory": "memory"}
        named = {names[name]: amount for name, amount in resources.items() if name in names}
        others = {name: amount for name, amount in resources.items() if name not in names}
        self._kind = ray.remote(kind).options(**named, resources=others)
        self._parameters = {name: ray.put(value) for name, value in parameters.items()}
        self._starting: dict[Any, Any] = {}
        self._at_work: dict[Any, tuple[Any, Order]] = {}
        self.idle: list[Any] = []

    def resize(self, wanted: int, most: int) -> None:
        """Starts workers for the trials that wait, and ends those without a trial that are too many."""
        while self._size > most and (self.idle or self._starting):
            ray.kill(self.idle.pop() if self.idle else self._starting.popitem()[1])
        while len(self._starting) + len(self.idle) < wanted and self._size < most:
            worker = self._kind.remote(**self._parameters)
            self._starting[worker.begin.remote()] = worker

    @property
    def _size(self) -> int:
        return len(self.idle) + len(self._starting) + len(self._at_work)

    def run(self, order: Order) -> None:
        """Gives a trial to an idle worker."""
        worker = self.idle.pop()
        self._at_work[worker.run.remote(order)] = worker, order

    def wait(self) -> list[tuple[Order | None, Any]]:
        """Waits for up to :data:`LOOK_S`; returns the trials that have ended with their answers, None for those whose
        worker was lost, and (None, None) for each worker that could not start."""
        ended: list[tuple[Order | None, Any]] = []
        ready, _ = ray.wait([*self._at_work, *self._starting], timeout=LOOK_S, num_returns=1)
        for reference in ready:
            worker, order = self._at_work.pop(reference, (None, None))
            worker = worker or self._starting.pop(reference)
            try:
                answer = ray.get(reference)
            except RayError:
                ended.append((order, None))
                with suppress(RayError):
                    ray.kill(worker)
            else:
                self.idle.append(worker)
                if order is not None:
                    ended.append((order, answer))
        return ended

    def close(self) -> None:
        """Lets idle workers end their sandboxes, and ends all."""
        closing = [worker.close.remote() for worker in self.idle]
        if closing:
            with suppress(RayError):
                ray.wait(closing, num_returns=len(closing), timeout=CLOSING_S)
        self.kill()

    def kill(self) -> None:
        """Ends all workers at once."""
        for worker in [*self.idle, *self._starting.values(), *(worker for worker, _ in self._at_work.values())]:
            with suppress(RayError):
                ray.kill(worker)
