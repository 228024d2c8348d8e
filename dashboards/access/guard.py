"""The guard of a server: says who asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from starlette.requests import HTTPConnection

from dashboards.access.credentials import address_of, bearer_of, cookie_of
from dashboards.access.failures import Failures
from dashboards.access.identity import LOCAL, Identity, identity_of
from dashboards.access.settings import AccessSettings, host_of
from hwprofiles.addresses import is_loopback, is_loopback_address
from hwprofiles.errors import NotAllowed
from search.permissions import Grant
from search.store import Store, secret

T = TypeVar("T")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
"""Headers by which a proxy says that it is between."""
_DEVICE_TOKEN = "make one with: paretune devices token NAME"
_SIGN_IN = "sign in with: paretune login URL; or set PARETUNE_TOKEN, sent in the header: Authorization: Bearer TOKEN"
_FIRST_USER = "add a user: paretune users add NAME; then: paretune tokens create --user NAME --scopes read,submit"
_MOST_PROVEN = 10_000


class NotSignedIn(NotAllowed):
    """Raised for a request that does not say who sends it, or not truly."""

    def __init__(self, message: str, hint: str, *, wrong_token: bool = False) -> None:
        super().__init__(message, hint)
        self.wrong_token = wrong_token


class Guard:
    """Says who sends a request, over one store. Safe for several threads.

    Nothing is remembered of valid tokens but that they were: what is revoked is refused at once.
    """

    def __init__(self, store: Store, settings: AccessSettings) -> None:
        self.settings = settings
        self._store = store
        self._failures = Failures()
        self._proven: set[str] = set()

    def identify(self, request: HTTPConnection) -> Identity:
        """Returns who sends a request: by its token, else by its session, else :data:`LOCAL` on an open server.

        Raises :class:`NotSignedIn`, and :class:`TooManyFailures` where many wrong tokens come from.
        """
        token, cookie = bearer_of(request), cookie_of(request)
        if token:
            return identity_of(self.grant(request, token))
        grant = self._store.sessions.grant(cookie) if cookie else None
        if grant is not None:
            return identity_of(grant)
        if self.is_open(request):
            return LOCAL
        raise NotSignedIn("this server wants to know who asks", _SIGN_IN if self._has_users() else _FIRST_USER)

    def grant(self, request: HTTPConnection, token: str) -> Grant:
        """Returns what an API token allows; raises as :meth:`identify`."""
        return self._look_up(request, token, self._store.tokens.grant, _SIGN_IN)

    def device_of(self, request: HTTPConnection) -> str:
        """Returns the device whose agent sends a request, by its token; raises as :meth:`identify`."""
        return self._look_up(request, bearer_of(request), self._store.agents.device_of, _DEVICE_TOKEN)

    def _look_up(self, request: HTTPConnection, token: str, look_up: Callable[[str], T | None], hint: str) -> T:
        """Looks a token up; counts a wrong one against its address, and notes it in the audit log."""
        wrong = NotSignedIn("the token is missing, unknown or revoked, or has expired", hint, wrong_token=bool(token))
        if not token:
            raise wrong
        address, sha256 = address_of(request), secret.hash_of(token)
        if sha256 not in self._proven:
            self._failures.check(address)
        owner = look_up(token)
        if owner is None:
            self._proven.discard(sha256)
            self._failures.note(address)
            action = f"{request.scope['method']} {request.url.path}"
            self._store.audit.add(None, action, address=address, outcome="wrong token")
            raise wrong
        if len(self._proven) < _MOST_PROVEN:
            self._proven.add(sha256)
        return owner

    def is_open(self, request: HTTPConnection) -> bool:
        """Returns whether everything is allowed to a request that says nothing of who sends it.

        It came from this machine, directly, to a server on the loopback that has no users.
        """
        address = address_of(request)
        directly = (
            address is not None
            and is_loopback_address(address)
            and is_loopback(host_of(request.headers.get("host", "")))
            and not any(name in request.headers for name in _FORWARDED)
        )
        return self.settings.is_open and directly and not self._has_users()

    def _has_users(self) -> bool:
        return self._store.users.exist()
