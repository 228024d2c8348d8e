"""Network addresses."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's loopback, by its usual name or by address.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("example.org")
    (True, True, False)
    """
    return host == "localhost" or is_loopback_address(host)


def is_loopback_address(address: str) -> bool:
    """As :func:`is_loopback`, where a name is no address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
