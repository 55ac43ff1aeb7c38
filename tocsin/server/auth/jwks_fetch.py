"""One bounded HTTP GET, for a URL that the operator configured.

The answer decides who may come in, so it is fetched over TLS or not at all (this
machine itself excepted), and no redirect is followed (it could lead off TLS, or inward). No
content coding is asked for. Some caches send gzip all the same: 256 KiB of it may
unpack to a quarter of a gigabyte, so the bound holds for what is unpacked as well.
"""

from __future__ import annotations

import ipaddress
import ssl
import zlib
from typing import Final

import httpx
import trio

from tocsin.server.auth.errors import AuthConfigurationError

_HEADERS: Final = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",
}


_CODINGS: Final = frozenset({"identity", "gzip", "x-gzip"})
_GZIP: Final = 16 + zlib.MAX_WBITS
"""For zlib: the largest window, and the head and the checksum of gzip (RFC 1952)."""


class FetchFailed(Exception):
    """The key set could not be had. *reason* is a phrase for logs and diagnostics."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Fetcher:
    """Fetches one URL. *timeout* is in seconds and bounds the whole of it.

    `name` is the URL without its query, for logs.
    """

    def __init__(self, url: str, timeout: float, body_bytes_max: int, insecure_http: bool) -> None:
        self._url: Final = _accept(url, insecure_http)
        self.name: Final = str(self._url.copy_with(query=None, fragment=None))
        self._timeout: Final = timeout
        self._body_bytes_max: Final = body_bytes_max
        # Reading the certificate store takes tens of milliseconds: once, not per fetch.
        self._tls: Final = httpx.create_ssl_context()
        # Python 3.13 would refuse authorities of operators' own (see `tocsin.outbound.tls`).
        self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
        # A proxy from the environment must not be asked for this machine's own address.
        self._trust_env: Final = not _is_loopback(self._url.host)

    async def fetch(self) -> bytes:
        """The body of a 200 answer. Raises `FetchFailed`. Cancelling drops the connection."""
        reason: str
        try:
            with trio.fail_after(self._timeout):
                return await self._get()
        except trio.TooSlowError:
            reason = f"no answer within {self._timeout:g} s"
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            reason = type(error).__name__
        raise FetchFailed(reason)

    async def _get(self) -> bytes:
        async with (
            # A client per fetch: one in a quarter of an hour needs no pool, and there
            # is nothing to close when the server stops.
            httpx.AsyncClient(verify=self._tls, trust_env=self._trust_env, timeout=None) as client,
            client.stream("GET", self._url, headers=_HEADERS) as response,
        ):
            if response.status_code != 200:
                raise FetchFailed(f"status {response.status_code}")
            # Its names are the same in any case (RFC 9110 §8.4.1).
            coding = response.headers.get("Content-Encoding", "identity").strip().lower()
            if coding not in _CODINGS:
                raise FetchFailed("the answer is compressed in a way that was not asked for")
            body = await self._read(response)
            return body if coding == "identity" else self._unpack(body)

    async def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        # An excess is stopped from within, by cancelling the read that comes next.
        # Leaving the loop would abandon httpx's five nested generators to the garbage
        # collector, each with the connection in its hands.
        with trio.CancelScope() as reading:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > self._body_bytes_max:
                    reading.cancel()
        if len(body) > self._body_bytes_max:
            raise FetchFailed(f"the answer exceeds {self._body_bytes_max} bytes")
        return bytes(body)

    def _unpack(self, body: bytes) -> bytes:
        stream = zlib.decompressobj(_GZIP)
        try:
            unpacked = stream.decompress(body, self._body_bytes_max + 1)
        except zlib.error:
            raise FetchFailed("the answer is not the gzip that it says it is") from None
        if len(unpacked) > self._body_bytes_max:
            raise FetchFailed(f"the answer unpacks to more than {self._body_bytes_max} bytes")
        if not stream.eof:
            raise FetchFailed("the answer is cut off")
        return unpacked


def _accept(text: str, insecure_http: bool) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise AuthConfigurationError("jwks_url is not a URL") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise AuthConfigurationError("jwks_url must be an https:// URL")
    if url.userinfo:
        raise AuthConfigurationError("jwks_url must not hold a user name or password")
    if url.scheme == "http" and not insecure_http and not _is_loopback(url.host):
        raise AuthConfigurationError(
            "jwks_url must be https://; http:// is for this machine only, because whoever"
            " can change the answer on its way can sign in as anyone"
        )
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
