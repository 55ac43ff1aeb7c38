"""Ends what goes on longer than its credential: an API key that was revoked, a token that expired.

A credential is checked when a connection or a stream begins, and never asked for again, so one that
lasts would outlive it. Every few seconds the keys of all that lasts are looked up together; that
works wherever the key was revoked, by another node or by a command, and needs no word from there.

A user's own sessions are not watched here: the user's actor ends them, to the second.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from tocsin.actors.runtime.errors import ActorError
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.worker import TableWorker, Tasks
from tocsin.actors.storage.requests import Read, StorageMessage
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.queries import FindKey
from tocsin.protocol.closing import Closing
from tocsin.server.auth.errors import AuthCode, Unauthenticated
from tocsin.server.auth.principal import Principal

INTERVAL: Final = 3.0
"""Seconds between two looks: how long an ended credential may go on, at most."""
_PREFIX: Final = "key:"
_REVOKED: Final = f"{AuthCode.KEY_REVOKED}: the key was revoked."
_EXPIRED: Final = f"{AuthCode.TOKEN_EXPIRED}: the token has expired."


class Ends(Protocol):
    """The outlet of a connection, or a permit: either can be ended."""

    def end(self, closing: Closing, after: float = 0.0, detail: str = "") -> None:
        """Say goodbye and close; only the first call counts."""


class Permit:
    """The leave to go on of an operation that lasts and has no outlet."""

    __slots__ = ("closing", "detail")

    def __init__(self) -> None:
        self.closing: Closing | None = None
        self.detail = ""

    def end(self, closing: Closing, after: float = 0.0, detail: str = "") -> None:
        """Take it back; the operation sees it the next time that it looks."""
        if self.closing is None:
            self.closing, self.detail = closing, detail

    def check(self) -> None:
        """Raise `Unauthenticated` if it was taken back."""
        if self.closing is not None:
            raise ended_credential(self.detail)


@dataclass(frozen=True, slots=True)
class _Watched:
    holder: Ends
    key: str | None
    expires_at: float | None


class CredentialWatch:
    """All that lasts by a credential that ends. It outlives the `CredentialWatcher`."""

    def __init__(self) -> None:
        self._watched: dict[int, _Watched] = {}

    def belongs(self, outlet: Ends, principal: Principal) -> None:
        """*outlet* is *principal*'s from now on; nothing to watch if that is a user."""
        self.closed(outlet)
        if principal.user is None:
            self._watch(outlet, principal)

    def enter(self, principal: Principal) -> Permit:
        """A permit that ends with the credential of *principal*; to be `closed`."""
        permit = Permit()
        self._watch(permit, principal)
        return permit

    def closed(self, holder: Ends) -> None:
        """*holder* has ended; again is no harm."""
        self._watched.pop(id(holder), None)

    def keys(self) -> set[str]:
        """The API keys of all that is watched."""
        return {each.key for each in self._watched.values() if each.key is not None}

    def revoked(self, keys: Collection[str]) -> None:
        """End what goes on by *keys*."""
        for each in list(self._watched.values()):
            if each.key in keys:
                each.holder.end(Closing.UNAUTHENTICATED, detail=_REVOKED)

    def expired(self, now_ms: int) -> None:
        """End what goes on by tokens that have expired at *now_ms*."""
        for each in list(self._watched.values()):
            if each.expires_at is not None and each.expires_at * 1000 <= now_ms:
                each.holder.end(Closing.UNAUTHENTICATED, detail=_EXPIRED)

    def _watch(self, holder: Ends, principal: Principal) -> None:
        credential, key = principal.credential, None
        if credential.startswith(_PREFIX):
            key = credential.removeprefix(_PREFIX)
        # By its identity, which is unique as long as the holder is in the table.
        self._watched[id(holder)] = _Watched(holder, key, principal.expires_at)


class CredentialWatcher(TableWorker):
    """See the module; a store that is away is asked again the next time."""

    def __init__(
        self, storage: Ref[StorageMessage], watch: CredentialWatch, now_ms: Callable[[], int]
    ) -> None:
        self._storage = storage
        self._credentials = watch
        self._now_ms = now_ms

    def tasks(self) -> Tasks:
        """One that looks now and then."""
        return (self._watch,)

    async def _watch(self) -> None:
        while True:
            await trio.sleep(INTERVAL)
            self._credentials.expired(self._now_ms())
            if keys := self._credentials.keys():
                await self._look(keys)

    async def _look(self, keys: Collection[str]) -> None:
        reads = {key: Read(query=FindKey(key)) for key in keys}
        revoked = set()
        try:
            for read in reads.values():
                await self._storage.send(read)
            for key, read in reads.items():
                found = await read.reply.wait()
                if isinstance(found, NotFound) or found.revoked_at is not None:
                    revoked.add(key)
        except (StoreUnavailable, StoreFailed, ActorError):
            return
        self._credentials.revoked(revoked)


def ended_credential(detail: str) -> Unauthenticated:
    """The refusal of a call whose credential ended while it waited; *detail* as in the goodbye.

    Only this carries the challenge that a 401 must have. Which of the two it is, is the first word
    of the goodbye.
    """
    if detail.startswith(AuthCode.KEY_REVOKED):
        return Unauthenticated("The API key has been revoked.", AuthCode.KEY_REVOKED)
    return Unauthenticated("The token has expired.", AuthCode.TOKEN_EXPIRED)
