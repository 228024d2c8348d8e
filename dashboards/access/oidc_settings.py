"""Which OpenID Connect provider knows users, and whom of them to let in: from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from hwprofiles.errors import InvalidInput

ISSUER, CLIENT_ID, CLIENT_SECRET = "PARETUNE_OIDC_ISSUER", "PARETUNE_OIDC_CLIENT_ID", "PARETUNE_OIDC_CLIENT_SECRET"
ALLOW, CLAIM, NAME = "PARETUNE_OIDC_ALLOW", "PARETUNE_OIDC_CLAIM", "PARETUNE_OIDC_NAME"


@dataclass(frozen=True)
class OidcSettings:
    """A provider, and whom to let in of those that it knows."""

    issuer: str
    """Its address, exactly as it calls itself; the document below ``.well-known/openid-configuration`` describes it."""
    client_id: str
    client_secret: str = field(repr=False)
    allow: tuple[str, ...]
    """Domains, complete names, and ``CLAIM=VALUE``; whoever one of them fits is let in."""
    claim: str = "email"
    """What users are called; an e-mail address must be verified."""
    name: str = ""
    """What the provider is called on the log-in page."""

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> OidcSettings | None:
        """Reads the settings; None if no provider is named. Raises :class:`InvalidInput` if some are missing."""
        if not environment.get(ISSUER):
            return None
        for variable in (CLIENT_ID, CLIENT_SECRET):
            if not environment.get(variable):
                raise InvalidInput(f"{variable} is missing", f"{ISSUER} needs it: the provider gives it to you")
        issuer = environment[ISSUER]
        parts = urlsplit(issuer)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"{ISSUER}: {issuer!r} is not an address", "write it like https://accounts.google.com")
        allow = tuple(item.strip().lower() for item in environment.get(ALLOW, "").split(",") if item.strip())
        if not allow:
            raise InvalidInput(
                f"{ALLOW} is missing: the provider may know the whole world",
                "name domains, e-mail addresses or claims, e.g. example.org,groups=vision",
            )
        name = environment.get(NAME) or parts.hostname
        claim = environment.get(CLAIM) or "email"
        return cls(issuer, environment[CLIENT_ID], environment[CLIENT_SECRET], allow, claim, name)
