"""Admission: `limits`, asked in the name of the client behind a proxy.

    admission = Admissions.admit(peer, head)     when a head has been read
    admission.charge(principal)                  when its caller is known
    admission.reserve(byte_count)                as a body is declared, or arrives
    admission.last()                             when it turns out to last: a stream, a WebSocket
    admission.release()                          when it is over

Each of them raises `LimitReached`, which is answered with 429 and says when to come back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tocsin.protocol.refusal import Refusal, Refused
from tocsin.server.admission.forwarded import Forwarding
from tocsin.server.admission.limits import Excess, HeldShare, Limits
from tocsin.server.auth.principal import Principal
from tocsin.server.request_head import RequestHead


class LimitReached(Refused):
    """An address or a credential has as much of something as it may have; *excess* says of what."""

    def __init__(self, excess: Excess) -> None:
        super().__init__(
            Refusal(
                code="rate_limited",
                detail=excess.detail,
                retry_after=excess.retry_after,
                headers=excess.quota_headers,
            )
        )
        self.excess = excess


class Admission(Protocol):
    """One request that was let in. `address` is the client's, behind proxies that are believed."""

    @property
    def address(self) -> str: ...

    def charge(self, principal: Principal) -> None:
        """Count it for its credential too; once, before `reserve`."""

    def reserve(self, byte_count: int) -> None:
        """Take room for so many more bytes of its body."""

    def last(self) -> None:
        """It is a connection of its own from now on, and no request under way any more."""

    def release(self) -> None:
        """Give everything back; again is no harm."""


class Admissions:
    """Admits requests by *limits*, under the addresses that *forwarding* believes.

    *clock* gives seconds and never goes back.
    """

    def __init__(self, limits: Limits, forwarding: Forwarding, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._forwarding = forwarding
        self._clock = clock

    def address_of(self, peer: str, head: RequestHead) -> str:
        """The client's address: *peer*, or the one named by a proxy that is believed."""
        headers = head.headers
        if not self._forwarding.is_trusted(peer):
            return peer
        return self._forwarding.client_address(
            peer, headers.get("forwarded"), headers.get("x-forwarded-for")
        )

    def admit(self, peer: str, head: RequestHead) -> Admission:
        """Count a request that begins. Raises `LimitReached`."""
        address = self.address_of(peer, head)
        held = self._limits.admit_request(address, self._clock())
        if isinstance(held, Excess):
            raise LimitReached(held)
        return _Admitted(self._limits, self._clock, peer, address, held)


class _Admitted:
    __slots__ = ("_clock", "_counted", "_held", "_limits", "_peer", "address")

    def __init__(
        self, limits: Limits, clock: Callable[[], float], peer: str, address: str, held: HeldShare
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._peer = peer
        self._held = held
        self._counted = False
        self.address = address

    def charge(self, principal: Principal) -> None:
        if principal.credential:
            _check(self._held.charge(principal.credential, self._clock()))

    def reserve(self, byte_count: int) -> None:
        _check(self._held.reserve(byte_count))

    def last(self) -> None:
        # A peer's own connections are counted at the door; those of a proxy's clients only here.
        if self.address != self._peer and self._limits.is_exempt(self._peer):
            _check(self._limits.admit_connection(self.address))
            self._counted = True
        self._held.release()

    def release(self) -> None:
        self._held.release()
        if self._counted:
            self._counted = False
            self._limits.connection_closed(self.address)


def _check(excess: Excess | None) -> None:
    if excess is not None:
        raise LimitReached(excess)
