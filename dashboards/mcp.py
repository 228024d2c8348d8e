"""Tools for coding agents, by the Model Context Protocol: what a service does, in documents short enough to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import metadata
from pathlib import Path
from typing import Any, ParamSpec

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from dashboards.service import Service
from dashboards.service.bundles import save_bundle
from dashboards.service.outgoing import read_submission
from dashboards.words import Json
from hwprofiles.errors import ParetuneError
from search.fronts.objectives import metric_value
from search.job.job_options import JobOptions
from search.states import ExportState

INSTRUCTIONS = """\
Paretune searches compressed versions of a trained model (ONNX) and measures each one on a device.
Submit a job, look at job_status until its state is done, read job_front, then export a candidate.
A job takes minutes to hours: do not wait for it in a tight loop."""

_READS = ToolAnnotations(read_only_hint=True)
_CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=False)
_DESTROYS = ToolAnnotations(read_only_hint=False, destructive_hint=True)
_LINES = 50
"""Lines of a log that are returned."""

P = ParamSpec("P")


def build_server(service: Service, *, local: bool) -> MCPServer:
    """Returns an MCP server whose tools are the verbs of a service; ``local`` is that of a database here.

    The service decides what is allowed: the tools may what its user, or their token, may.
    """
    server: MCPServer = MCPServer("paretune", instructions=INSTRUCTIONS, version=metadata.version("paretune"))
    _add_reading(server, service)
    _add_changing(server, service, local)
    _add_exporting(server, service)
    return server


def _add_reading(server: MCPServer, service: Service) -> None:
    @_tool(server, _READS)
    def list_jobs(state: str | None = None, project: str | None = None, limit: int = 20) -> Json:
        """List jobs, the newest first; state: queued, running, paused, cancelled, failed or done."""
        filters = {"state": state, "project": project}
        page = service.jobs({key: value for key, value in filters.items() if value is not None}, limit=limit)
        return {"jobs": [_job_of(job) for job in page["jobs"]], "more": page["next"] is not None}

    @_tool(server, _READS)
    def job_status(job: str) -> Json:
        """Show where a job stands. A job is an id, a prefix of it, a name or a short name."""
        return _job_of(service.job(job))

    @_tool(server, _READS)
    def job_front(job: str, device: str | None = None) -> Json:
        """Show a job's Pareto front: the versions of the model that no other one beats in every objective."""
        return _front_of(service.front(job, device=device))

    @_tool(server, _READS)
    def list_candidates(job: str, state: str | None = None, sort: str = "trial", limit: int = 20) -> Json:
        """List a job's candidates; state may be failed; sort by trial or a metric, -speedup for the fastest first."""
        page = service.candidates(job, state=state, sort=sort, limit=limit)
        keys = ("candidate_id", "trial", "state", "reason", "on_front", "values", "summary")
        rows = [{key: row[key] for key in keys} for row in page["trials"]]
        return {"job_id": page["job_id"], "candidates": rows, "more": page["next"] is not None}

    @_tool(server, _READS)
    def show_candidate(candidate: str) -> Json:
        """Show a candidate: its decisions, figures and what it changes. A candidate is an id or JOB/NUMBER."""
        document = service.candidate(candidate)
        keys = ("candidate_id", "job_id", "trial", "state", "reason", "on_front", "answer", "summary", "runtime",
                "decisions", "evidence")  # fmt: skip
        return {key: document[key] for key in keys} | {"metrics": _plain(document["metrics"])}

    @_tool(server, _READS)
    def job_log(job: str, after: int = 0) -> Json:
        """Read lines of a job's log, those after the line with the id last of an earlier answer."""
        return service.logs(job, after=after, limit=_LINES)

    @_tool(server, _READS)
    def list_devices() -> Json:
        """List the devices that a job can measure on, or be modelled for."""
        keys = ("device", "origin", "available", "reason", "title", "processor", "simulated")
        rows = [{key: row[key] for key in keys if row.get(key) is not None} for row in service.devices()["devices"]]
        return {"devices": rows}


