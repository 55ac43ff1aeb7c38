"""Calls of SQS: its JSON protocol over httpcore, signed by us.

httpcore stands in every installation, so a connector to SQS needs no library of its own. Requests
go to the queue's own address, over a few connections that are kept; answers are bounded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore
import msgspec
import trio

from tocsin.persistence.brokers.aws_http import FORBIDDEN, SERVER_FAULT, TOO_MANY, ask
from tocsin.persistence.brokers.aws_role import AwsRole
from tocsin.persistence.brokers.aws_signature import AwsCredentials, AwsScope, aws_signed
from tocsin.persistence.brokers.tls import tls_of
from tocsin.persistence.brokers.wording import REASON_MAX
from tocsin.persistence.source import SourceAway, SourceRefused

BATCH_MAX: Final = 10
"""Messages of one call: SQS has no more."""
_TIMEOUT: Final = 10.0
"""Seconds for an answer, beyond the wait that was asked for."""
_ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes of an answer: ten messages of 1 MiB, each character of which may be written as six."""
_KEPT_FOR: Final = 30.0
"""Seconds that an idle connection is kept."""
_PASSING: Final = ("Throttl", "OverLimit", "ServiceUnavailable", "InternalError", "InternalFailure")
"""Beginnings and parts of errors that say "not now", whatever their HTTP status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsPlace:
    """Which queue (*url*), of which *region*, and as whom (*credentials*).

    *visibility* is in seconds: for so long SQS keeps what was taken from others. *pollers* requests
    are under way at a time while a batch is gathered. *ca_file* names an authority's certificate,
    if it is none that the system knows.
    """

    url: str
    region: str
    credentials: AwsCredentials | AwsRole
    visibility: int = 60
    pollers: int = 2
    ca_file: str | None = None

    @property
    def name(self) -> str:
        """The queue's name: the end of its address."""
        return self.url.rpartition("/")[2]

    @property
    def is_fifo(self) -> bool:
        """Whether the queue keeps an order: those that do say so in their names."""
        return self.name.endswith(".fifo")


class SqsClient:
    """Calls about the queue at *place*; made by `open_sqs`."""

    def __init__(self, place: SqsPlace, pool: httpcore.AsyncConnectionPool) -> None:
        self._place = place
        self._pool = pool
        address = urlsplit(place.url)
        self._host = address.netloc
        self._address = f"{address.scheme}://{address.netloc}/"
        self._scope = AwsScope(place.region, "sqs")

    async def call(self, action: str, *, wait: float = 0.0, **fields: Any) -> dict[str, Any]:
        """The answer to *action* on the queue, which may take *wait* seconds longer than others.

        Raises `SourceAway` and `SourceRefused`. Cancelling drops the connection.
        """
        body = msgspec.json.encode({"QueueUrl": self._place.url, **fields})
        headers = aws_signed(
            {
                "host": self._host,
                "content-type": "application/x-amz-json-1.0",
                "x-amz-target": f"AmazonSQS.{action}",
            },
            body,
            await self._credentials(),
            self._scope,
            datetime.now(UTC),
        )
        try:
            with trio.fail_after(wait + _TIMEOUT):
                status, answer = await ask(
                    self._pool, "POST", self._address, headers, body, bytes_max=_ANSWER_BYTES_MAX
                )
        except trio.TooSlowError:
            raise SourceAway(f"SQS did not answer within {wait + _TIMEOUT:g} s") from None
        if status != 200:
            raise self._refused(status, answer)
        try:
            return msgspec.json.decode(answer or b"{}", type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise SourceAway("the answer is not one of SQS") from error

    async def _credentials(self) -> AwsCredentials:
        credentials = self._place.credentials
        if isinstance(credentials, AwsRole):
            return await credentials.credentials()
        return credentials

    def _refused(self, status: int, answer: bytes) -> SourceAway | SourceRefused:
        refusal = _refusal(status, answer)
        if isinstance(refusal, SourceRefused) and isinstance(self._place.credentials, AwsRole):
            # Perhaps they were revoked: the connector comes back with others.
            self._place.credentials.forget()
        return refusal

    async def each(
        self, action: str, entries: Sequence[dict[str, Any]], *, calls: int = 1
    ) -> list[dict[str, Any]]:
        """Have *action*, one of those on batches, done with *entries*, ten to a call.

        With several *calls* at a time their order is any. The entries of the answers that say
        `Failed`. Each entry is given an `Id`: its number. Raises as `call`, when all calls that
        were under way have ended.
        """
        named = [{"Id": str(number), **entry} for number, entry in enumerate(entries)]
        tens = [named[first : first + BATCH_MAX] for first in range(0, len(named), BATCH_MAX)]
        left, failed = iter(tens), list[dict[str, Any]]()
        failure: SourceAway | SourceRefused | None = None

        async def work() -> None:
            nonlocal failure
            for some in left:
                try:
                    answer = await self.call(action, Entries=some)
                except (SourceAway, SourceRefused) as error:
                    failure = error
                if failure is not None:
                    return
                failed.extend(answer.get("Failed") or ())

        async with trio.open_nursery() as nursery:
            for _ in range(min(calls, len(tens))):
                nursery.start_soon(work)
        if failure is not None:
            raise failure
        return failed


@asynccontextmanager
async def open_sqs(place: SqsPlace) -> AsyncIterator[SqsClient]:
    """A client for the queue at *place*; nothing is connected before the first call.

    Raises `SourceRefused` if the authority's certificate cannot be read.
    """
    async with httpcore.AsyncConnectionPool(
        ssl_context=tls_of(place.ca_file) if urlsplit(place.url).scheme == "https" else None,
        max_connections=place.pollers + 1,
        keepalive_expiry=_KEPT_FOR,
        network_backend=httpcore.TrioBackend(),
    ) as pool:
        yield SqsClient(place, pool)


def _refusal(status: int, answer: bytes) -> SourceAway | SourceRefused:
    """The error for an answer of *status*: whether to try again soon, or to ask an operator."""
    try:
        said = msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.MsgspecError:
        said = {}
    code = str(said.get("__type", "")).rpartition("#")[2]
    lines = str(said.get("message") or said.get("Message") or "").splitlines()
    # The lines below the first are the request as it was signed: it may hold a session's token.
    reason = f"status {status} {code}: {lines[0] if lines else ''}"[:REASON_MAX].rstrip(": ")
    passing = status >= SERVER_FAULT or status == TOO_MANY or any(p in code for p in _PASSING)
    if passing or (not code and status != FORBIDDEN):
        return SourceAway(reason)
    return SourceRefused(reason)
