"""The service of a database, for whoever asks."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dashboards.access.identity import LOCAL, Action, Identity
from dashboards.documents.candidates import candidate_document
from dashboards.documents.capability import capability_document
from dashboards.documents.devices import device_document, devices_document
from dashboards.documents.exports import export_document
from dashboards.documents.front import front_document
from dashboards.documents.jobs import status_of, with_waiting
from dashboards.documents.layers import layers_document
from dashboards.documents.learning import learning_document
from dashboards.documents.logs import logs_document
from dashboards.documents.report import JobReport
from dashboards.documents.reports import Reports
from dashboards.documents.trials import candidates_document
from dashboards.documents.workers import workers_document
from dashboards.service.base import LINES, LONGEST_PAGE, PAGE, Service
from dashboards.service.exporting import ExportOptions
from dashboards.service.resolving import resolve
from dashboards.service.submission import Submission, SubmittedOptions
from dashboards.words import Json
from dashboards.words.query import InvalidQuery
from hwprofiles.errors import InvalidInput, NotAllowed, NotFound
from hwprofiles.suggestions import nearest
from search.artefacts.owned import OwnedArtefacts
from search.artefacts.store import ArtefactStore
from search.controller.open_results import has_open_results
from search.controller.submission import store_job
from search.devices.lookup import DeviceRegistry
from search.export.real_device import check_real
from search.folders import remove_job_folder
from search.options import validate_options
from search.permissions import DEFAULT_PROJECT, Scope
from search.states import ExportState, JobRequest, JobState
from search.store import ExportRow, JobFilters, JobRow, JobVersion, Sight, Store, TrialRow, digests_of
from search.store import Submission as StoredSubmission
from search.store.export_requests import no_export
from search.store.lookup import no_candidate, no_job

FILTERS = ("state", "user", "project", "name", "device")


class LocalService(Service):
    """The service over a store, as ``identity`` may use it; a server makes one for each request."""

    def __init__(
        self, store: Store, identity: Identity = LOCAL, reports: Reports | None = None, *, trusted: bool = True
    ) -> None:
        """``reports`` are shared by all services of a server; the caller closes the store.

        Only who is ``trusted``, the user of this machine at its command line, may submit code.
        """
        self._store, self._identity, self._trusted = store, identity, trusted
        self._reports = reports or Reports(store)
        self._artefacts = ArtefactStore()
        self._own_files = OwnedArtefacts(store, identity.user, self._artefacts)
        self._sight = Sight(None if identity.admin else identity.user, identity.projects, identity.only_project)

    # Jobs

    def submit(self, submission: Json, key: str | None = None) -> Json:
        """See :meth:`Service.submit`."""
        return self._queue(submission, key, Path())

    def _queue(self, submission: Json, key: str | None, folder: Path) -> Json:
        """Queues a job whose paths start from ``folder``, unless it has files."""
        self._identity.require_scope(Scope.SUBMIT)
        checked = validate_options(Submission, submission, "submission")
        project = checked.project or self._identity.only_project or DEFAULT_PROJECT
        if not self._identity.may_submit_to(project):
            raise NotAllowed(f"{self._identity.user} may not submit to project {project!r}", "ask one of its owners")
        if project != DEFAULT_PROJECT and project not in (names := [row.name for row in self._store.projects.all()]):
            raise InvalidInput(f"submission.project: there is no project {project!r}", nearest(project, names))
        _check_key(key)
        after = tuple(self._job(job, Action.SEE).job_id for job in checked.after)
        checked.check()
        target = resolve(checked, self._own_files, folder, self._store.url, trusted=self._trusted)
        queued = StoredSubmission(
            self._identity.user, project, checked.priority, key, dict(checked.files) or None, after
        )
        job_id = store_job(self._store, target.job, target.folder, queued)
        return self._status(job_id) | {"plan": target.plan}

    def jobs(self, filters: Mapping[str, str] = {}, *, limit: int = PAGE, cursor: str | None = None) -> Json:
        """See :meth:`Service.jobs`."""
        self._identity.require_scope(Scope.READ)
        unknown = next((name for name in filters if name not in FILTERS), None)
        if unknown is not None:
            raise InvalidQuery(f"jobs cannot be filtered by {unknown!r}", nearest(unknown, FILTERS))
        chosen: dict[str, Any] = dict(filters)
        if "state" in filters:
            chosen["state"] = _state(filters["state"])
        ids = self._store.jobs.page(JobFilters(**chosen, sight=self._sight), _limit(limit) + 1, cursor)
        page = ids[:limit]
        documents = copy.deepcopy(with_waiting(self._store, self._reports.listed(page)))  # they are cached
        return {"jobs": documents, "next": page[-1] if len(ids) > limit else None}

    def job(self, job: str) -> Json:
        """See :meth:`Service.job`."""
        return self._status(self._job(job, Action.SEE).job_id)

    def front(self, job: str, *, device: str | None = None, version: int | None = None) -> Json:
        """See :meth:`Service.front`."""
        row = self._job(job, Action.SEE)
        if version is None:
            report = self._reports.read(row.job_id)
        else:
            report = JobReport.of(self._store, row, version=version)
            if report.stored_front is None:
                raise NotFound(f"the front of job {row.job_id} has no version {version}", "they are counted from 1")
        return front_document(self._store, row.job_id, device, report)

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
        report = self._reports.read(self._job(job, Action.SEE).job_id)
        limit = None if limit is None else _limit(limit)
        return candidates_document(self._store, report, device, state, sort, limit, cursor)

    def candidate(self, candidate: str) -> Json:
        """See :meth:`Service.candidate`."""
        return candidate_document(self._store, self._candidate(candidate, Action.SEE).candidate_id)

    def layers(self, job: str) -> Json:
        """See :meth:`Service.layers`."""
        return layers_document(self._store, self._job(job, Action.SEE).job_id)

    def learning(self, job: str) -> Json:
        """See :meth:`Service.learning`."""
        return learning_document(self._job(job, Action.SEE))

    def logs(self, job: str, *, after: int = 0, limit: int = LINES) -> Json:
        """See :meth:`Service.logs`."""
        job_id = self._job(job, Action.SEE).job_id
        return logs_document(job_id, self._store.logs.of_job(job_id, after, _limit(limit)))

    def cancel(self, job: str) -> Json:
        """See :meth:`Service.cancel`."""
        return self._ask(job, JobRequest.CANCEL)

    def pause(self, job: str) -> Json:
        """See :meth:`Service.pause`."""
        return self._ask(job, JobRequest.PAUSE)

    def resume(self, job: str) -> Json:
        """See :meth:`Service.resume`."""
        row = self._job(job, Action.CHANGE)
        is_over = row.state is JobState.DONE and not has_open_results(self._store, row.job_id)
        if row.state is not JobState.QUEUED and not is_over:
            self._store.queue.resume(row.job_id)
        return self._status(row.job_id)

    def delete(self, job: str) -> None:
        """See :meth:`Service.delete`."""
        job_id = self._job(job, Action.CHANGE).job_id
        self._store.jobs.delete(job_id)
        remove_job_folder(job_id)

    def clone(self, job: str, options: Mapping[str, Any] = {}, key: str | None = None) -> Json:
        """See :meth:`Service.clone`."""
        row = self._job(job, Action.SEE)
        validate_options(SubmittedOptions, options, "options")
        place: Json = {} if row.files is None else {"files": row.files}
        self._own_files.share((row.files or {}).values())
        submission = {"job": row.spec, "options": options, "project": row.project, "priority": row.priority, **place}
        return self._queue(submission, key, Path(row.spec_folder))

    def version(self, job: str) -> JobVersion:
        """Returns the version of a job that they may see; it changes whenever the job does."""
        self._identity.require_scope(Scope.READ)
        return self._store.jobs.version(job, self._sight)

    def report(self, job: str) -> JobReport:
        """Returns everything that is stored of a job, for the pages."""
        return self._reports.read(self._job(job, Action.SEE).job_id)

    # Exports

    def export(self, candidate: str, options: Mapping[str, Any] = {}, key: str | None = None) -> Json:
        """See :meth:`Service.export`."""
        row = self._candidate(candidate, Action.CHANGE)
        checked = validate_options(ExportOptions, options, "options")
        _check_key(key)
        if not row.state.measured:
            raise InvalidInput(
                f"candidate {row.candidate_id} is {row.state} and cannot be exported", "pick one from: paretune front"
            )
        job = self._store.jobs.get(row.job_id)
        digests, label = digests_of(job), checked.device or job.device
        measured_on = self._store.devices.profile(digests[label]) if label in digests else None
        check_real(row.candidate_id, measured_on or DeviceRegistry(self._store).find(label))
        export_id = self._store.export_requests.add(
            row.candidate_id, checked.model_dump(mode="json"), self._identity.user, key
        )
        return export_document(self._store.export_requests.get(export_id))

    def export_state(self, export_id: str) -> Json:
        """See :meth:`Service.export_state`."""
        return export_document(self._export(export_id, Action.SEE))

    def cancel_export(self, export_id: str) -> Json:
        """See :meth:`Service.cancel_export`."""
        self._store.export_requests.cancel(self._export(export_id, Action.CHANGE).export_id)
        return self.export_state(export_id)

    def bundle(self, export_id: str, path: Path) -> None:
        """See :meth:`Service.bundle`."""
        shutil.copyfile(self.bundle_file(export_id), path)

    def bundle_file(self, export_id: str) -> Path:
        """Returns the zip file of an export that is done, on this machine."""
        row = self._export(export_id, Action.SEE)
        if row.state is not ExportState.DONE or row.bundle_sha256 is None:
            raise InvalidInput(f"export {export_id} is {row.state}", "wait until it is done")
        return self._artefacts.fetch(row.bundle_sha256)

    # Files

    def upload(self, path: Path) -> str:
        """See :meth:`Service.upload`."""
        self._identity.require_scope(Scope.SUBMIT)
        return self._own_files.put(path).sha256

    # Devices

    def devices(self, *, revoked: bool = False) -> Json:
        """See :meth:`Service.devices`."""
        self._identity.require_scope(Scope.READ)
        return devices_document(self._store, revoked=revoked)

    def device(self, device: str) -> Json:
        """See :meth:`Service.device`."""
        self._identity.require_scope(Scope.READ)
        return device_document(device, self._store)

    def capability(self, device: str) -> Json:
        """See :meth:`Service.capability`."""
        self._identity.require_scope(Scope.READ)
        return capability_document(self._store, device)

    def workers(self) -> Json:
        """See :meth:`Service.workers`."""
        self._identity.require_scope(Scope.READ)
        return workers_document(self._store)

    # What they may

    def _job(self, text: str, action: Action) -> JobRow:
        """Returns a job with which they may do this; raises :class:`NotFound` for one that is not theirs to see."""
        row = self._store.jobs.get(text, self._sight)
        self._identity.require(action, row, no_job(text))
        return row

    def _candidate(self, text: str, action: Action) -> TrialRow:
        row = self._store.trials.get(text, self._sight)
        self._identity.require(action, self._store.jobs.get(row.job_id), no_candidate(text))
        return row

    def _export(self, export_id: str, action: Action) -> ExportRow:
        row = self._store.export_requests.get(export_id)
        self._identity.require(action, self._store.jobs.get(row.job_id), no_export(export_id))
        return row

    def _status(self, job_id: str) -> Json:
        return status_of(self._store, self._reports.read(job_id))

    def _ask(self, job: str, request: JobRequest) -> Json:
        job_id = self._job(job, Action.CHANGE).job_id
        self._store.queue.ask(job_id, request)
        return self._status(job_id)


def _state(text: str) -> JobState:
    try:
        return JobState(text)
    except ValueError:
        raise InvalidQuery(f"state: unknown state {text!r}", nearest(text, list(JobState))) from None


def _limit(limit: int) -> int:
    if not 1 <= limit <= LONGEST_PAGE:
        raise InvalidInput(f"limit: must be between 1 and {LONGEST_PAGE}, not {limit}", f"write: limit={PAGE}")
    return limit


def _check_key(key: str | None) -> None:
    if key is not None and not (1 <= len(key) <= 255 and key.isprintable()):
        raise InvalidInput("Idempotency-Key: must be up to 255 printable characters", "use a UUID")
