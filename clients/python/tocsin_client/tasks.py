"""Tasks beside a body, as `anyio` has them, but with the body's own exceptions as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import create_task_group
from anyio.abc import TaskGroup


@asynccontextmanager
async def background() -> AsyncIterator[TaskGroup]:
    """A task group that ends with its body. An error of the body comes out as it is, and not in an
    exception group: a program that loops over changes catches its own errors. Cancelling ends
    both.
    """
    failure: BaseException | None = None
    async with create_task_group() as tasks:
        try:
            yield tasks
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
