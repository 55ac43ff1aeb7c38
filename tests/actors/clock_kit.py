"""Time in tests: only ever virtual, so a while costs nothing and is always the same."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked


async def pass_time(seconds: float) -> None:
    """Let *seconds* of virtual time go by."""
    await trio.sleep(seconds)  # waits for: virtual time, which only moves when nothing else does


async def settle() -> None:
    """Let everybody do what there is to do at this moment."""
    await wait_all_tasks_blocked()
