"""The routes of remote devices' agents: register, lease, fetch files, and hand in results.

Requests are checked field by field: an agent is another machine, and its data is not trusted.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import threading
import time
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from dashboards.access.credentials import bearer_of
from dashboards.access.gate import DEVICE
from dashboards.api.problems import RequestRefused
from evaluators.devices.request import UNAVAILABLE, VERSION
from hwprofiles import Profile
from hwprofiles.errors import ParetuneError, transient_states
from search.devices.blobs import Blobs
from search.states import RequestState
from search.store import Store
from search.store.agents import AgentReplaced
from search.store.requests import LEASE_S, RequestRow, StaleRequest

Json = dict[str, Any]
log = logging.getLogger("paretune.agents")

AGENT_PATHS = "/api/v1/agent/"
HEARTBEAT_S = LEASE_S / 6
WAIT_S = 20.0
"""How long a lease request waits for an errand."""

MAX_BODY_BYTES = 64 * 2**10
MAX_RESULT_BYTES = 16 * 2**20
MAX_TEXT = 255
"""Most characters of a text in a profile."""

MAX_THREADS = 64
_BODY_S = 60.0
_LOOK_S = 0.2
_HINT = "install the same version of Paretune on both sides"


def agent_router(store: Store) -> APIRouter:
    """Returns all of ``/api/v1/agent`` over one store; every route requires a device's token."""
    router = APIRouter(prefix="/api/v1/agent", tags=["agent"])
    polls = _Polls(store)

    @router.post("/register", summary="An agent says what its device is")
    async def register(request: Request, device: str = DEVICE) -> Json:
        body = await _body(request, "instance", "version", "profile", "runtimes", "cores")
        if body["version"] != VERSION:
            raise RequestRefused(
                400, f"the agent speaks version {str(body['version'])[:40]!r}, the server {VERSION}", _HINT
            )
        profile, offer = _profile(body["profile"], device), _offer(body)
        instance = _instance(body)
        await run_in_threadpool(store.agents.register, device, bearer_of(request), instance, profile, offer)
        polls.end(instance)
        log.info("device %s: agent registered", device)
        return {"device": device, "profile_digest": profile.digest, "heartbeat_s": HEARTBEAT_S}

    @router.post("/lease", summary="The next errand, or 204 after a while without one", response_model=None)
    async def lease(request: Request, device: str = DEVICE) -> Json | Response:
        instance = _instance(await _body(request, "instance"))
        row = await polls.next_errand(device, instance, request)
        if row is None:
            return Response(status_code=204)
        return {"errand_id": row.errand_id, "epoch": row.epoch, "request": row.request}

    @router.get("/errands/{errand_id}/files/{sha256}", summary="A file of an errand", response_class=FileResponse)
    def file(errand_id: str, sha256: str, device: str = DEVICE) -> FileResponse:
        if sha256 not in store.requests.files_of_lease(device, errand_id):
            raise RequestRefused(404, f"device {device!r} holds no errand that needs this file", "lease it first")
        path = Blobs().find(sha256)
        if path is None:
            hint = "start the server with the same PARETUNE_HOME or PARETUNE_ARTEFACTS as the job"
            raise RequestRefused(404, "the file is not here", hint)
        return FileResponse(path, media_type="application/octet-stream")

    @router.post("/errands/{errand_id}/heartbeat", summary="Keeps a lease; says whether the result is still wanted")
    async def heartbeat(errand_id: str, request: Request, device: str = DEVICE) -> Json:
        body = await _body(request, "instance", "epoch")
        held = device, _instance(body), errand_id, _epoch(body)
        return {"wanted": await run_in_threadpool(store.requests.renew, *held)}

    @router.post("/errands/{errand_id}/result", summary="Hands in what came of an errand")
    async def result(errand_id: str, request: Request, device: str = DEVICE) -> Json:
        body = await _body(request, "instance", "epoch", "answer", max_bytes=MAX_RESULT_BYTES)
        held = device, _instance(body), errand_id, _epoch(body)
        state = _state_of(body["answer"])
        finish = partial(store.requests.finish, elsewhere=_may_differ(body["answer"]))
        await run_in_threadpool(finish, *held, state, body["answer"])
        return {"state": state}

    @router.post("/errands/{errand_id}/release", summary="Gives an errand back undone")
    async def release(errand_id: str, request: Request, device: str = DEVICE) -> Json:
        body = await _body(request, "instance", "epoch")
        await run_in_threadpool(store.requests.release, device, _instance(body), errand_id, _epoch(body))
        return {"state": RequestState.QUEUED}

    return router


def agent_problem(error: ParetuneError) -> int | None:
    """Returns the HTTP status of what the store says to an agent; None for any other error."""
    if isinstance(error, StaleRequest):
        return 409
    if isinstance(error, AgentReplaced):
        return 403
    return error.status if isinstance(error, RequestRefused) else None


