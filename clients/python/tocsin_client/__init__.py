"""Tocsin for Python: follow a user's notifications, and post them; on Trio and on asyncio.

    async with tocsin_client.follow(server, token=token, device="mailer") as changes:
        async for push in changes:
            ...  # each change once and in order; acknowledged when the next is asked for

    async with tocsin_client.Producer(server, token=key) as producer:
        await producer.post("ada", "Hello")

`tocsin_client.sync.Producer` is the same for programs without an event loop.
"""

from __future__ import annotations

from tocsin_client.changes import Changes, Stopped, follow
from tocsin_client.errors import ApiError
from tocsin_client.frames import Notification, Push
from tocsin_client.posts import Posted
from tocsin_client.producer import Producer

__version__ = "0.1.0"

__all__ = [
    "ApiError",
    "Changes",
    "Notification",
    "Posted",
    "Producer",
    "Push",
    "Stopped",
    "__version__",
    "follow",
]
