"""The JSON documents in words, for people. Imports nothing large: a client of a server has only this much."""

from typing import Any

Json = dict[str, Any]
