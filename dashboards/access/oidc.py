"""Signing in through an OpenID Connect provider, by Authlib: the code flow with PKCE, state and nonce.

What the flow has to remember lies in a short-lived cookie of the browser, so that any server finishes it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from dashboards.access.credentials import over_tls
from dashboards.access.guard import NotSignedIn
from dashboards.access.oidc_settings import ISSUER, OidcSettings
from hwprofiles.errors import InvalidInput, ParetuneError, first_line
from hwprofiles.installed import install_command
from search.store import Store
from search.store.users import UserRow

CALLBACK = "/login/oidc/callback"

_COOKIE = "paretune-oidc"
_COOKIE_S = 600
_LONGEST_SUBJECT = 512
_AGAIN = "try again; if it stays, tell whoever runs this server"


class ProviderFailed(ParetuneError):
    """Raised for a provider that cannot be reached, or does not answer as it should."""


class OidcProvider:
    """The way to a provider and back."""

    def __init__(self, settings: OidcSettings) -> None:
        """Raises :class:`InvalidInput` if Authlib is not installed. Asks the provider nothing yet."""
        try:
            from authlib.integrations.starlette_client import OAuth
        except ModuleNotFoundError as error:
            raise InvalidInput(f"{ISSUER} needs the package {error.name!r}", install_command("oidc")) from None
        self.settings = settings
        self._client = OAuth().register(
            "provider",
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={"scope": "openid profile email", "code_challenge_method": "S256"},
        )

    async def lead_there(self, request: Request, next_path: str) -> Response:
        """Sends the browser to the provider, from where it comes back to :data:`CALLBACK`, then to ``next_path``."""
        memory = request.scope["session"] = {"next": next_path}
        here = f"{request.url.scheme}://{request.headers['host']}{CALLBACK}"
        answer: Response = await self._ask(self._client.authorize_redirect(request, here))
        text = base64.urlsafe_b64encode(json.dumps(memory).encode()).decode()
        answer.set_cookie(
            _COOKIE, text, max_age=_COOKIE_S, path=CALLBACK, secure=over_tls(request), httponly=True, samesite="lax"
        )
        return answer

    async def take_back(self, request: Request) -> tuple[dict[str, Any], str]:
        """Returns what the provider says of whoever comes back, checked, and the path to go on to.

        Raises :class:`NotSignedIn` for whoever the provider refuses, or who was never sent there, and
        :class:`ProviderFailed`.
        """
        memory = request.scope["session"] = _memory_of(request)
        next_path = str(memory.pop("next", "/"))
        must_be = {"iss": {"essential": True, "values": [self.settings.issuer]},
                   "aud": {"essential": True, "values": [self.settings.client_id]}}  # fmt: skip
        token = await self._ask(self._client.authorize_access_token(request, claims_options=must_be))
        claims = dict(token.get("userinfo") or {})
        if not claims.get("sub"):
            raise NotSignedIn("the provider did not say who you are", _AGAIN)
        if self.settings.claim not in claims:
            more = dict(await self._ask(self._client.userinfo(token=token)))
            claims |= more if more.get("sub") == claims["sub"] else {}
        return claims, next_path

    async def _ask(self, answer: Any) -> Any:
        from authlib.integrations.base_client import OAuthError
        from httpx2 import HTTPError
        from joserfc.errors import JoseError

        try:
            return await answer
        except (OAuthError, JoseError) as error:
            raise NotSignedIn(f"the provider refuses: {first_line(error)}", _AGAIN) from None
        except (HTTPError, ValueError, KeyError, RuntimeError) as error:
            raise ProviderFailed(f"{self.settings.name} does not answer: {first_line(error)}", _AGAIN) from error


def forget_flow(request: Request, answer: Response) -> None:
    """Takes the cookie of the flow from the browser."""
    answer.delete_cookie(_COOKIE, path=CALLBACK, secure=over_tls(request), httponly=True, samesite="lax")


def user_of(store: Store, settings: OidcSettings, claims: Mapping[str, Any]) -> UserRow:
    """Returns the user that a provider's claims stand for; adds them when they come for the first time.

    A user who was added before by their name is the one who first comes with it. Raises :class:`NotSignedIn` for anyone
    who is not let in.
    """
    name, subject = claims.get(settings.claim), f"{settings.issuer} {claims['sub']}"
    if not isinstance(name, str) or not name or len(subject) > _LONGEST_SUBJECT:
        raise NotSignedIn(f"the provider does not say your {settings.claim}", _AGAIN)
    if settings.claim == "email" and claims.get("email_verified") not in (True, "true"):
        raise NotSignedIn(f"the provider has not verified your e-mail address {name}", "verify it there")
    name = name.lower()
    if not _is_allowed(settings, name, claims):
        raise NotSignedIn(f"{name} may not use this server", "ask whoever runs it")
    user = store.users.by_subject(subject)
    if user is None:
        user = store.users.get(name) or store.users.add(name, subject=subject)
        if user.subject not in (None, subject):
            raise NotSignedIn(f"{name} is another account of the provider here", "ask whoever runs this server")
        store.users.set_subject(name, subject)
    if user.disabled_at is not None:
        raise NotSignedIn(f"{user.name} may not use this server any more", "ask whoever runs it")
    return user


def _is_allowed(settings: OidcSettings, name: str, claims: Mapping[str, Any]) -> bool:
    for rule in settings.allow:
        claim, equals, value = rule.partition("=")
        if equals:
            theirs = claims.get(claim)
            values = theirs if isinstance(theirs, list) else [theirs]
            if value in [str(item).lower() for item in values if item is not None]:
                return True
        elif rule == name or ("@" not in rule and name.endswith(f"@{rule}")):
            return True
    return False


def _memory_of(request: Request) -> dict[str, Any]:
    try:
        memory = json.loads(base64.urlsafe_b64decode(request.cookies.get(_COOKIE, "")))
        return memory if isinstance(memory, dict) else {}
    except ValueError:
        return {}