class _Polls:
    """The waiting requests for an errand. Only an agent's newest request leases, while the agent is connected.

    An errand leased for an abandoned request would reach nobody, and end the lease of the agent at work.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._newest: dict[str, object] = {}
        self._leasing = asyncio.Lock()

    def end(self, instance: str) -> None:
        """Ends the waiting of an agent's request."""
        self._newest.pop(instance, None)

    async def next_errand(self, device: str, instance: str, request: Request) -> RequestRow | None:
        """Returns the next errand for an agent, waited for a while."""
        mine = self._newest[instance] = object()
        try:
            return await self._wait(device, instance, request, mine)
        finally:
            if self._newest.get(instance) is mine:
                del self._newest[instance]

    async def _wait(self, device: str, instance: str, request: Request, mine: object) -> RequestRow | None:
        stopping: threading.Event = request.app.state.stopping
        ends_at = time.monotonic() + WAIT_S
        while True:
            async with self._leasing:
                if self._newest.get(instance) is not mine or await request.is_disconnected():
                    return None
                row = await run_in_threadpool(self._store.requests.lease, device, instance)
            if row is not None or stopping.is_set() or time.monotonic() > ends_at:
                return row
            await asyncio.sleep(_LOOK_S)


async def _body(request: Request, *fields: str, max_bytes: int | None = None) -> Json:
    """Reads the JSON object of a request, with exactly these fields, within limits of size and time."""
    read, most = bytearray(), max_bytes or MAX_BODY_BYTES
    try:
        async with asyncio.timeout(_BODY_S):
            async for chunk in request.stream():
                read += chunk
                if len(read) > most:
                    raise RequestRefused(413, f"the request has more than {most} bytes", _HINT)
    except TimeoutError:
        raise RequestRefused(408, f"the request did not arrive within {_BODY_S:g} s", "try again") from None
    try:
        body = json.loads(read, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        raise RequestRefused(400, "the request holds no JSON", _HINT) from None
    if not isinstance(body, dict) or set(body) != set(fields):
        raise RequestRefused(400, f"the request must hold {', '.join(fields)}", _HINT)
    return body


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number")
    return number


def _instance(body: Json) -> str:
    instance = body["instance"]
    if not isinstance(instance, str) or not instance.isalnum() or len(instance) > 64:
        raise RequestRefused(400, "instance: must be up to 64 letters and digits", _HINT)
    return instance


def _epoch(body: Json) -> int:
    if type(body["epoch"]) is not int:
        raise RequestRefused(400, "epoch: must be a whole number", _HINT)
    return int(body["epoch"])


def _profile(data: Any, device: str) -> Profile:
    """Parses the profile that an agent sent; it must be the token's device, and one that measures."""
    try:
        profile = Profile.from_dict(data)
        fields = profile.to_dict()
        consistent = {**fields, **data} == fields  # an earlier version lacks newer fields
        numbers = profile.threads, profile.batch, profile.memory_bytes, *profile.cores
        plain = all(type(number) is int and number >= 0 for number in numbers)
        texts = profile.runtime, profile.runtime_version, profile.processor, profile.core_type
        named = all(isinstance(text, str) for text in texts)
        named = named and _short(data)
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError):
        consistent = plain = named = False
    if not (consistent and plain and named):
        raise RequestRefused(400, "the profile cannot be read", _HINT)
    if profile.device != device:
        raise RequestRefused(
            403, f"the token is for device {device!r}, not {str(profile.device)[:80]!r}", "name it with --device"
        )
    if not profile.agent or profile.simulated:
        raise RequestRefused(400, "the profile is not that of a device with an agent", _HINT)
    return profile


def _short(data: Any) -> bool:
    if isinstance(data, dict):
        return all(map(_short, data.values()))
    return all(map(_short, data)) if isinstance(data, list) else not isinstance(data, str) or len(data) <= MAX_TEXT


def _offer(body: Json) -> Json:
    """Parses the runtimes that an agent allows, and the cores that it uses with 1, 2, … threads."""
    runtimes, cores = body["runtimes"], body["cores"]
    if not isinstance(runtimes, list) or not all(isinstance(name, str) and len(name) <= 64 for name in runtimes):
        raise RequestRefused(400, "runtimes: must be names", _HINT)
    if not isinstance(cores, list) or not 1 <= len(cores) <= MAX_THREADS:
        raise RequestRefused(400, f"cores: must be those of 1 to {MAX_THREADS} threads", _HINT)
    for threads, ids in enumerate(cores, 1):
        if not isinstance(ids, list) or len(ids) != threads or not all(type(core) is int and core >= 0 for core in ids):
            raise RequestRefused(400, f"cores: must be {threads} for {threads} threads", _HINT)
    return {"runtimes": runtimes, "cores": cores}


def _state_of(answer: Any) -> RequestState:
    """Returns what an answer says of its errand. Its figures are looked at by whoever asked."""
    if (
        not isinstance(answer, dict)
        or len(answer) != 1
        or not set(answer) <= {"measurement", "peak_memory_bytes", "outputs", "error"}
    ):
        raise RequestRefused(400, "answer: must hold a measurement, a memory, outputs, or an error", _HINT)
    error = answer.get("error")
    if error is None:
        return RequestState.DONE
    if not isinstance(error, dict) or set(error) != {"state", "message", "hint"}:
        raise RequestRefused(400, "answer: an error must hold state, message and hint", _HINT)
    return RequestState.REFUSED if error["state"] == UNAVAILABLE else RequestState.FAILED


def _may_differ(answer: Json) -> bool:
    """Returns whether another board may answer otherwise: this one was disturbed, or could not measure."""
    return "error" in answer and answer["error"]["state"] in (UNAVAILABLE, *transient_states())
