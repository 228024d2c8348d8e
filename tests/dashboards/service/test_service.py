"""What holds for every service: on a database, and on a server that is asked over HTTP."""

from __future__ import annotations

import pytest

from dashboards.service import Service
from dashboards.service.local import LocalService
from search.store import Store


@pytest.fixture
def service(store: Store) -> Service:
    return LocalService(store)


DRY_RUN = {"target": "digits", "options": {"devices": ["dry-run"], "trials": 4}}


class TestSubmitting:
    def test_a_task(self, service: Service) -> None:
        job = service.submit(DRY_RUN | {"priority": 3})
        assert (job["state"], job["name"], job["priority"], job["detached"]) == ("queued", "digits", 3, True)
        assert job["device"] == "dry-run"
        assert service.job(job["job_id"])["state"] == "queued"
