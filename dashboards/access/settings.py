"""Who may reach a server, and how: from the environment and the address that it listens at."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dashboards.access.oidc_settings import OidcSettings
from hwprofiles.addresses import is_loopback
from hwprofiles.errors import InvalidInput

HOSTS, PROXIES = "PARETUNE_HOSTS", "PARETUNE_PROXIES"


@dataclass(frozen=True)
class AccessSettings:
    """Who may reach a server, and how."""

    host: str = "127.0.0.1"
    """The address that it listens at."""
    hosts: frozenset[str] = frozenset()
    """Names that it has, apart from the loopback's and the address that a request came to."""
    proxies: tuple[str, ...] = ()
    """Addresses and networks of reverse proxies, whose word about the client's address and TLS counts."""
    oidc: OidcSettings | None = None
    """The OpenID Connect provider that knows users too."""

    @classmethod
    def of(cls, host: str, environment: Mapping[str, str] = os.environ) -> AccessSettings:
        """Reads the settings of a server that listens at ``host``; raises :class:`InvalidInput` for mistakes."""
        hosts = frozenset(name.lower() for name in _items(environment, HOSTS))
        for name in hosts:
            if not name.isascii() or not name.strip("*/:@ ") or set(name) & set("*/@ ") or name.count(":") == 1:
                raise InvalidInput(
                    f"{HOSTS}: {name!r} is not the name of a host", "write names without https:// and port"
                )
        proxies = tuple(_items(environment, PROXIES))
        for proxy in proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError:
                raise InvalidInput(
                    f"{PROXIES}: {proxy!r} is neither an address nor a network", "write e.g. 127.0.0.1,10.0.0.0/24"
                ) from None
        return cls(host, hosts, proxies, OidcSettings.of(environment))

    @property
    def is_open(self) -> bool:
        """Whether it may answer this machine's programs without asking who they are."""
        return self.on_loopback and self.oidc is None

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine's programs reach it."""
        return is_loopback(self.host)

    def allows_host(self, header: str, address: str | None) -> bool:
        """Returns whether a ``Host`` header names this server; ``address`` is the one that the request came to.

        Checked against DNS rebinding: a foreign page could let its own name point here, to read what is served.

        >>> AccessSettings().allows_host("localhost:8700", None), AccessSettings().allows_host("example.org", None)
        (True, False)
        """
        name = host_of(header)
        return is_loopback(name) or name in self.hosts or (address is not None and _same_address(name, address))


def host_of(header: str) -> str:
    """Returns the host of a ``Host`` header, without its port.

    >>> host_of("Example.org:8700"), host_of("[::1]:8700")
    ('example.org', '::1')
    """
    name = header[1:].partition("]")[0] if header.startswith("[") else header.partition(":")[0]
    return name.lower()


def _same_address(name: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(name) == ipaddress.ip_address(address)
    except ValueError:
        return False


def _items(environment: Mapping[str, str], variable: str) -> Iterator[str]:
    return filter(None, map(str.strip, environment.get(variable, "").split(",")))
