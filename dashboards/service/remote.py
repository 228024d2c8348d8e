"""The service of a server, over HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from dashboards.service.base import LINES, PAGE, Service
from dashboards.service.connection import Connection
from dashboards.words import Json
from hwprofiles import digest_of_file
from hwprofiles.errors import NotFound, StorageError

PART_BYTES = 8 * 2**20
"""What is sent of a file at a time."""

_UPLOADS = 3
"""Attempts to send a file whose upload was over too early."""


class RemoteService(Service):
    """The service of the server at a URL, as the user of a token may use it.

    Holds connections: close it, or use it in a ``with`` block. What was lost on the way is asked for again.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        """Connects to nothing yet; raises :class:`InvalidInput` for a URL that cannot be used."""
        self._connection = Connection(url, token)

    def close(self) -> None:
        """Closes all connections."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Jobs

    def submit(self, submission: Json, key: str | None = None) -> Json:
        """See :meth:`Service.submit`."""
        return self._post("jobs", submission, key or str(uuid.uuid4()))

    def jobs(self, filters: Mapping[str, str] = {}, *, limit: int = PAGE, cursor: str | None = None) -> Json:
        """See :meth:`Service.jobs`."""
        return self._get("jobs", **filters, limit=limit, cursor=cursor)

    def job(self, job: str) -> Json:
        """See :meth:`Service.job`."""
        return self._get(_path("jobs", job))

    def front(self, job: str, *, device: str | None = None, version: int | None = None) -> Json:
        """See :meth:`Service.front`."""
        return self._get(_path("jobs", job, "front"), device=device, version=version)

    def candidates(
        self,
        job: str,
        *,
        device: str | None = None,
        state: str | None = None,
        sort: str = "trial",
        limit: int | None = None,
        cursor: int | None = None,
    ) -> Json:
        """See :meth:`Service.candidates`."""
        place = _path("jobs", job, "trials")
        return self._get(place, device=device, state=state, sort=sort, limit=limit, cursor=cursor)

    def candidate(self, candidate: str) -> Json:
        """See :meth:`Service.candidate`."""
        return self._get(_path("candidates", *candidate.split("/")))

    def layers(self, job: str) -> Json:
        """See :meth:`Service.layers`."""
        return self._get(_path("jobs", job, "layers"))

    def learning(self, job: str) -> Json:
        """See :meth:`Service.learning`."""
        return self._get(_path("jobs", job, "learning"))

    def logs(self, job: str, *, after: int = 0, limit: int = LINES) -> Json:
        """See :meth:`Service.logs`."""
        return self._get(_path("jobs", job, "logs"), after=after, limit=limit)

    def cancel(self, job: str) -> Json:
        """See :meth:`Service.cancel`."""
        return self._post(_path("jobs", job, "cancel"))

    def pause(self, job: str) -> Json:
        """See :meth:`Service.pause`."""
        return self._post(_path("jobs", job, "pause"))

    def resume(self, job: str) -> Json:
        """See :meth:`Service.resume`."""
        return self._post(_path("jobs", job, "resume"))

    def delete(self, job: str) -> None:
        """See :meth:`Service.delete`."""
        self._connection.send("DELETE", _path("jobs", job))

    def clone(self, job: str, options: Mapping[str, Any] = {}, key: str | None = None) -> Json:
        """See :meth:`Service.clone`."""
        return self._post(_path("jobs", job, "clone"), dict(options), key or str(uuid.uuid4()))

    # Exports

    def export(self, candidate: str, options: Mapping[str, Any] = {}, key: str | None = None) -> Json:
        """See :meth:`Service.export`."""
        place = _path("candidates", *candidate.split("/"), "exports")
        return self._post(place, dict(options), key or str(uuid.uuid4()))

    def export_state(self, export_id: str) -> Json:
        """See :meth:`Service.export_state`."""
        return self._get(_path("exports", export_id))

    def cancel_export(self, export_id: str) -> Json:
        """See :meth:`Service.cancel_export`."""
        return self._post(_path("exports", export_id, "cancel"))

    def bundle(self, export_id: str, path: Path) -> None:
        """See :meth:`Service.bundle`."""
        expected = self.export_state(export_id)["bundle_sha256"]
        self._connection.download(_path("exports", export_id, "bundle"), path)
        if digest_of_file(path) != expected:
            path.unlink()
            raise StorageError(f"the bundle of export {export_id} was damaged on the way", "try again")

    # Files

    def upload(self, path: Path) -> str:
        """See :meth:`Service.upload`."""
        announcement = {"sha256": digest_of_file(path), "size_bytes": path.stat().st_size}
        with path.open("rb") as file:
            for _ in range(_UPLOADS):
                progress = self._connection.send("POST", "artefacts", announcement)
                with suppress(NotFound):  # over: stored by the last part whose answer was lost, or given up
                    while progress["upload_id"] is not None:
                        file.seek(progress["received_bytes"])
                        progress = self._connection.send_part(
                            f"uploads/{progress['upload_id']}", file.read(PART_BYTES), progress["received_bytes"]
                        )
                    return str(announcement["sha256"])
        raise StorageError(f"file {path} could not be sent", "try again")

    # Devices

    def devices(self, *, revoked: bool = False) -> Json:
        """See :meth:`Service.devices`."""
        return self._get("devices", **({"revoked": "true"} if revoked else {}))

    def device(self, device: str) -> Json:
        """See :meth:`Service.device`."""
        return self._get(_path("devices", device))

    def capability(self, device: str) -> Json:
        """See :meth:`Service.capability`."""
        return self._get(_path("devices", device, "capability"))

    def workers(self) -> Json:
        """See :meth:`Service.workers`."""
        return self._get("workers")

    def _get(self, path: str, **query: Any) -> Json:
        return self._connection.get(path, {key: value for key, value in query.items() if value is not None})

    def _post(self, path: str, body: Json | None = None, key: str | None = None) -> Json:
        return self._connection.send("POST", path, body, key)


def _path(*parts: str) -> str:
    return "/".join(quote(part, safe="") or "%20" for part in parts)
