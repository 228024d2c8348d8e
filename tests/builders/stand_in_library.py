"""A shared library that holds names and nothing else, so that an extension module which links it can be imported.

The bindings of TensorRT can be installed without the library behind them. Their classes, methods and enumerations are
made when the module is imported, and for that the library's functions need only be there, not work.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Sequence
from pathlib import Path

_MACHINES = {"x86_64": 62, "aarch64": 183}
_ALIGN = 0x1000
_HEADER, _PROGRAM_HEADER, _SYMBOL = 64, 56, 24
_TAGS = 7  # hash, strings, symbols, size of the strings, size of a symbol, the own name, the end


def write_library(path: Path, names: Sequence[str]) -> None:
    """Writes a 64-bit ELF shared object, called as its file, that exports ``names``; calling one of them ends the
    process."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    own_name = len(strings)
    strings += path.name.encode() + b"\0"
    offsets = [1 + sum(len(earlier) + 1 for earlier in names[:i]) for i in range(len(names))]
    count = len(names) + 1

    hash_at = _HEADER + 2 * _PROGRAM_HEADER
    symbols_at = _aligned(hash_at + 4 * (3 + count))
    strings_at = symbols_at + _SYMBOL * count
    dynamic_at = _aligned(strings_at + len(strings))
    size = dynamic_at + 16 * _TAGS

    # One bucket whose chain goes through all symbols: slow to look up in, and short to write.
    table = struct.pack(f"<3I{count}I", 1, count, 1, 0, *range(2, count), 0)
    symbols = bytes(_SYMBOL) + b"".join(struct.pack("<IBBHQQ", at, 0x12, 0, 0xFFF1, 1, 0) for at in offsets)
    tags = ((4, hash_at), (5, strings_at), (6, symbols_at), (10, len(strings)), (11, _SYMBOL), (14, own_name), (0, 0))
    dynamic = b"".join(struct.pack("<qQ", *tag) for tag in tags)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, _MACHINES[platform.machine()], 1, 0, _HEADER, 0, 0, _HEADER,
        _PROGRAM_HEADER, 2, 0, 0, 0,
    )  # fmt: skip
    load = struct.pack("<IIQQQQQQ", 1, 6, 0, 0, 0, size, size, _ALIGN)
    about_dynamic = struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, dynamic_at, dynamic_at, len(dynamic), len(dynamic), 8)

    content = bytearray(size)
    for at, part in (
        (0, header + load + about_dynamic), (hash_at, table), (symbols_at, symbols), (strings_at, strings),
        (dynamic_at, dynamic),
    ):  # fmt: skip
        content[at : at + len(part)] = part
    path.write_bytes(content)


def _aligned(offset: int) -> int:
    return -(-offset // 16) * 16
