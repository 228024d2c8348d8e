"""Feeds: what changes, found out once for all readers of it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

from dashboards.api.problems import problem, problem_status
from hwprofiles.errors import ParetuneError

POLL_S = 1.0
HEARTBEAT_S = 15.0
_LOOK_S = 0.25
_READING_SHARE = 0.1  # what takes long is polled less often: reading takes at most this share of the time
_BEHIND = 100
"""Events that a reader may be behind; a slower one is cut off, and comes back for everything."""

RETRY = b"retry: 2000\n\n"


@dataclass(frozen=True)
class Event:
    """A server-sent event, encoded once."""

    data: bytes
    number: int | None = None
    """Grows from event to event; None for one that every reader gets."""

    @classmethod
    def of(cls, name: str, document: Any, number: int | None = None, prefix: str = "") -> Event:
        """Encodes an event; its id is its number behind the ``prefix``."""
        text = json.dumps(document, separators=(",", ":"))
        line = "" if number is None else f"id: {prefix}{number}\n"
        return cls(f"{line}event: {name}\ndata: {text}\n\n".encode(), number)


_HEARTBEAT = Event(b": still here\n\n")
Queue = asyncio.Queue[Event | None]
"""The events of a reader; None ends them."""


class Feed(ABC):
    """Follows one thing while it has readers, and tells all of them what changes.

    All but :meth:`poll` is called in the server's event loop.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._readers: set[Queue] = set()
        self._task: asyncio.Task[None] | None = None
        self.over = False
        """Whether nothing more will come."""

    @abstractmethod
    def poll(self) -> tuple[Sequence[Event], bool]:
        """Returns what is new since the last call, and whether it was the last; called in a thread, at times.

        Raises :class:`ParetuneError` for what cannot be read, which the readers are told.
        """

    @contextmanager
    def subscribe(self) -> Iterator[Queue]:
        """Yields a reader's queue, which gets every event while the block runs."""
        queue: Queue = asyncio.Queue(_BEHIND)
        self._readers.add(queue)
        if self._task is None:
            self._task = asyncio.create_task(self._follow())
        try:
            yield queue
        finally:
            self._readers.discard(queue)

    async def _follow(self) -> None:
        told_at = time.monotonic()
        try:
            while self._readers and not self._stopping.is_set():
                started = time.monotonic()
                events, ended = await run_in_threadpool(self._poll)
                if not events and started - told_at >= HEARTBEAT_S:
                    events = [_HEARTBEAT]
                for event in events:
                    self._tell(event)
                    told_at = started
                if ended:
                    break
                await self._pause(max(POLL_S, (time.monotonic() - started) / _READING_SHARE))
        finally:
            self.over = True
            self._tell(None)

    def _poll(self) -> tuple[Sequence[Event], bool]:
        try:
            return self.poll()
        except ParetuneError as error:
            return [Event.of("problem", problem(problem_status(error), error.message, error.hint))], True

    def _tell(self, event: Event | None) -> None:
        for queue in tuple(self._readers):
            if queue.full():
                self._readers.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    async def _pause(self, seconds: float) -> None:
        """Waits so long, or until the server stops or nobody reads any more."""
        until = time.monotonic() + seconds
        while not self._stopping.is_set() and self._readers and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _LOOK_S))


async def events_behind(queue: Queue, number: int) -> AsyncIterator[bytes]:
    """Yields the events of a reader who knows all up to ``number`` already."""
    while (event := await queue.get()) is not None:
        if event.number is None or event.number > number:
            yield event.data


FeedT = TypeVar("FeedT", bound=Feed)


class Feeds:
    """The feeds of a server, one for each thing that is followed. Used in its event loop."""

    def __init__(self) -> None:
        self._feeds: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], FeedT]) -> FeedT:
        """Returns the feed of a thing; makes one if there is none, or if it is over."""
        feed: FeedT | None = self._feeds.get(key)
        if feed is None or feed.over:
            self._feeds = {other: kept for other, kept in self._feeds.items() if not kept.over}
            feed = self._feeds[key] = make()
        return feed
