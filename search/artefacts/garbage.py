"""What nobody needs any more: files that no job names, uploads that stopped, files that can be built again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from hwprofiles.errors import NotFound, StorageError
from hwprofiles.folders import data_folder
from search.artefacts.job_folders import KEPT_S, remove_unused
from search.artefacts.limits import AGENT_IDLE_S, GRACE_S, UPLOAD_IDLE_S, keep_days
from search.artefacts.store import ArtefactStore, artefacts_url
from search.artefacts.uploads import Uploads
from search.store import JobRow, Json, Store


@dataclass(frozen=True)
class Garbage:
    """A thing that is removed, or would be."""

    kind: str
    """``artefact``, ``agent_file``, ``upload``, ``candidate`` or ``job_folder``."""
    name: str
    size_bytes: int


def collect_garbage(store: Store, *, dry_run: bool = False, agent_idle_s: float = AGENT_IDLE_S) -> list[Garbage]:
    """Removes what nobody needs, and returns it; ``dry_run`` only returns it.

    - An artefact goes that no job names and nobody has used for :data:`GRACE_S`; its user may send it again.
    - An agent's file goes that no open request needs and that was not used for ``agent_idle_s``.
    - An upload goes of which nothing has arrived for :data:`UPLOAD_IDLE_S`.
    - Of a job that ended ``PARETUNE_KEEP_DAYS`` ago, the files of candidates go that are on none of its fronts; they
      can be built again. What is in the database stays.
    - On this node, folders of jobs' files go that no process has asked for for two weeks.

    Whatever belongs to other databases in the same folders stays, except files for agents and uploads as old as these.
    Raises :class:`StorageError` for what cannot be read or removed; what was removed before is removed then.
    """
    garbage = [*_artefacts(store, dry_run), *_agent_files(store, agent_idle_s, dry_run)]
    uploads = Uploads(store, ArtefactStore()).remove_idle(UPLOAD_IDLE_S, dry_run=dry_run)
    garbage += [Garbage("upload", upload_id, size_bytes) for upload_id, size_bytes in uploads.items()]
    try:
        garbage += _candidates(store, dry_run)
        garbage += [Garbage("job_folder", path.name, 0) for path in remove_unused(KEPT_S, dry_run=dry_run)]
    except OSError as error:
        raise StorageError(f"{error.filename} cannot be removed: {error.strerror}", "check its mode") from None
    return garbage


def _artefacts(store: Store, dry_run: bool) -> Iterator[Garbage]:
    artefacts, idle, needed = ArtefactStore(), store.artefacts.idle(GRACE_S), store.artefacts.needed()
    for sha256 in sorted(idle.keys() - needed):
        if dry_run or store.artefacts.drop(sha256, GRACE_S, partial(artefacts.delete, sha256)):
            yield Garbage("artefact", sha256, idle[sha256])


def _agent_files(store: Store, idle_s: float, dry_run: bool) -> Iterator[Garbage]:
    artefacts, needed = ArtefactStore(artefacts_url("agents")), store.requests.files()
    before = time.time() - idle_s
    for stored in list(artefacts.all()):
        if stored.sha256 not in needed and stored.changed_at < before:
            if not dry_run:
                artefacts.delete(stored.sha256)
            yield Garbage("agent_file", stored.sha256, stored.size_bytes)


def _candidates(store: Store, dry_run: bool) -> Iterator[Garbage]:
    before = datetime.now(UTC) - timedelta(days=keep_days())
    for folder in sorted((data_folder() / "jobs").glob("*")):
        job = _job_of(store, folder)
        if job is None or not job.state.ended or job.finished_at is None or job.finished_at > before:
            continue
        members = {store.trials.get(member).digest for member in _members_of(store.fronts.get(job.job_id) or {})}
        for path in sorted(folder.glob("*.onnx")):
            if path.stem not in members:
                garbage = Garbage("candidate", f"{folder.name}/{path.name}", path.stat().st_size)
                if not dry_run:
                    path.unlink(missing_ok=True)
                yield garbage


def _job_of(store: Store, folder: Path) -> JobRow | None:
    """Returns the job whose folder this is; None if it is not in this database."""
    try:
        job = store.jobs.get(folder.name)
    except NotFound:
        return None
    return job if job.job_id == folder.name else None


def _members_of(front: Json) -> set[str]:
    """Returns the candidates that are on some front of a stored document."""
    fronts = [front, *front.get("fronts", {}).values(), front.get("joint", {})]
    return {member for document in fronts for member in document.get("members", ())}
