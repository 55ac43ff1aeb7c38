"""Credentials of a role of AWS, which last for hours: asked for when they are needed, and kept.

A node has a role in one of three ways, and each is a question of its own:

- *web identity*: a file has a token of the platform (Kubernetes), which AWS STS takes in exchange;
- *container*: an address in the environment gives credentials (ECS, EKS);
- *instance*: the metadata service of the machine does (EC2), by its second version only.

Credentials are asked for anew well before they end. If that fails, those at hand are used for as
long as they last, so a metadata service that is away for minutes is not noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlencode
from xml.sax.saxutils import unescape

import httpcore
import msgspec
import trio

from tocsin.persistence.brokers.aws_http import SERVER_FAULT, TOO_MANY, ask
from tocsin.persistence.brokers.aws_signature import AwsCredentials
from tocsin.persistence.brokers.tls import tls_of
from tocsin.persistence.brokers.wording import REASON_MAX
from tocsin.persistence.source import SourceAway, SourceRefused

_TIMEOUT: Final = 5.0
"""Seconds for all requests of one question; where nothing answers, a connector says so then."""
_ANSWER_BYTES_MAX: Final = 64 * 1024
"""Bytes of an answer: a session's token may have some thousand."""
_AHEAD: Final = 600.0
"""Seconds before their end from which on credentials are renewed. Metadata services have new ones
five minutes before the end at the latest."""
_RETRY: Final = 30.0
"""Seconds between two attempts to renew credentials that still hold."""
_TOKEN_TTL: Final = "60"
"""Seconds for which a token of the metadata service is asked for: it is used at once."""
_FILE_BYTES_MAX: Final = 16 * 1024
"""Bytes of a token that a platform gives: a JWT has one or two thousand."""
_NAME: Final = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)


class Granted(NamedTuple):
    """Credentials that hold until *until* (Unix seconds)."""

    credentials: AwsCredentials
    until: float


class Grant(Protocol):
    """One way to a role."""

    async def ask(self, pool: httpcore.AsyncConnectionPool) -> Granted:
        """Ask once, in some requests; cancelled, nothing is known.

        Raises `SourceAway` and `SourceRefused`.
        """


class AwsRole:
    """The credentials that *grant* gives, kept until shortly before they end.

    *clock* gives Unix seconds. All requests of one question have *timeout* seconds.
    """

    def __init__(self, grant: Grant, clock: Callable[[], float], timeout: float = _TIMEOUT) -> None:
        self._grant = grant
        self._clock = clock
        self._timeout = timeout
        self._asking = trio.Lock()
        self._granted: Granted | None = None
        self._retry_at = 0.0

    async def credentials(self) -> AwsCredentials:
        """Credentials that hold now. Several tasks ask once.

        Raises `SourceAway` and `SourceRefused`. Cancelled, the next one asks.
        """
        async with self._asking:
            now = self._clock()
            granted = self._granted
            if granted is not None and now < max(granted.until - _AHEAD, self._retry_at):
                return granted.credentials
            try:
                self._granted = granted = await self._ask()
            except (SourceAway, SourceRefused):
                if granted is None or now >= granted.until:
                    raise
                self._retry_at = min(now + _RETRY, granted.until)
            return granted.credentials

    def forget(self) -> None:
        """Ask anew the next time: the service says that it does not know the present ones."""
        self._granted = None
        self._retry_at = 0.0

    async def _ask(self) -> Granted:
        try:
            with trio.fail_after(self._timeout):
                async with httpcore.AsyncConnectionPool(
                    ssl_context=tls_of(None),
                    max_connections=1,
                    network_backend=httpcore.TrioBackend(),
                ) as pool:
                    return await self._grant.ask(pool)
        except trio.TooSlowError:
            raise SourceAway(f"credentials: no answer within {self._timeout:g} s") from None
        except (SourceAway, SourceRefused) as error:
            raise type(error)(f"credentials: {error}") from error


# --- The three ways -------------------------------------------------------------------------------


class WebIdentity:
    """`AssumeRoleWithWebIdentity` of AWS STS at *endpoint*, with the token in *token_file*.

    The platform writes the file anew before the token ends, so it is read each time.
    """

    def __init__(self, endpoint: str, token_file: str, role: str, session: str) -> None:
        self._endpoint = endpoint
        self._token_file = token_file
        self._role = role
        self._session = session

    async def ask(self, pool: httpcore.AsyncConnectionPool) -> Granted:
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": self._role,
            "RoleSessionName": self._session,
            "WebIdentityToken": await _in_file(self._token_file),
        }
        headers = {"content-type": "application/x-www-form-urlencoded"}
        body = urlencode(form).encode()
        answer = await _answer(pool, "POST", self._endpoint, headers, body)
        text = answer.decode(errors="replace")
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        key, secret, token, until = (_element(text, name) for name in names)
        return _granted(key, secret, token, until)


