"""Network addresses."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Returns whether ``host`` is this machine's loopback: ``localhost`` or a loopback address.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("example.org")
    (True, True, False)
    """
    return host == "localhost" or is_loopback_address(host)


def is_loopback_address(address: str) -> bool:
    """Returns whether ``address`` is a loopback IP address; False for anything that is no IP address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
