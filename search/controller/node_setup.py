"""What a trial's process on a node of a cluster needs of a job, and how it gets it there."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evaluators.devices.deadline import Deadline
from hwprofiles import digest_of_file
from hwprofiles.errors import InvalidInput, StorageError
from hwprofiles.folders import make_folder
from search.artefacts.backend import object_name
from search.artefacts.copying import link_or_copy, scratch_file
from search.artefacts.job_folders import materialise
from search.budget.allowance import Allowance
from search.devices.cluster.hub import NodeLink, cause_of
from search.devices.cluster.measuring import SHARED
from search.devices.cluster.nodes import unlike_versions
from search.folders import cache_folder
from search.job.facts import JobFacts
from search.outcome import TrialOutcome
from search.tasks.files import cached_files, task_files
from search.trials.activity import Notice
from search.trials.context import JobContext
from search.trials.earlier import Earlier
from search.trials.trial import TrialRunner

# isort: split
import ray


@dataclass(frozen=True)
class SharedFiles:
    """A job's files in the cluster's object store, by content: nothing depends on paths that machines share."""

    folder: Mapping[str, str]
    """SHA-256 of the files of the job's folder, by their names in it."""
    cache: Mapping[str, str]
    """SHA-256 of files that the preparation made, by their names in the cache folder."""
    contents: Mapping[str, ray.ObjectRef]
    """The files by SHA-256."""

    def fetch(self, sha256: str) -> Path:
        """Returns a file of this node with the content, among the copies that the node keeps; it is read-only."""
        path = cache_folder() / "artefacts" / object_name(sha256)
        try:
            if not path.exists() or digest_of_file(path) != sha256:
                with scratch_file(make_folder(path.parent)) as scratch:
                    scratch.write_bytes(ray.get(self.contents[sha256]))
                    if digest_of_file(scratch) != sha256:
                        raise StorageError(f"file {sha256[:12]} arrived with other content", "try again")
                    scratch.chmod(0o400)
                    scratch.replace(path)
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror}", "free some space on the node") from None
        return path

    def fill_cache(self) -> None:
        """Puts the files of the preparation into this node's cache folder, unless they are there."""
        for name, sha256 in self.cache.items():
            path = cache_folder() / name
            if not path.exists():
                with scratch_file(make_folder(path.parent)) as scratch:
                    link_or_copy(self.fetch(sha256), scratch)
                    scratch.replace(path)


def shared_files(context: JobContext, facts: JobFacts) -> SharedFiles:
    """Puts the files that a prepared job's trials need into the cluster's object store; none of a dry run."""
    if context.profile.is_dry_run:
        return SharedFiles({}, {}, {})
    task, folder, cache = context.job.task, Path(context.folder), cache_folder()
    names = task_files(task.name, task.options, folder) if context.files is None else context.files
    made = [facts.model_path, *cached_files(task.name, task.options)]
    contents: dict[str, ray.ObjectRef] = {}

    def put(path: Path) -> str:
        sha256 = digest_of_file(path)
        if sha256 not in contents:
            contents[sha256] = ray.put(path.read_bytes())
        return sha256

    return SharedFiles(
        {name: put(folder / name) for name in names}, {str(path.relative_to(cache)): put(path) for path in made},
        contents,
    )  # fmt: skip


@dataclass(frozen=True)
class NodeSetup:
    """What is sent to each trial's process on a node."""

    job_id: str
    link: NodeLink
    """The way to the job's devices from a node."""
    versions: Mapping[str, str]
    """Of the controller's machine."""
    files: SharedFiles

    def runner(self, context: JobContext, facts: JobFacts, allowance: Allowance) -> NodeRunner:
        """Makes the runner of this process; raises as :class:`NodeRunner` does."""
        return NodeRunner(self, context, facts, allowance)


class NodeRunner:
    """Runs a job's trials on a node of a cluster: as :class:`TrialRunner`, with the same results.

    Candidates' files go to the job's folder on the controller's machine. Owned by one process, closed by its owner.
    """

    def __init__(self, setup: NodeSetup, context: JobContext, facts: JobFacts, allowance: Allowance) -> None:
        """Raises :class:`InvalidInput` if this node has other versions than the controller's machine,
        :class:`StorageError` if the job's files cannot be written here."""
        if (unlike := unlike_versions(setup.versions)) is not None:
            raise InvalidInput(f"node {socket.gethostname()}: the controller has {unlike}", "install the same version")
        setup.files.fill_cache()
        SHARED.update(setup.files.contents)
        self._hub = setup.link.hub
        self._shift_s = ray.get(self._hub.now.remote()) - time.monotonic()
        self._scratch = make_folder(cache_folder() / "trials") / f"{setup.job_id}-{os.getpid()}"
        self._scratch.mkdir(exist_ok=True)
        folder = str(materialise(setup.files, setup.files.folder)) if setup.files.folder else context.folder
        self._runner = TrialRunner(
            replace(context, folder=folder, link=setup.link),
            replace(facts, model_path=cache_folder() / "models" / facts.model_path.name),
            self._scratch,
            allowance=replace(allowance, ends=self._here(allowance.ends)),
            notice=lambda _, digest: HubNotice(self._hub, digest),
        )

    def run(self, decisions: Mapping[str, str], digest: str, earlier: Earlier, ends: Deadline) -> TrialOutcome:
        """See :meth:`TrialRunner.run`; ``ends`` is on the controller's clock."""
        path = self._runner.path(digest)
        try:
            outcome = self._runner.run(decisions, digest, earlier, self._here(ends))
            if outcome.state.measured and path.exists():
                self._keep(path)
        finally:
            path.unlink(missing_ok=True)
        return outcome

    def _here(self, ends: Deadline) -> Deadline:
        """Returns a deadline on this machine's clock."""
        return Deadline(ends.ends_at - self._shift_s)

    def _keep(self, path: Path, name: str | None = None) -> None:
        try:
            ray.get(self._hub.keep.remote(name or path.name, path.read_bytes(), digest_of_file(path)))
        except ray.exceptions.RayError as error:
            raise cause_of(error) from None

    def close(self) -> None:
        """Ends the sandboxes; their log goes to the job's folder."""
        self._runner.close()
        log = self._scratch / "builder.log"
        with suppress(StorageError):
            if log.exists() and log.stat().st_size:
                self._keep(log, f"builder-{socket.gethostname()}-{os.getpid()}.log")
        shutil.rmtree(self._scratch, ignore_errors=True)


class HubNotice(Notice):
    """A notice of a trial on a node, kept by the job's hub for the controller to read."""

    def __init__(self, hub: ray.actor.ActorHandle, digest: str) -> None:
        super().__init__(Path(), digest)
        self._hub = hub

    def say(self, text: str) -> None:
        """See :meth:`Notice.say`."""
        self._hub.note.remote(self._path.name, text)

    def __exit__(self, *_: Any) -> None:
        self._hub.note.remote(self._path.name, None)
