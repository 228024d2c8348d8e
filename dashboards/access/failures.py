"""Wrong tokens by address: whoever sends many is refused for a while."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict, deque

from hwprofiles.errors import ParetuneError

MOST = 30
"""Wrong tokens that an address may send within :data:`WINDOW_S`."""
WINDOW_S = 60.0
_MOST_ADDRESSES = 10_000


class TooManyFailures(ParetuneError):
    """Raised for an address that sent too many wrong tokens."""

    def __init__(self, wait_s: int) -> None:
        super().__init__("too many wrong tokens from your address", f"try again in {wait_s} s")
        self.wait_s = wait_s


class Failures:
    """The wrong tokens of each address in the last minute, in this process's memory. Safe for several threads."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, address: str | None) -> None:
        """Raises :class:`TooManyFailures` for an address that sent too many."""
        with self._lock:
            times = self._times.get(_network(address), deque())
            while times and times[0] < time.monotonic() - WINDOW_S:
                times.popleft()
            if len(times) >= MOST:
                raise TooManyFailures(1 + int(times[0] + WINDOW_S - time.monotonic()))

    def note(self, address: str | None) -> None:
        """Counts a wrong token."""
        with self._lock:
            self._times.setdefault(_network(address), deque()).append(time.monotonic())
            self._times.move_to_end(_network(address))
            if len(self._times) > _MOST_ADDRESSES:
                self._times.popitem(last=False)


def _network(address: str | None) -> str:
    """Returns what is counted together: an IPv4 address, the network of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    return str(parsed if parsed.version == 4 else ipaddress.ip_network((parsed, 64), strict=False))
