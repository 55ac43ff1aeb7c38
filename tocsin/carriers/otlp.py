"""The way of spans to a collector: OTLP over HTTP."""

from __future__ import annotations

from typing import Final

import httpx
import trio

from tocsin.protocol.traceparent import NotTaken

TIMEOUT: Final = 5.0
"""Seconds for a whole request."""
_ANSWER_BYTES_MAX: Final = 64 * 1024
"""Bytes of an answer: a collector has little to say."""
_CONTENT_TYPE: Final = "application/json"


class OtlpHttp:
    """Posts bodies to *url*, which an operator has chosen; redirects are not followed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.AsyncClient(timeout=None, trust_env=False)

    async def send(self, body: bytes) -> None:
        """Post *body*; raises `NotTaken`. Cancelled, it may have been taken."""
        headers = {"content-type": _CONTENT_TYPE}
        try:
            with trio.fail_after(TIMEOUT):
                request = self._client.build_request(
                    "POST", self._url, content=body, headers=headers
                )
                answer = await self._client.send(request, stream=True)
                try:
                    await _read_out(answer)
                finally:
                    await answer.aclose()
        except (httpx.HTTPError, OSError, trio.TooSlowError) as error:
            raise NotTaken(type(error).__name__) from error
        if not answer.is_success:
            raise NotTaken(f"status {answer.status_code}")

    async def aclose(self) -> None:
        """Close the connections, also if cancelled."""
        await self._client.aclose()


async def _read_out(answer: httpx.Response) -> None:
    """Read an answer to its end, so that its connection can be used again; raises `NotTaken`."""
    read = 0
    # An excess is stopped from within: leaving the loop would abandon httpx's nested generators.
    with trio.CancelScope() as reading:
        async for chunk in answer.aiter_raw():
            read += len(chunk)
            if read > _ANSWER_BYTES_MAX:
                reading.cancel()
    if read > _ANSWER_BYTES_MAX:
        raise NotTaken("the answer is too long")