def _add_changing(server: MCPServer, service: Service, local: bool) -> None:
    @_tool(server, _CHANGES)
    def submit_job(
        target: str,
        data: str | None = None,
        devices: Sequence[str] = (),
        objectives: Sequence[str] = (),
        constraints: Sequence[str] = (),
        minutes: float | None = None,
        trials: int | None = None,
        space: Sequence[str] = (),
        name: str | None = None,
        project: str | None = None,
        priority: int = 0,
        key: str | None = None,
    ) -> Json:
        """Submit a job: target is the path of an ONNX model or of a job file here, or a task's name.

        data: an .npz archive of samples for a model. objectives: metrics such as accuracy:max or size_bytes:min.
        constraints: such as 'accuracy >= baseline - 0.01'. A second submission with the same key makes no second job.
        """
        options = JobOptions(
            data=None if data is None else Path(data), devices=devices, objectives=objectives, constraints=constraints,
            space=space, minutes=minutes, trials=trials, name=name,
        )  # fmt: skip
        submission = read_submission(target, options, local=local)
        place = {"project": project, "priority": priority or None}
        submission.document.update({name: value for name, value in place.items() if value is not None})
        document = submission.send(service, key)
        return _job_of(document) | {"plan": document["plan"]}

    @_tool(server, _CHANGES)
    def clone_job(job: str, minutes: float | None = None, trials: int | None = None, seed: int | None = None) -> Json:
        """Submit a job like another one, with other limits or another seed."""
        options = {"minutes": minutes, "trials": trials, "seed": seed}
        return _job_of(service.clone(job, {key: value for key, value in options.items() if value is not None}))

    @_tool(server, _CHANGES)
    def pause_job(job: str) -> Json:
        """Stop a job until it is resumed; what is finished stays."""
        return _job_of(service.pause(job))

    @_tool(server, _CHANGES)
    def resume_job(job: str) -> Json:
        """Queue a job again that was paused, cancelled or has failed."""
        return _job_of(service.resume(job))

    @_tool(server, _DESTROYS)
    def cancel_job(job: str) -> Json:
        """End a job; what is finished stays."""
        return _job_of(service.cancel(job))

    @_tool(server, _DESTROYS)
    def delete_job(job: str) -> Json:
        """Remove a job that has ended, with all of its results."""
        service.delete(job)
        return {"deleted": job}


def _add_exporting(server: MCPServer, service: Service) -> None:
    @_tool(server, _CHANGES)
    def export_candidate(candidate: str, device: str | None = None, wait_quiet_s: float = 0.0) -> Json:
        """Ask a worker to build a candidate's file and to measure it again (minutes); then see export_status."""
        options = {"wait_quiet_s": wait_quiet_s, **({} if device is None else {"device": device})}
        return _export_of(service.export(candidate, options))

    @_tool(server, _READS)
    def export_status(export_id: str) -> Json:
        """Show the state of an export: queued, running, done, failed or cancelled."""
        return _export_of(service.export_state(export_id))

    @_tool(server, _DESTROYS)
    def cancel_export(export_id: str) -> Json:
        """End an export that is not done; nothing of it stays."""
        return _export_of(service.cancel_export(export_id))

    @_tool(server, _CHANGES)
    def save_export(export_id: str, folder: str) -> Json:
        """Write the model of an export that is done, with its manifest and receipt, to a new folder here."""
        document = service.export_state(export_id)
        if not ExportState(document["state"]).ended:
            raise ToolError(f"export {export_id} is {document['state']}; look at export_status until it is done")
        receipt = save_bundle(service, document, Path(folder))
        return {"folder": folder, "verdict": receipt["verdict"], "model_sha256": receipt["model_sha256"]}


def _tool(server: MCPServer, annotations: ToolAnnotations) -> Callable[[Callable[P, Json]], Callable[P, Json]]:
    """Adds a function as a tool, whose errors are answers that the agent reads."""

    def add(function: Callable[P, Json]) -> Callable[P, Json]:
        @wraps(function)
        def tool(*args: P.args, **kwargs: P.kwargs) -> Json:
            with _errors_told():
                return function(*args, **kwargs)

        server.add_tool(tool, annotations=annotations, structured_output=True)
        return tool

    return add


@contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except ParetuneError as error:
        raise ToolError("; ".join(filter(None, [error.message, error.hint]))) from None


def _job_of(document: Json) -> Json:
    keys = ("job_id", "name", "state", "requested", "waiting", "device", "submitted_by", "project", "answer",
            "front_size", "best_speedup", "error", "hint")  # fmt: skip
    progress = document["progress"]
    words = {key: progress[key] for key in ("finished", "planned", "time_left_s", "phase", "message")}
    return {key: document.get(key) for key in keys} | {"progress": words}


def _front_of(document: Json) -> Json:
    names = [objective["metric"] for objective in document["objectives"]]
    keys = ("candidate_id", "trial", "summary", "runtime", "confirmed", "like")
    members = [
        {key: row[key] for key in keys} | {"values": {name: metric_value(row["metrics"], name) for name in names}}
        for row in document["front"]
    ]
    head = ("job_id", "state", "device", "evidence", "answer", "best_compromise", "objectives", "constraints", "notes")
    baseline = {name: metric_value(document["baseline"]["metrics"], name) for name in names}
    miss = document["nearest_miss"] and document["nearest_miss"]["reason"]
    return {key: document[key] for key in head} | {"baseline": baseline, "front": members, "nearest_miss": miss}


def _export_of(document: Json) -> Json:
    keys = ("export_id", "candidate_id", "state", "doing", "error", "hint")
    receipt = document["receipt"] or {}
    return {key: document[key] for key in keys} | {"verdict": receipt.get("verdict")}


def _plain(metrics: Mapping[str, Any]) -> Json:
    """Returns the figures of a candidate as plain numbers."""
    values = {name: metric_value(metrics, name) for name in metrics}
    return {name: value for name, value in values.items() if value is not None}
