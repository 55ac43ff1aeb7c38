"""The head of an HTTP/1 request, as values: found within bounds, judged strictly, refused politely.

    bytes of a connection ── find_head_end ── parse_head ── RequestHead

Every request of every connection goes through here, the thousandth like the first, and nobody
parses its bytes a second time: what is behind this is told what *we* read (`http`, `upgrade`). So
there is one judge, and no two that could disagree.

All of it is linear in the bytes, whatever they are: a head is split, stripped, and compared with
classes of characters by `translate`, which takes one pass in C. No regular expression sees a peer's
bytes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote

from tocsin.protocol.refusal import Refusal, Refused

HEAD_BYTES_MAX: Final = 16 * 1024
"""Bytes of the request line and the fields: the longest token twice; other servers allow 8 to 16
KiB."""
HEADERS_MAX: Final = 100
"""Fields. Browsers send some twenty, proxies add a few."""
QUERY_FIELDS_MAX: Final = 100
"""Fields of a query: many times as many as any operation knows."""
_HOST_LENGTH_MAX: Final = 261
"""A name of 253 characters, and a port with its colon."""
_PORT_DIGITS_MAX: Final = 5
"""Digits of a port, before they are read as a number."""
_PORT_MAX: Final = 65_535
"""Beyond it, what takes a host apart later raises."""
_HOSTS_REMEMBERED: Final = 1024
"""Values of `Host` known to be well-formed. Strangers choose them, so they are counted."""
_METHOD_LENGTH_MAX: Final = 24
"""Characters of a method; the longest that is registered has 17 (UPDATEREDIRECTREF)."""
_LIST_LENGTH_MAX: Final = 1024
"""Characters of the lists that are taken apart for every request: Connection and Upgrade."""

HEAD_END: Final = b"\r\n\r\n"
_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""RFC 9110 §5.6.2."""
TEXT: Final = bytes((9, *range(0x20, 0x7F), *range(0x80, 0x100)))
"""The bytes that may stand in a line: tab, visible ASCII, blanks, and obs-text (RFC 9110 §5.5)."""
_VISIBLE: Final = bytes(range(0x21, 0x7F))
_HTTP2_PREFACE: Final = b"PRI * HTTP/2.0\r\n"  # RFC 9113 §3.4
_TLS_HANDSHAKE: Final = b"\x16\x03"
_VERSIONS: Final = {b"HTTP/1.1": "1.1", b"HTTP/1.0": "1.0"}
_METHODS: Final = {
    method.encode(): method
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")
}
_NAMES: Final = {
    spelling.encode(): name.lower()
    for name in (
        *("Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control"),
        *("Connection", "Content-Length", "Content-Type", "Cookie", "Expect", "Forwarded", "Host"),
        *("Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID", "Origin", "Referer"),
        *("Sec-WebSocket-Extensions", "Sec-WebSocket-Key", "Sec-WebSocket-Protocol"),
        *("Sec-WebSocket-Version", "Traceparent", "Transfer-Encoding", "Upgrade", "User-Agent"),
        *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "X-Request-Id"),
    )
    for spelling in (name, name.lower())
}
"""Names that need not be judged again, as clients spell them: those of nearly all fields."""
# RFC 3986 §3.2.2: a registered name, without what could be a user, a path or a second name.
_NAME: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_CODES: Final = {
    400: "malformed",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    415: "unsupported_media_type",
    417: "expectation_failed",
    426: "upgrade_required",
    431: "request_header_fields_too_large",
    501: "not_implemented",
    505: "http_version_not_supported",
}
"""The problem's code for each status with which a head or a body is refused."""


