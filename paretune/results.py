"""A job's front for Python: candidates as values, and tables and pictures in notebooks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dashboards.cli.console import ProgressBar, as_text
from dashboards.cli.exporting import check_verdict
from dashboards.cli.options import existing_store, print_report
from dashboards.documents.front import front_document
from dashboards.documents.trials import trials_document
from hwprofiles.errors import InvalidInput
from paretune.candidates import Candidate, baseline_of, fields_of
from paretune.hints import hints_shown

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """A job and its front, as they were when they were read; shows as a table, in a notebook also as a picture."""

    job_id: str
    db: str | None
    """URL of the database; None for the default one."""
    document: Json = field(repr=False)
    """The front's JSON document."""
    trials: Json = field(repr=False)
    """The JSON document of all candidates."""

    @property
    def name(self) -> str:
        """The job's name."""
        return str(self.document["name"])

    @property
    def state(self) -> str:
        """The job's state; ``done`` at the end of a search."""
        return str(self.document["state"])

    @property
    def answer(self) -> str | None:
        """What the best compromise gains and costs, in one sentence; None while nothing is known yet."""
        answer: str | None = self.document["answer"]
        return answer

    @property
    def front(self) -> list[Candidate]:
        """The members of the front; of a job on several devices, those of the first device."""
        return [Candidate(**fields_of(row)) for row in self.document["front"]]

    @property
    def baseline(self) -> Candidate:
        """The model itself, with its figures on the same device."""
        return baseline_of(self.document)

    @property
    def best(self) -> Candidate | None:
        """The member of the front that is the best compromise, never the model itself; None if there is no other."""
        named = self.document["best_compromise"]
        return next((member for member in self.front if member.candidate_id == named), None)

    @property
    def devices(self) -> list[str]:
        """The names of the job's devices."""
        return list(self.document.get("fronts", {self.document["device"]: None}))

    def on(self, device: str) -> Result:
        """The result on one of the job's devices."""
        return open(self.job_id, self.db, device=device)

    def to_dict(self) -> dict[str, Any]:
        """The front's JSON document, as ``paretune front --format json`` prints it."""
        return dict(self.document)

    @hints_shown()
    def export(
        self,
        candidate: Candidate | str | None,
        folder: str | os.PathLike[str],
        *,
        device: str | None = None,
        wait_quiet_s: float = 0.0,
        progress: bool = True,
    ) -> dict[str, Any]:
        """Writes a candidate's model with a receipt to a folder; return the receipt.

        Raises :class:`ParetuneError` if the file does not reproduce the measured result.
        """
        from search.export.export import export_candidate

        name = candidate.candidate_id if isinstance(candidate, Candidate) else candidate
        if name is None or name == "baseline":
            raise InvalidInput("the baseline is your own model", "export a member of result.front")
        with existing_store(self.db) as store, ProgressBar(shown=progress) as bar:
            receipt = export_candidate(
                store, name, Path(folder), device=device, wait_quiet_s=wait_quiet_s, progress=bar.say
            )
        check_verdict(receipt, Path(folder))
        return receipt

    def __str__(self) -> str:
        return as_text(lambda: print_report(self.to_dict()))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from dashboards.web.picture import front_fragment

        return front_fragment(self.document, self.trials)


@hints_shown()
def open(job: str, db: str | None = None, *, device: str | None = None) -> Result:
    """Reads the result of a job by its id, a prefix of it, or its name; on one of its devices if ``device`` is
    given."""
    with existing_store(db) as store:
        document = front_document(store, job, device)
        return Result(document["job_id"], db, document, trials_document(store, document["job_id"], device))
