"""The store: one database, and its parts."""

from __future__ import annotations

from typing import Self

from hwprofiles.errors import ParetuneError
from search.store.agents import Agents
from search.store.artefacts import Artefacts
from search.store.audit import Audit
from search.store.counts import Counts
from search.store.devices import Devices
from search.store.engine import open_engine, url_of
from search.store.export_requests import ExportRequests
from search.store.exports import Exports
from search.store.fronts import FrontVersions
from search.store.jobs import Jobs
from search.store.logs import Logs
from search.store.projects import Projects
from search.store.queue import Queue
from search.store.requests import Requests
from search.store.sessions import Sessions
from search.store.tokens import Tokens
from search.store.transactions import Transactions
from search.store.trials import Trials
from search.store.upgrade import prepare
from search.store.users import Users
from search.store.waiting import Waiting
from search.store.workers import Workers


class Store:
    """A database of jobs, devices and requests; each part has its methods.

    Each method of a part is a transaction: atomic, and durable when it returns. Safe for several threads, and for
    several processes, each of which opens its own from the URL. Writers of a job pass their :class:`Lease`; a stale one
    raises :class:`StaleLease` and nothing is written. Raises :class:`hwprofiles.errors.StorageError` for a database
    that cannot be reached, read or written, :class:`hwprofiles.errors.NotFound` for what does not exist.
    Listings have a fixed order; JSON values keep the order of their keys; NaN and infinities are refused.

    Ids are complete, except where a parameter is called ``id_or_prefix``.
    """

    def __init__(self, url: str) -> None:
        """Opens the database at an SQLAlchemy ``url``; creates an SQLite file that is missing or empty.

        Raises :class:`InvalidInput` for a URL that cannot be used, :class:`StorageError` for a database that cannot be
        read or whose schema is not that of this version (``paretune db upgrade`` upgrades an older one).
        """
        self._engine = open_engine(url)
        transactions = Transactions(self._engine)
        self.jobs = Jobs(transactions)
        """Jobs, their states and leases."""
        self.queue = Queue(transactions)
        """Which job a worker runs next, and what users ask of jobs."""
        self.waiting = Waiting(transactions)
        """Why queued jobs wait."""
        self.workers = Workers(transactions)
        """Workers that run queued jobs."""
        self.counts = Counts(transactions)
        """How much there is of what."""
        self.logs = Logs(transactions)
        """Lines of jobs' logs."""
        self.trials = Trials(transactions)
        """Candidates of jobs, with results and measurements."""
        self.fronts = FrontVersions(transactions)
        """Versions of jobs' fronts."""
        self.exports = Exports(transactions)
        """Exports of candidates."""
        self.export_requests = ExportRequests(transactions)
        """Exports that workers are asked for."""
        self.devices = Devices(transactions)
        """Devices, their profiles and capabilities."""
        self.agents = Agents(transactions)
        """Agents of remote devices, and their tokens."""
        self.requests = Requests(transactions)
        """Measurement requests to remote devices."""
        self.artefacts = Artefacts(transactions)
        """Users' files in the artefact store, and their uploads."""
        self.users = Users(transactions)
        """Users of a server."""
        self.tokens = Tokens(transactions)
        """API tokens of users."""
        self.sessions = Sessions(transactions)
        """Users at browsers."""
        self.projects = Projects(transactions)
        """Projects and their members."""
        self.audit = Audit(transactions)
        """Who did what."""
        try:
            prepare(self._engine)
        except ParetuneError:
            self.close()
            raise

    @property
    def url(self) -> str:
        """The URL by which another process of this machine opens the same database; includes the password."""
        return url_of(self._engine)

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
