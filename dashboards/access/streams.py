"""Streams that end when whoever reads them may not any more."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from dashboards.access.gate import guard_of
from dashboards.access.identity import Identity
from hwprofiles.errors import ParetuneError

CHECK_S = 5.0
"""Nothing is sent for longer than this after a token was revoked, or its user's rights changed."""


async def while_identified(
    request: Request, identity: Identity, chunks: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """Yields the chunks of a stream as long as the request is still one of this identity; then closes the stream.

    A reader whose rights changed connects again by itself, and is then answered by the new ones.
    """
    checked_at = time.monotonic()
    async with aclosing(chunks):
        async for chunk in chunks:
            if time.monotonic() - checked_at >= CHECK_S:
                try:
                    if await run_in_threadpool(guard_of(request).identify, request) != identity:
                        return
                except ParetuneError:
                    return
                checked_at = time.monotonic()
            yield chunk
