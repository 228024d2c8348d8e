"""The document of the workers that run queued jobs."""

from __future__ import annotations

from dashboards.words import Json
from search.store import Store


def workers_document(store: Store) -> Json:
    """Returns the workers, the newest first, and the number of queued jobs."""
    return {
        "queued": store.queue.length(),
        "workers": [
            {
                "worker_id": row.worker_id,
                "host": row.owner.get("host"),
                "slots": row.slots,
                "online": row.online,
                "started_at": row.started_at.isoformat(),
                "seen_at": row.seen_at.isoformat(),
                "stopped_at": row.stopped_at and row.stopped_at.isoformat(),
            }
            for row in store.workers.all()
        ],
    }
