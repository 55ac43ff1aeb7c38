"""The verbs of a producer of a node without doors."""

from __future__ import annotations

import trio

from tocsin.actors.publishing.notifications import Notifications, Submit
from tocsin.actors.runtime.ref import Reply
from tocsin.actors.spool.entries import Committal, Spoolable
from tocsin.persistence.store.commands import Publish


class Submitting:
    """A node that has live *notifications*."""

    notifications: Notifications

    def submit(self, command: Spoolable) -> Reply[Committal]:
        """Ask for it as producers do: it goes to the store or into the spool."""
        reply: Reply[Committal] = Reply()
        id_ = command.content.id if isinstance(command, Publish) else command.notification
        self.notifications.submit(id_, Submit(command=command, reply=reply))
        return reply

    async def ask(self, command: Spoolable) -> Committal:
        with trio.fail_after(30):
            return await self.submit(command).wait()
