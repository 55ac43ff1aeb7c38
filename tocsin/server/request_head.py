"""The head of an HTTP/1 request: read within bounds, parsed strictly, refused politely.

The front door reads it to decide who serves the connection; whoever that is parses the same bytes
again with h11. So this parser only has to be stricter than h11, never cleverer: what it passes, the
others understand in the same way, and what would crash them (a Host that is not ASCII kills wsproto
and Quart alike) never gets there.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, unquote

import trio

HEAD_BYTES_MAX: Final = 16 * 1024
HEAD_TIMEOUT: Final = 10.0  # seconds, for the whole head
HEADERS_MAX: Final = 100
QUERY_FIELDS_MAX: Final = 100

_READ_BYTES: Final = 4096
_HEAD_END: Final = b"\r\n\r\n"
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 §5.6.2
_REQUEST_LINE: Final = re.compile(rb"(%s) ([\x21-\x7e]+) HTTP/(\d\.\d)" % _TOKEN)
_HEADER_LINE: Final = re.compile(rb"(%s):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*" % _TOKEN)
# RFC 3986 §3.2.2 and a port: names, IPv4 and bracketed IPv6. No user, no path, ASCII only.
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(?::[0-9]*)?")
_LONE_LF: Final = re.compile(rb"(?<!\r)\n")
_HTTP2_PREFACE: Final = b"PRI * HTTP/2.0\r\n"  # RFC 9113 §3.4
_TLS_HANDSHAKE: Final = b"\x16\x03"
# In the words of `tocsin.protocol.problems`, for those that have other names there.
_CODES: Final = {400: "malformed", 413: "too_large"}


class BadHead(Exception):
    """This request is refused with `status`; `detail` says to the client why, and what to do."""

    def __init__(
        self, status: int, detail: str, *, code: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        # Python's name for 413 is another one from 3.13 on, and `code` is part of the contract.
        self.code = code or _CODES.get(status) or HTTPStatus(status).name.lower()
        self.headers = headers


class Headers:
    """Header fields by lower-case name. Values are latin-1 (RFC 9110 §5.5)."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        values: dict[str, list[str]] = {}
        for name, value in fields:
            values.setdefault(name.lower(), []).append(value)
        self._fields = {name: tuple(all_) for name, all_ in values.items()}

    def get(self, name: str) -> str | None:
        """The value, or all of them joined by commas (RFC 9110 §5.3). So a second Authorization or
        Origin makes the field wrong instead of being overlooked."""
        values = self._fields.get(name.lower())
        return None if values is None else ", ".join(values)

    def get_all(self, name: str) -> tuple[str, ...]:
        return self._fields.get(name.lower(), ())

    def tokens(self, name: str) -> frozenset[str]:
        """The members of a comma-separated list such as Connection, in lower case."""
        joined = ",".join(self.get_all(name))
        return frozenset(token.strip().lower() for token in joined.split(",")) - {""}

    def items(self) -> Iterable[tuple[str, str]]:
        return ((name, value) for name, values in self._fields.items() for value in values)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._fields

    def __len__(self) -> int:
        return sum(len(values) for values in self._fields.values())

    def __repr__(self) -> str:
        return f"<Headers {', '.join(self._fields)}>"  # no values: one of them is a credential


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request line and its header fields. `path` is percent-decoded, `query` is not.

    `bytes_total` is the length of the head: what was read beyond is the body, or pipelined.
    """

    method: str
    target: str = field(repr=False)  # may carry a ticket
    http_version: str
    path: str
    query: str = field(repr=False)
    headers: Headers
    bytes_total: int

    @property
    def is_websocket_upgrade(self) -> bool:
        """Does the client ask for a WebSocket (RFC 6455 §4.1)? `check_upgrade` says if rightly."""
        return (
            self.method == "GET"
            and "websocket" in self.headers.tokens("upgrade")
            and "upgrade" in self.headers.tokens("connection")
        )

    def query_values(self) -> Mapping[str, str]:
        """The query's fields, the last of each name. Raises `BadHead` if there are too many."""
        try:
            fields = parse_qsl(self.query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
        except ValueError:
            raise BadHead(400, f"The query has more than {QUERY_FIELDS_MAX} fields.") from None
        return dict(fields)


async def read_head(
    stream: trio.abc.ReceiveStream,
    *,
    bytes_max: int = HEAD_BYTES_MAX,
    timeout: float = HEAD_TIMEOUT,
) -> bytes:
    """Read a request head, and what arrived together with it, as raw bytes.

    Returns `b""` if the client goes, or says nothing for `timeout` seconds: browsers open
    connections in advance, and would show the error of one that they never used. Raises `BadHead`:
    431 over `bytes_max`, 408 after `timeout` seconds in all (a client that dribbles gains nothing),
    and at once what can no longer become a request. At most 4095 bytes beyond the head are read.
    Cancelling loses what was read.
    """
    read = bytearray()
    try:
        with trio.fail_after(timeout):
            while True:
                data = await stream.receive_some(_READ_BYTES)
                if not data:
                    if not read:
                        return b""
                    raise BadHead(400, "The connection ended within the request's head.")
                seen = max(0, len(read) - len(_HEAD_END))
                read += data
                if _is_complete(read, seen, bytes_max):
                    return bytes(read)
    except trio.TooSlowError:
        if not read:
            return b""
        raise BadHead(408, f"The request's head was not complete after {timeout:g} s.") from None


def _is_complete(read: bytearray, seen: int, bytes_max: int) -> bool:
    if not seen and (read.startswith((b"\r\n", b"\n"))):
        # RFC 9112 §2.2 lets a server skip an empty line. None of today's clients sends one, and
        # h11 would have to agree with us about it.
        raise BadHead(400, "The request begins with an empty line.")
    if read.startswith(_TLS_HANDSHAKE):
        raise BadHead(400, "This port speaks plain HTTP, and this looks like TLS.")
    if read.startswith(_HTTP2_PREFACE):
        raise BadHead(505, "HTTP/2 is not spoken here; use HTTP/1.1, or a proxy that translates.")
    end = read.find(_HEAD_END, seen)
    head_bytes = len(read) if end < 0 else end + len(_HEAD_END)
    if head_bytes > bytes_max:
        raise BadHead(431, f"The request's head is longer than {bytes_max} bytes.")
    if _LONE_LF.search(read, seen, head_bytes):
        raise BadHead(400, "Lines of a request's head end with CR LF.")
    return end >= 0


def may_be_upgrade(raw: bytes) -> bool:
    """Whether it is worth parsing what `read_head` returned in order to see a WebSocket there."""
    return b"websocket" in raw.lower()


def parse_head(raw: bytes, *, headers_max: int = HEADERS_MAX) -> RequestHead:
    """Parse what `read_head` returned. Raises `BadHead`: 400 if malformed, 431 if there are more
    than `headers_max` fields, 505 for another version of HTTP. Source: RFC 9112 §3 and §5."""
    head, end, _ = raw.partition(_HEAD_END)
    if not end:
        raise BadHead(400, "The request's head is not complete.")
    request_line, *lines = head.split(b"\r\n")
    method, target, version = _parse_request_line(request_line)
    if len(lines) > headers_max:
        raise BadHead(431, f"The request has more than {headers_max} header fields.")
    headers = Headers(_parse_header(line) for line in lines)
    check_host(headers.get_all("host"), required=version == "1.1")
    path, query = _split_target(method, target)
    return RequestHead(
        method, target, version, path, query, headers, bytes_total=len(head) + len(end)
    )


def _parse_request_line(line: bytes) -> tuple[str, str, str]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise BadHead(400, "The request line is malformed.")
    method, target, version = (part.decode("ascii") for part in match.groups())
    if version not in {"1.1", "1.0"}:
        raise BadHead(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    return method, target, version


def _parse_header(line: bytes) -> tuple[str, str]:
    # A line that begins with a blank continues the one before (obs-fold). It is obsolete, and two
    # parsers that read it differently are what request smuggling is made of: RFC 9112 §5.2.
    match = _HEADER_LINE.fullmatch(line)
    if match is None:
        raise BadHead(400, "A header field is malformed.")
    return match[1].decode("ascii"), match[2].decode("latin-1")


def check_host(hosts: tuple[str, ...], *, required: bool) -> None:
    """Raise `BadHead` unless there is exactly one sane Host (RFC 9112 §3.2)."""
    if len(hosts) > 1 or (required and not hosts):
        raise BadHead(400, "A request has exactly one Host header field.")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise BadHead(400, "The Host header field is malformed.")


def _split_target(method: str, target: str) -> tuple[str, str]:
    if method == "CONNECT":
        raise BadHead(405, "This server is not a proxy.", headers=(("Allow", "GET, HEAD, POST"),))
    if target == "*" and method == "OPTIONS":
        return target, ""
    if not target.startswith("/"):
        # The absolute form (RFC 9112 §3.2.2); its authority is not ours to check.
        scheme, separator, rest = target.partition("://")
        if not separator or scheme.lower() not in {"http", "https", "ws", "wss"}:
            raise BadHead(400, "The request's target is malformed.")
        _, slash, rest = rest.partition("/")
        target = slash + rest or "/"
    path, _, query = target.partition("?")
    return unquote(path), query


def check_upgrade(head: RequestHead) -> None:
    """Raise `BadHead` unless trio-websocket can answer this upgrade: RFC 6455 §4.2.1.

    It answers some of these faults itself, but then leaves the caller waiting; a subprotocol that
    is not ASCII crashes it, and the key it does not look at.
    """
    headers = head.headers
    if headers.get("sec-websocket-version") != "13":
        raise BadHead(
            426,
            "Only version 13 of the WebSocket protocol is spoken here.",
            headers=(("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket")),
        )
    if head.http_version != "1.1" or (headers.get("upgrade") or "").lower() != "websocket":
        raise BadHead(400, "A WebSocket begins with HTTP/1.1 and Upgrade: websocket.")
    if not _is_key(headers.get("sec-websocket-key") or ""):
        raise BadHead(400, "Sec-WebSocket-Key is 16 bytes in base64.")
    if "transfer-encoding" in headers or headers.get("content-length") not in {None, "0"}:
        raise BadHead(400, "A WebSocket upgrade has no body.")
    for name in ("sec-websocket-protocol", "sec-websocket-extensions"):
        if not (headers.get(name) or "").isascii():
            raise BadHead(400, f"{name} is not ASCII.")


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def problem_body(bad: BadHead, *, type_base: str = "") -> bytes:
    """An RFC 9457 problem as JSON. `type_base` is the address in front of the code, if any."""
    problem = {
        "type": f"{type_base}{bad.code}" if type_base else "about:blank",
        "title": HTTPStatus(bad.status).phrase,
        "status": bad.status,
        "detail": bad.detail,
        "code": bad.code,
    }
    return json.dumps(problem).encode()


def problem_response(bad: BadHead, *, request_id: str = "", type_base: str = "") -> bytes:
    """A whole HTTP/1.1 answer that ends the connection."""
    body = problem_body(bad, type_base=type_base)
    fields = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
        *([("X-Request-Id", request_id)] if request_id else []),
        *bad.headers,
    ]
    lines = [f"HTTP/1.1 {bad.status} {HTTPStatus(bad.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