class BadHead(Refused):
    """This request is refused with *status*; *detail* tells the client why, and what to do."""

    def __init__(
        self, status: int, detail: str, *, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(Refusal(code=_CODES[status], detail=detail, headers=headers))
        self.status = status


class Headers:
    """Header fields in their order; names in lower case, values in latin-1 (RFC 9110 §5.5).

    They are given so, too.
    """

    __slots__ = ("_joined", "fields")

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self.fields = list(fields)
        joined = self._joined = dict(self.fields)
        if len(joined) != len(self.fields):
            # Only where a name comes twice, which is seldom.
            joined.clear()
            for name, value in self.fields:
                joined[name] = f"{joined[name]}, {value}" if name in joined else value

    def get(self, name: str) -> str | None:
        """The value, or all of them joined by commas (RFC 9110 §5.3). So a second Authorization or
        Origin makes the field wrong instead of being overlooked. Names in any case; in lower case
        it is quicker."""
        found = self._joined.get(name)
        return self._joined.get(name.lower()) if found is None else found

    def get_all(self, name: str) -> tuple[str, ...]:
        """The values of each field of this name."""
        name = name.lower()
        if name not in self._joined:
            return ()
        return tuple(value for each, value in self.fields if each == name)

    def tokens(self, name: str) -> frozenset[str]:
        """The members of a comma-separated list such as Connection, in lower case."""
        joined = self._joined.get(name.lower(), "")
        return frozenset(token.strip().lower() for token in joined.split(",")) - {""}

    def items(self) -> Iterable[tuple[str, str]]:
        return iter(self.fields)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._joined

    def __len__(self) -> int:
        return len(self.fields)

    def __repr__(self) -> str:
        return f"<Headers {', '.join(self._joined)}>"  # no values: one of them is a credential


class RequestHead:
    """A request line and its header fields.

    *target* begins with a slash, or is `*`; `raw_path` and `query` are its parts as they were sent;
    *bytes_total* is the length of the head.
    """

    __slots__ = ("bytes_total", "headers", "http_version", "method", "query", "raw_path", "target")

    def __init__(
        self, method: str, target: str, http_version: str, headers: Headers, bytes_total: int
    ) -> None:
        self.method = method
        self.target = target
        self.http_version = http_version
        self.headers = headers
        self.bytes_total = bytes_total
        self.raw_path, _, self.query = target.partition("?")

    @property
    def path(self) -> str:
        """The path, percent-decoded."""
        return unquote(self.raw_path)

    @property
    def is_websocket_upgrade(self) -> bool:
        """Does the client ask for a WebSocket (RFC 6455 §4.1)? `check_upgrade` says if rightly."""
        headers = self.headers
        return (
            "upgrade" in headers
            and self.method == "GET"
            and "websocket" in headers.tokens("upgrade")
            and "upgrade" in headers.tokens("connection")
        )

    def query_fields(self) -> list[tuple[str, str]]:
        """The query's fields in their order. Raises `BadHead` if there are too many."""
        if not self.query:
            return []
        try:
            return parse_qsl(self.query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
        except ValueError:
            raise BadHead(400, f"The query has more than {QUERY_FIELDS_MAX} fields.") from None

    def query_values(self) -> Mapping[str, str]:
        """The query's fields, the last of each name. Raises `BadHead` if there are too many."""
        return dict(self.query_fields())

    def __repr__(self) -> str:
        # Neither query nor headers: they carry tickets and tokens.
        return f"<RequestHead {self.method} {self.raw_path}>"


def find_head_end(read: bytes | bytearray, seen: int, bytes_max: int = HEAD_BYTES_MAX) -> int:
    """Where the head at the beginning of *read* ends, behind its blank line; -1 if it does not yet.

    The first *seen* bytes were looked at before. Raises `BadHead`: 431 if the head is longer than
    *bytes_max*, and at once what can no longer become a request.
    """
    if not seen:
        if read.startswith((b"\r", b"\n")):
            # RFC 9112 §2.2 lets a server skip an empty line. None of today's clients sends one.
            raise BadHead(400, "The request begins with an empty line.")
        if read.startswith(_TLS_HANDSHAKE):
            raise BadHead(400, "This port speaks plain HTTP, and this looks like TLS.")
    if seen < len(_HTTP2_PREFACE) and read.startswith(_HTTP2_PREFACE):
        raise BadHead(505, "HTTP/2 is not spoken here; use HTTP/1.1, or a proxy that translates.")
    start = max(0, seen - len(HEAD_END) + 1)
    end = read.find(HEAD_END, start)
    head_bytes = len(read) if end < 0 else end + len(HEAD_END)
    if head_bytes > bytes_max:
        raise BadHead(431, f"The request's head is longer than {bytes_max} bytes.")
    if read.count(b"\n", start, head_bytes) != read.count(b"\r\n", max(0, start - 1), head_bytes):
        raise BadHead(400, "Lines of a request's head end with CR LF.")
    return head_bytes if end >= 0 else -1


def parse_head(raw: bytes | bytearray, *, headers_max: int = HEADERS_MAX) -> RequestHead:
    """Judge the head at the beginning of *raw*. Raises `BadHead`: 400 if malformed, 431 if there
    are more than *headers_max* fields, 505 for another version of HTTP, 405 for CONNECT.

    Source: RFC 9112 §3 and §5. Lines that continue another (obs-fold, §5.2) are refused.
    """
    end = raw.find(HEAD_END)
    if end < 0:
        raise BadHead(400, "The request's head is not complete.")
    head = bytes(raw[:end])
    lines = head.split(b"\r\n")
    # The rest, when all that may stand in a line is taken out: the line ends and no more.
    if head.translate(None, TEXT) != b"\r\n" * (len(lines) - 1):
        raise BadHead(400, "The request's head has a character that cannot stand there.")
    if len(lines) - 1 > headers_max:
        raise BadHead(431, f"The request has more than {headers_max} header fields.")
    method, target, version = _parse_request_line(lines[0])
    headers = Headers(map(parse_field, lines[1:]))
    for name in ("connection", "upgrade"):
        if len(headers.get(name) or "") > _LIST_LENGTH_MAX:
            raise BadHead(431, f"The header field {name} has more than {_LIST_LENGTH_MAX} bytes.")
    host = headers.get("host")
    if host is None or not _sane_hosts.get(host):
        check_host(headers.get_all("host"), required=version == "1.1")
    return RequestHead(method, _origin_form(method, target), version, headers, end + len(HEAD_END))


def _parse_request_line(line: bytes) -> tuple[str, str, str]:
    parts = line.split(b" ")
    if len(parts) != 3:
        raise BadHead(400, "The request line is malformed.")
    word, target, protocol = parts
    method = _METHODS.get(word)
    if method is None:
        if not word or word.translate(None, _TOKEN) or len(word) > _METHOD_LENGTH_MAX:
            raise BadHead(400, "The request line is malformed.")
        method = word.decode("ascii")
    if not target or target.translate(None, _VISIBLE):
        raise BadHead(400, "The request line is malformed.")
    version = _VERSIONS.get(protocol)
    if version is None:
        name, _, number = protocol.partition(b"/")
        if name == b"HTTP" and len(number) == 3 and number.replace(b".", b"0", 1).isdigit():
            raise BadHead(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        raise BadHead(400, "The request line is malformed.")
    return method, target.decode("ascii"), version


def parse_field(line: bytes) -> tuple[str, str]:
    """A header field's name and value; raises `BadHead` unless it has the form of one.

    Its characters are `parse_head`'s business, which looks at those of all lines at once.
    """
    name, colon, value = line.partition(b":")
    known = _NAMES.get(name)
    if known is None or not colon:
        # A blank before the colon, or before the name, is what requests are smuggled with: two
        # parsers read it differently.
        if not colon or not name or name.translate(None, _TOKEN):
            raise BadHead(400, "A header field is malformed.")
        known = name.decode("ascii").lower()
    return known, value.strip(b" \t").decode("latin-1")


def _origin_form(method: str, target: str) -> str:
    """The target as path and query; raises `BadHead` where it has none that is ours."""
    if method == "CONNECT":
        raise BadHead(405, "This server is not a proxy.", headers=(("Allow", "GET, HEAD, POST"),))
    if target.startswith("/"):
        return target
    if target == "*" and method == "OPTIONS":
        return target
    # The absolute form (RFC 9112 §3.2.2); its authority is not ours to check.
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in {"http", "https", "ws", "wss"}:
        raise BadHead(400, "The request's target is malformed.")
    before, mark, query = rest.partition("?")
    _authority, _slash, path = before.partition("/")
    return f"/{path}{mark}{query}"


# --- Host -----------------------------------------------------------------------------------------

_sane_hosts: dict[str, bool] = {}


def check_host(hosts: tuple[str, ...], *, required: bool) -> None:
    """Raise `BadHead` unless there is exactly one sane Host (RFC 9112 §3.2)."""
    if len(hosts) > 1 or (required and not hosts):
        raise BadHead(400, "A request has exactly one Host header field.")
    if hosts and not is_sane_host(hosts[0]):
        raise BadHead(400, "The Host header field is malformed.")


def is_sane_host(host: str) -> bool:
    """Whether *host* is a name or an address, with a port or without, that IDNA takes too.

    Names are asked about again and again, so the last of them are remembered.
    """
    known = _sane_hosts.get(host)
    if known is None:
        if len(host) > _HOST_LENGTH_MAX:
            return False
        if len(_sane_hosts) >= _HOSTS_REMEMBERED:
            _sane_hosts.clear()
        known = _sane_hosts[host] = _judge_host(host)
    return known


def _judge_host(host: str) -> bool:
    if host.startswith("["):
        address, bracket, port = host[1:].partition("]")
        return bool(bracket) and _is_ipv6(address) and (not port or _is_port(port))
    name, colon, port = host.partition(":")
    if colon and not _is_port(f":{port}"):
        return False
    if not _NAME.issuperset(name):
        return False
    try:
        # Code that takes a host apart later asks IDNA: empty labels, labels of more than 63
        # characters and `xn--` with nonsense behind it raise there.
        name.encode("ascii").decode("idna").encode("idna")
    except UnicodeError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text


def _is_port(text: str) -> bool:
    digits = text[1:]
    if text[0] != ":" or len(digits) > _PORT_DIGITS_MAX:
        return False
    return not digits or (digits.isdecimal() and int(digits) <= _PORT_MAX)
