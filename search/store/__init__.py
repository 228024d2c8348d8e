"""The store: the database of jobs, candidates, measurements and devices, and the queue of both.

The rest of Paretune uses :class:`Store` only; SQLAlchemy stays in this package. Returned rows are frozen data.
Databases are SQLite files (made and upgraded on first use) or PostgreSQL (prepared by ``paretune db upgrade``);
:func:`upgrade` brings either to the schema of this version.
"""

from search.store.engine import database_exists
from search.store.errors import JobBusy, StaleLease
from search.store.export_requests import ExportLease, ExportRow
from search.store.job_filters import JobFilters
from search.store.owner import is_orphan, this_process
from search.store.rows import JobRow, Json, Lease, Submission, TrialRow, digests_of
from search.store.sight import EVERYTHING, Sight
from search.store.store import Store
from search.store.trials import candidate_id_of
from search.store.upgrade import upgrade
from search.store.versions import JobVersion

__all__ = [
    "EVERYTHING", "ExportLease", "ExportRow", "JobBusy", "JobFilters", "JobRow", "JobVersion", "Json", "Lease", "Sight",
    "StaleLease", "Store", "Submission", "TrialRow", "candidate_id_of", "database_exists", "digests_of", "is_orphan",
    "this_process", "upgrade",
]  # fmt: skip
