"""Memory that is no longer used goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from evaluators.processes.freed_memory import _function, give_back_memory

PROGRAM = """
import ctypes, psutil
from evaluators.processes.freed_memory import give_back_memory, give_large_blocks_back, without_leftovers
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
SIZE, COUNT = 4 * 2**20, 40

def resident():
    return psutil.Process().memory_info().rss

def leftovers(give_back):
    before = resident()
    blocks = [libc.malloc(SIZE) for _ in range(COUNT)]
    for block in blocks:
        ctypes.memset(block, 1, SIZE)
    for block in blocks[:-1]:  # what lies last keeps the heap from shrinking by itself
        libc.free(block)
    give_back()
    left = (resident() - before) / SIZE
    libc.free(blocks[-1])
    return left

libc.free(libc.malloc(16 * SIZE // 2))  # from now on blocks of this size are kept for the next
"""


@pytest.mark.skipif(_function("mallopt") is None, reason="the C library has no malloc that is told what to keep")
@pytest.mark.parametrize(
    ("asked", "most"),
    [
        ("print(leftovers(give_back_memory))", 5),
        ("give_large_blocks_back(); print(leftovers(lambda: None))", 5),
        ("with without_leftovers():\n    print(leftovers(lambda: None))", 5),
    ],
)
def test_what_was_freed_is_gone(asked: str, most: int) -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAM + asked], capture_output=True, text=True, check=True)
    assert float(found.stdout) < most


def test_a_process_goes_on_as_before() -> None:
    give_back_memory()
    assert bytes(2**22) == b"\0" * 2**22
