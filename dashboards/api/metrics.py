"""What Prometheus reads: the store's counts, and how the server's routes answer."""

from __future__ import annotations

import time
from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.access.gate import READ
from search.store import Store

_BUCKETS_S = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


class ServerMetrics:
    """The metrics of one server over one store. Safe for several threads."""

    def __init__(self, store: Store) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(StoreCollector(store))
        self.seconds = Histogram(
            "paretune_request_seconds", "Time until an answer began", ["method", "route", "status"],
            registry=self._registry, buckets=_BUCKETS_S,
        )  # fmt: skip

    def text(self) -> bytes:
        """Returns all metrics in Prometheus's text format; reads the store."""
        return generate_latest(self._registry)


class StoreCollector(Collector):
    """Reads the store's counts whenever Prometheus asks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> Iterator[Metric]:
        """Returns nothing: describing must not read the store."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yields a family of metrics for each kind of count."""
        counts = self._store.counts.all()
        by_label = (
            ("paretune_jobs", "Jobs by state", "state", counts.jobs),
            ("paretune_candidates", "Candidates by state", "state", counts.trials),
            ("paretune_open_requests", "Measurement requests under way, by device", "device", counts.open_requests),
        )
        for name, title, label, values in by_label:
            family = GaugeMetricFamily(name, title, labels=[label])
            for value, count in values.items():
                family.add_metric([value], count)
            yield family
        workers = [worker for worker in self._store.workers.all() if worker.online]
        agents = [agent for agent in self._store.agents.all() if agent.online]
        for name, title, amount in (
            ("paretune_queue_wait_seconds", "How long the oldest queued job has waited", counts.queue_wait_s),
            ("paretune_workers_online", "Workers that were heard from", len(workers)),
            ("paretune_worker_slots", "Jobs that these can run at a time", sum(worker.slots for worker in workers)),
            ("paretune_agents_online", "Agents of devices that were heard from", len(agents)),
        ):
            yield GaugeMetricFamily(name, title, value=amount)


class TimedRequests:
    """Measures until when each answer begins, by route: an event stream's end says nothing."""

    def __init__(self, app: ASGIApp, metrics: ServerMetrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()

        async def send_and_measure(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "none")
                labels = scope["method"], route, str(message["status"])
                self._metrics.seconds.labels(*labels).observe(time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, send_and_measure)


def metrics_router(metrics: ServerMetrics) -> APIRouter:
    """Returns the route ``/metrics``."""
    router = APIRouter(tags=["operations"])

    @router.get("/metrics", summary="Metrics in Prometheus's text format", dependencies=[READ],
                response_class=PlainTextResponse)  # fmt: skip
    def read_metrics() -> PlainTextResponse:
        return PlainTextResponse(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router