class ContainerGrant:
    """The credentials at *url*, which the container's environment names.

    *authorization* is a word for the header of that name; *authorization_file* has one that
    changes.
    """

    def __init__(self, url: str, authorization: str = "", authorization_file: str = "") -> None:
        self._url = url
        self._authorization = authorization
        self._file = authorization_file

    async def ask(self, pool: httpcore.AsyncConnectionPool) -> Granted:
        word = await _in_file(self._file) if self._file else self._authorization
        headers = {"authorization": word} if word else {}
        return _granted_in_json(await _answer(pool, "GET", self._url, headers))


class InstanceGrant:
    """The role of the machine, by the metadata service at *endpoint* (IMDSv2)."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    async def ask(self, pool: httpcore.AsyncConnectionPool) -> Granted:
        url = f"{self._endpoint}/latest"
        headers = {"x-aws-ec2-metadata-token-ttl-seconds": _TOKEN_TTL}
        token = _word(await _answer(pool, "PUT", f"{url}/api/token", headers))
        headers = {"x-aws-ec2-metadata-token": token}
        roles = f"{url}/meta-data/iam/security-credentials/"
        role = _word(await _answer(pool, "GET", roles, headers))
        if not _NAME.fullmatch(role):
            raise SourceRefused("the instance has no role")
        return _granted_in_json(await _answer(pool, "GET", roles + role, headers))


# --- Answers --------------------------------------------------------------------------------------


class _Document(msgspec.Struct, rename="pascal"):
    access_key_id: str
    secret_access_key: str
    token: str
    expiration: str


class _Problem(msgspec.Struct, rename="pascal"):
    code: str = ""
    message: str = ""


async def _answer(
    pool: httpcore.AsyncConnectionPool,
    method: str,
    url: str,
    headers: dict[str, str],
    body: bytes = b"",
) -> bytes:
    status, answer = await ask(pool, method, url, headers, body, bytes_max=_ANSWER_BYTES_MAX)
    if status == 200:
        return answer
    reason = f"status {status} {_told(answer)}"[:REASON_MAX].rstrip(": ")
    if status >= SERVER_FAULT or status == TOO_MANY:
        raise SourceAway(reason)
    raise SourceRefused(reason)


def _told(answer: bytes) -> str:
    """The code and message of an error in an answer, JSON or XML; empty if it has none."""
    text = answer.decode(errors="replace")
    if text.lstrip().startswith("<"):
        return f"{_found(text, 'Code')}: {_found(text, 'Message')}"
    try:
        said = msgspec.json.decode(answer, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    return f"{said.code}: {said.message}"


def _granted_in_json(answer: bytes) -> Granted:
    try:
        found = msgspec.json.decode(answer, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        problem = _told(answer).rstrip(": ")
        raise SourceRefused(f"the answer has no credentials. {problem}".rstrip()) from error
    key, secret = found.access_key_id, found.secret_access_key
    return _granted(key, secret, found.token, found.expiration)


def _granted(key: str, secret: str, token: str, until: str) -> Granted:
    try:
        at = datetime.fromisoformat(until)
    except ValueError as error:
        raise SourceRefused("the answer has credentials without an end") from error
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    for each in (key, secret, token):
        if not each or not each.isprintable() or not each.isascii():
            raise SourceRefused("the answer has no credentials")
    return Granted(AwsCredentials(key, secret, token), at.timestamp())


def _element(text: str, name: str) -> str:
    found = _found(text, name)
    if not found:
        raise SourceRefused("the answer has no credentials")
    return found


def _found(text: str, name: str) -> str:
    """The text of the first element *name*: STS has each once, without attributes."""
    _, _, rest = text.partition(f"<{name}>")
    inside, end, _ = rest.partition(f"</{name}>")
    return unescape(inside).strip() if end and "<" not in inside else ""


def _word(answer: bytes) -> str:
    lines = answer.decode(errors="replace").split()
    return lines[0] if lines and lines[0].isascii() else ""


async def _in_file(path: str) -> str:
    try:
        text = await trio.to_thread.run_sync(_read_file, path, abandon_on_cancel=True)
        word = text.decode("ascii").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no token"
        raise SourceRefused(f"the file {path} cannot be read: {reason}") from None
    if not word.isprintable():
        raise SourceRefused(f"the file {path} has no token")
    return word


def _read_file(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(_FILE_BYTES_MAX)
