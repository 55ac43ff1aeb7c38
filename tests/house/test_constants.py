"""Numbers have a unit and a reason, and a limit is known by the end of its name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.house.source import PACKAGE, parse, python_files, refuse_beyond, short, text_of

BOUND_WORD = re.compile(r"(^|_)(max|min|most|least|maximum|minimum)(_|$)", re.IGNORECASE)
BOUND_LAST = re.compile(r"(^|_)(max|min)$", re.IGNORECASE)

STILL_BARE = {
    "tocsin/actors/cluster/bridge.py _CLOSE_TIMEOUT",
    "tocsin/actors/cluster/bridge.py _RETRY",
    "tocsin/actors/cluster/bridge.py _WATCH",
    "tocsin/actors/cluster/channels.py _SWEEP",
    "tocsin/actors/cluster/disconnections.py _RETRY",
    "tocsin/actors/cluster/outbox.py BYTES_MAX",
    "tocsin/actors/cluster/reconciler.py _TIMEOUT",
    "tocsin/actors/cluster/trust.py _TIME_BYTES",
    "tocsin/actors/delivery/attendance.py _RETRY_DELAY",
    "tocsin/actors/delivery/drainer.py _BATCH",
    "tocsin/actors/publishing/notifications.py _MAILBOX_CAPACITY",
    "tocsin/actors/publishing/notifications.py _PATIENCE",
    "tocsin/actors/publishing/scheduler.py _EXPIRE_MAX",
    "tocsin/actors/publishing/scheduler.py _PAUSE_MIN",
    "tocsin/actors/publishing/scheduler.py _PURGE_INTERVAL",
    "tocsin/actors/publishing/scheduler.py _PURGE_MAX",
    "tocsin/actors/publishing/scheduler.py _RETRY_DELAY",
    "tocsin/actors/publishing/topics.py _RETRY_DELAY",
    "tocsin/actors/spool/entries.py _NAME_BYTES",
    "tocsin/actors/spool/entries.py _VERSION",
    "tocsin/actors/spool/spooler.py _WATCH",
    "tocsin/actors/storage/actor.py _CLOSE_TIMEOUT",
    "tocsin/actors/storage/blockades.py _SUSPECTS_MAX",
    "tocsin/actors/world.py _ENTROPY_BYTES",
    "tocsin/client/follower.py PONG_TIMEOUT",
    "tocsin/client/follower.py RECONNECT_CAP",
    "tocsin/client/follower.py RECONNECT_INITIAL",
    "tocsin/client/follower.py WELCOME_TIMEOUT",
    "tocsin/client/listening.py CLOSE_TIMEOUT",
    "tocsin/client/listening.py CONNECT_TIMEOUT",
    "tocsin/node.py _HOSTS_REMEMBERED",
    "tocsin/server/api/me.py _NAMES_MAX",
    "tocsin/server/api/me.py _TICKET_BYTES_MAX",
    "tocsin/server/api/routes.py _SEGMENTS_MAX",
    "tocsin/server/api/specs/tables.py _LINE_WIDTH",
    "tocsin/server/api/streams.py CHANGES_MAX",
    "tocsin/server/api/streams.py WAIT_MAX",
    "tocsin/server/api/streams.py _CHANGES_DEFAULT",
    "tocsin/server/auth/tokens.py REMEMBERED_MAX",
    "tocsin/server/auth/verification_key.py RSA_BITS_MAX",
    "tocsin/server/door/shared_port.py _SAME_PORT_ATTEMPTS",
    "tocsin/server/http/asgi_lane.py _STREAM",
    "tocsin/server/http/body.py _CHUNKS_FREE",
    "tocsin/server/http/body.py _LENGTH_DIGITS_MAX",
    "tocsin/server/http/body.py _SIZE_DIGITS_MAX",
    "tocsin/server/http/host.py SHUTDOWN_TIMEOUT",
    "tocsin/server/http/host.py STARTUP_TIMEOUT",
    "tocsin/server/http/shared.py _REQUEST_ID_LENGTH_MAX",
    "tocsin/server/http/upgrade.py _PROTOCOLS_MAX",
    "tocsin/server/http/upgrade.py _PROTOCOL_LENGTH_MAX",
    "tocsin/server/http/wire.py _READ_BYTES",
    "tocsin/server/http/wire.py _WRITE_BYTES",
    "tocsin/server/lingering_close.py DISCARD_BYTES",
    "tocsin/server/marking.py IDS_MAX",
    "tocsin/server/producing/batch.py ITEMS_MAX",
    "tocsin/server/producing/batch.py _ITEM_BYTES",
    "tocsin/server/request_head.py HEADERS_MAX",
    "tocsin/server/request_head.py HEAD_BYTES_MAX",
    "tocsin/server/request_head.py QUERY_FIELDS_MAX",
    "tocsin/server/request_head.py _HOSTS_REMEMBERED",
    "tocsin/server/request_head.py _METHOD_LENGTH_MAX",
    "tocsin/server/request_head.py _PORT_DIGITS_MAX",
    "tocsin/server/websocket/frame_reader.py _SHORT_MAX",
    "tocsin/server/websocket/frame_stream.py OUTBOUND_BYTES_MAX",
    "tocsin/server/websocket/pace.py _NEWCOMER_FRAMES",
    "tocsin/server/websocket/pace.py _PRODUCER_BYTES",
    "tocsin/server/websocket/pace.py _PRODUCER_FRAMES",
}
STILL_OTHERWISE = {
    "tocsin/actors/storage/ledger_buffer.py",
    "tocsin/persistence/bus/heard_queue.py",
    "tocsin/persistence/redis/client.py",
    "tocsin/persistence/scripts/keys.py",
    "tocsin/persistence/scripts/ledger.py",
    "tocsin/persistence/scripts/logs/locking.py",
    "tocsin/persistence/scripts/marks.py",
    "tocsin/persistence/scripts/purge.py",
    "tocsin/persistence/scripts/topics/bring.py",
    "tocsin/persistence/scripts/topics/plan.py",
    "tocsin/persistence/store/commands.py",
    "tocsin/persistence/store/key_commands.py",
    "tocsin/server/admission/limits.py",
    "tocsin/server/api/me.py",
    "tocsin/server/http/wire.py",
    "tocsin/server/turnstile.py",
}


def test_numbers_say_their_unit_and_reason():
    refuse_beyond(
        STILL_BARE,
        (
            f"{short(path)} {name}"
            for path in python_files(PACKAGE)
            for name in bare_numbers(parse(path), text_of(path))
        ),
        "A number wants its unit and its reason, in a string below it or a comment",
    )


def test_the_name_of_a_limit_ends_in_max_or_min():
    refuse_beyond(
        STILL_OTHERWISE,
        (
            f"{short(path)}: {name}"
            for path in python_files(PACKAGE)
            for name in declared_names(parse(path))
            if BOUND_WORD.search(name) and not BOUND_LAST.search(name)
        ),
        "A limit is called `<thing>_<unit>_max` or `_min`: all limits sort and grep alike",
    )


# --- the rules catch what they are for ------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("A: Final = 3", ["A"]),
        ("A = -2 * 60.0", ["A"]),
        ('A = 3\n"""Seconds."""', []),
        ("A = 3  # seconds", []),
        ("# Seconds.\nA = 3", []),
        ("A = True", []),
        ("A = 'x'", []),
        ("a, b = 1, 2", []),
    ],
)
def test_bare_numbers_are_seen(source, found):
    assert list(bare_numbers(ast.parse(source), source)) == found


@pytest.mark.parametrize(
    ("name", "is_fine"),
    [("bytes_max", True), ("max_bytes", False), ("most", False), ("climax", True), ("MAX", True)],
)
def test_limits_are_seen(name, is_fine):
    assert bool(not BOUND_WORD.search(name) or BOUND_LAST.search(name)) is is_fine


# --- how they look --------------------------------------------------------------------------------


def bare_numbers(tree: ast.Module, text: str) -> Iterator[str]:
    """The module's constants that are numbers, and say nothing of themselves."""
    lines = ["", *text.splitlines()]
    for node, following in pairwise([*tree.body, ast.Pass()]):
        name = constant_name(node)
        if name is None:
            continue
        is_told_below = isinstance(following, ast.Expr) and isinstance(
            following.value, ast.Constant
        )
        is_told_beside = "#" in lines[node.lineno]
        is_told_above = lines[node.lineno - 1].startswith("#")
        if not (is_told_below or is_told_beside or is_told_above):
            yield name


def constant_name(node: ast.stmt) -> str | None:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if is_number(value):
            return name
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if is_number(value):
            return name
        case _:
            return None


def is_number(value: ast.expr) -> bool:
    match value:
        case ast.Constant(value=number):
            return type(number) in (int, float)
        case ast.BinOp(left=left, right=right):
            return is_number(left) and is_number(right)
        case ast.UnaryOp(operand=operand):
            return is_number(operand)
        case _:
            return False


def declared_names(tree: ast.Module) -> Iterator[str]:
    """The names of parameters, fields, constants and variables; not those of calls to others."""
    for node in ast.walk(tree):
        match node:
            case ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name
            case _:
                pass
