"""Settings that do not go together, and the form of a few that bounds cannot say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from tocsin.settings.channel_tables import channel_contradictions
from tocsin.settings.kinds import is_loopback
from tocsin.settings.record import SettingsRecord
from tocsin.settings.setting import SettingProblem

# RFC 7518 §3.2: a key for HS256 must be at least as long as the hash. A shorter one can be searched
# for offline by anybody who holds one token; it will do where nobody else can reach the server.
JWT_SECRET_BYTES_MIN = 32

_NODE_NAME = re.compile(r"[A-Za-z0-9._:@-]{1,128}")


def contradictions(s: SettingsRecord) -> Iterator[SettingProblem]:
    """Problems beyond bounds: settings that do not go together, and the form of two of them."""
    if s.store_timeout > s.request_timeout:
        wrong = "is longer than request_timeout, so no producer would ever see the 503"
        remedy = "lower store_timeout or raise request_timeout"
        yield SettingProblem(("store_timeout", "request_timeout"), wrong, remedy)
    for name in ("peer_body_bytes_max", "credential_body_bytes_max"):
        if getattr(s, name) < max(s.batch_bytes_max, s.body_bytes_max):
            wrong = "is less than batch_bytes_max or body_bytes_max, so such a body would never do"
            yield SettingProblem(
                (name, "batch_bytes_max"), wrong, f"raise {name}, or lower the others"
            )
    if s.metrics_port:
        yield from _metrics_port_contradictions(s, s.metrics_port)
    if s.jwt_public_key and s.jwks_url:
        wrong = "and jwks_url both say which public keys to trust"
        yield SettingProblem(("jwt_public_key", "jwks_url"), wrong, "keep one of the two")
    if s.jwks_url and s.jwt_audience is None:
        wrong = "comes without jwt_audience, so tokens for other applications would be taken too"
        remedy = "set jwt_audience to the `aud` of your tokens, or to `none` to take any"
        yield SettingProblem(("jwks_url", "jwt_audience"), wrong, remedy)
    if s.jwt_secret and len(s.jwt_secret.encode()) < JWT_SECRET_BYTES_MIN:
        yield from _weak_secret(s)
    if s.node is not None and not _NODE_NAME.fullmatch(s.node):
        remedy = "use 1 to 128 characters of letters, digits and . _ : @ -"
        yield SettingProblem(("node",), "is not a name", remedy)
    if s.redis is not None and s.sqlite_path is not None:
        wrong = "joins nodes, and the embedded store belongs to one process alone"
        remedy = "set `database` to a Postgres, or leave `redis` out and run one node"
        yield SettingProblem(("redis", "database"), wrong, remedy)
    yield from channel_contradictions(
        s.channels, s.escalations, (s.vapid_private_key, s.vapid_contact)
    )
    if s.workers > 1:
        yield from _worker_contradictions(s)


def _weak_secret(s: SettingsRecord) -> Iterator[SettingProblem]:
    """The first sign that others than this machine get tokens signed with it."""
    if not all(map(is_loopback, s.host)):
        name, whom = "host", "other machines can reach host"
    elif s.forwarded_from:
        name, whom = "forwarded_from", "other machines come through the proxies of forwarded_from"
    elif not all(is_loopback(urlsplit(each).hostname or "") for each in s.origins):
        name, whom = "origins", "pages of other machines are named in origins"
    else:
        return
    wrong = (
        f"has fewer than {JWT_SECRET_BYTES_MIN} bytes, and {whom}: one token is enough to guess it"
    )
    yield SettingProblem(("jwt_secret", name), wrong, "make one with `openssl rand -base64 32`")


def _metrics_port_contradictions(s: SettingsRecord, first: int) -> Iterator[SettingProblem]:
    last = first + s.workers - 1
    if s.port == first:
        remedy = "give metrics another port, or leave metrics_port out"
        yield SettingProblem(("metrics_port", "port"), "is the same as port", remedy)
    elif first < s.port <= last:
        wrong = f"is the first of {s.workers}, one for each worker, and port is among them"
        yield SettingProblem(
            ("metrics_port", "port", "workers"), wrong, "choose a port beyond these"
        )
    if last > 65535:
        wrong = f"is the first of {s.workers}, one for each worker, and there are not so many"
        yield SettingProblem(("metrics_port", "workers"), wrong, "choose a smaller number")


def _worker_contradictions(s: SettingsRecord) -> Iterator[SettingProblem]:
    if s.sqlite_path is not None:
        wrong = f"is {s.workers}, and the embedded store belongs to one process alone"
        remedy = "set `database` to a Postgres, or run one worker"
        yield SettingProblem(("workers", "database"), wrong, remedy)
    if s.redis is None:
        wrong = f"is {s.workers}, and without redis each would deliver to its own connections only"
        yield SettingProblem(("workers", "redis"), wrong, "set `redis`, or run one worker")
