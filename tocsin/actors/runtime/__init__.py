"""The actor runtime: Trio tasks in nurseries are the actors; this adds what Trio leaves out.

It knows nothing of notifications. Read `supervisor` first, then `mailbox`, `ref` and `prompt`.
"""

from __future__ import annotations

from tocsin.actors.runtime.child import Child
from tocsin.actors.runtime.errors import (
    ActorCrashed,
    ActorError,
    ActorStopped,
    MailboxFull,
    RestartLimitExceeded,
)
from tocsin.actors.runtime.mailbox import Mailbox
from tocsin.actors.runtime.prompt import PromptActor
from tocsin.actors.runtime.ref import PipedReply, Ref, Reply, Request
from tocsin.actors.runtime.restart import FATAL, PARKED, TEMPORARY, TRANSIENT, RestartPolicy
from tocsin.actors.runtime.snapshot import Snapshot
from tocsin.actors.runtime.supervisor import Actor, Context, Supervisor, open_supervisor
from tocsin.actors.runtime.worker import TableWorker, Tasks
from tocsin.actors.runtime.worklist import WorkList

__all__ = [
    "FATAL",
    "PARKED",
    "TEMPORARY",
    "TRANSIENT",
    "Actor",
    "ActorCrashed",
    "ActorError",
    "ActorStopped",
    "Child",
    "Context",
    "Mailbox",
    "MailboxFull",
    "PipedReply",
    "PromptActor",
    "Ref",
    "Reply",
    "Request",
    "RestartLimitExceeded",
    "RestartPolicy",
    "Snapshot",
    "Supervisor",
    "TableWorker",
    "Tasks",
    "WorkList",
    "open_supervisor",
]
