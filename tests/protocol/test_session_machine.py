"""Any history of producers, store, device, network and time keeps the session's promises.

The machine plays what surrounds a `DeviceSession`: the user's actor (as `tocsin.actors.device`
carries things out), the store, a wire that is slow and breaks, and a device that does what devices
do. After every step it asks what must never be otherwise; at the end of every history a device
that acknowledges and a store that works must come to rest with nothing missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.protocol.device_model import DeviceModel, Sent
from tests.protocol.log_model import EPOCH, LogModel, Page, Row
from tocsin.protocol.backoff import Backoff
from tocsin.protocol.closing import Closing
from tocsin.protocol.cursor import Cursor, Start, parse_cursor
from tocsin.protocol.ledger import DeliveryRecord
from tocsin.protocol.session import (
    AckedUnsent,
    CaughtUp,
    DeviceSession,
    LogEntry,
    Output,
    PageWanted,
    Push,
    SessionLimits,
)

RESEND = Backoff(initial=10.0, cap=60.0)
STEPS_TO_REST = 2000
received_something = precondition(lambda self: self.device.received)


WEATHER = st.fixed_dictionaries(dict.fromkeys(("news", "store", "wire"), st.booleans()))
"""What goes on by itself at once; the rest happens by rules only."""
IS_HEARD = st.sampled_from([True, True, True, False])
"""Whether this node hears of a change; another node may have made it, and the bus lost it."""


class SessionMachine(RuleBasedStateMachine):
    """See the module. What is *unanswered* was pushed in this session and not acknowledged."""

    limits: SessionLimits

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.log = LogModel()
        self.device = DeviceModel()
        self.jitters = 0
        self.quick: dict[str, bool] = {}

    @initialize(
        window=st.integers(1, 4),
        window_bytes=st.integers(20, 60),
        resend_limit=st.integers(1, 3),
        attempts_max=st.integers(1, 6),
        before=st.integers(0, 6),
        quick=WEATHER,
    )
    def begin(self, window, window_bytes, resend_limit, attempts_max, before, quick) -> None:
        self.quick = quick
        self.limits = SessionLimits(window, window_bytes, RESEND, resend_limit, attempts_max)
        for _ in range(before):
            self.log.create(size=8)
        self.connect("stored")

    # --- Producers -------------------------------------------------------------------------------

    @rule(changes=st.lists(st.tuples(st.integers(1, 30), IS_HEARD), min_size=1, max_size=5))
    def create(self, changes: list[tuple[int, bool]]) -> None:
        for size, is_heard in changes:
            self._publish(self.log.create(size), is_heard)

    @precondition(lambda self: self.log.changeable())
    @rule(data=st.data(), change=st.sampled_from(["updated", "state", "withdrawn"]))
    def change(self, data, change: str) -> None:
        some = st.lists(st.sampled_from(self.log.changeable()), min_size=1, max_size=3)
        for notification in data.draw(some):
            if notification in self.log.changeable():
                self._publish(self.log.change(notification, change), data.draw(IS_HEARD))

    @precondition(lambda self: self.log.changeable())
    @rule(data=st.data())
    def expire(self, data) -> None:
        self.log.expire(data.draw(st.sampled_from(self.log.changeable())))

    def _publish(self, entry: LogEntry, is_heard: bool) -> None:
        if is_heard:
            self.news.append(entry)
        self._let_the_quick_go_on()

    # --- What the session hears of the log -------------------------------------------------------

    @rule(quick=WEATHER)
    def change_the_weather(self, quick: dict[str, bool]) -> None:
        self.quick = quick
        self._let_the_quick_go_on()

    def _let_the_quick_go_on(self) -> None:
        while self.quick["news"] and self.news:
            self.hear_news()
        while self.quick["store"] and self.wanted:
            self.read_page(4)
            self.get_page()
        while self.quick["wire"] and self.device.wire:
            self.device.receive()

    @precondition(lambda self: self.news)
    @rule()
    def hear_news(self) -> None:
        entry = self.news.pop(0)
        push = self.session.live(entry, self.now, self.now_ms)
        self.known = max(self.known, entry.sequence)
        self._carry_out([] if push is None else [push])

    @rule()
    def hear_of_the_head(self) -> None:
        self.session.heard_of(self.log.head)
        self.known = self.log.head
        self._carry_out([])
        self._let_the_quick_go_on()

    @precondition(lambda self: self.wanted and not self.page)
    @rule(rows_max=st.integers(1, 4))
    def read_page(self, rows_max: int) -> None:
        """The store looks now; its answer comes when it comes."""
        assert self.wanted is not None
        self.page = self.log.read(self.wanted, self.start, self.began, rows_max)

    @precondition(lambda self: self.page)
    @rule()
    def get_page(self) -> None:
        assert self.page is not None
        page, self.page, self.wanted = self.page, None, None
        self.known = max(self.known, page.head)
        self._carry_out(self.session.page(*page, self.now, self.now_ms))

    @precondition(lambda self: self.wanted)
    @rule()
    def get_no_page(self) -> None:
        self.page = self.wanted = None
        self.session.page_failed()

    @precondition(lambda self: self.device.wire)
    @rule()
    def receive(self) -> None:
        self.device.receive()

    # --- The device ------------------------------------------------------------------------------

    @received_something
    @rule(data=st.data())
    def acknowledge_through(self, data) -> None:
        """The last, some, the same again, an old one: it has all of them."""
        received = sorted({sent.sequence for sent in self.device.received})
        sequence = data.draw(st.sampled_from(received[::-1]))
        self._acknowledge_through(sequence)
        self._let_the_quick_go_on()

    @received_something
    @rule(data=st.data())
    def acknowledge_ids(self, data) -> None:
        received = {sent.notification for sent in self.device.received}
        ids = [name for name in sorted(received) if self._is_unambiguous(name)]
        self._acknowledge_ids(data.draw(st.lists(st.sampled_from(ids))) if ids else ["unknown"])
        self._let_the_quick_go_on()

    @rule(beyond=st.integers(1, 3))
    def acknowledge_what_was_never_sent(self, beyond: int) -> None:
        with pytest.raises(AckedUnsent):
            self.session.ack_through(self.session.position + beyond, self.now_ms)

    @received_something
    @rule(data=st.data(), after=st.none() | st.sampled_from([0.0, 1.0, 30.0, 3600.0]))
    def refuse(self, data, after: float | None) -> None:
        names = sorted({sent.notification for sent in self.device.received})
        notification = data.draw(st.sampled_from(names))
        push = self._latest(notification)
        outputs = self.session.nack(notification, None, after, self.now, self.now_ms)
        if push is None:
            assert outputs == []
        else:
            self.sent_without_answer[push.sequence] = 0
            [record] = outputs
            assert isinstance(record, DeliveryRecord)
            assert (record.dead_reason is not None) == (
                push.attempt == self.limits.delivery_attempts_max
            )
            if record.dead_reason is None and after is not None:
                assert push.deadline == self.now + after
        self._carry_out(outputs)
        self._let_the_quick_go_on()

    # --- Time and the network --------------------------------------------------------------------

    @rule()
    def wait_until_the_deadline(self) -> None:
        deadline = self.session.next_deadline()
        if deadline < math.inf:
            self.now = max(self.now, deadline)
            self._expire()

    @rule(seconds=st.sampled_from([0.0, 1.0, 7.5, 100.0, 100_000.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds
        self._expire()

    @rule()
    def back_up(self) -> None:
        self.device.back_up()

    @rule(
        cursor=st.sampled_from(["stored", "own", "0", "backup", "foreign"]),
        purged=st.sampled_from([0, 0, 0, 1, 3]),
    )
    def come_back(self, cursor: str, purged: int) -> None:
        """The connection breaks, and what is on the way is lost; then the device returns."""
        self.log.purge(min(self.log.head, self.log.horizon + purged))
        self.connect(cursor)

    def connect(self, cursor: str) -> None:
        requested = None
        if cursor == "own" and self.device.cursor is not None:
            requested = Cursor(EPOCH, self.device.cursor)
        elif cursor == "backup" and self.device.backup is not None:
            requested = Cursor(EPOCH, self.device.restore())
        elif cursor == "0":
            requested = parse_cursor("0", EPOCH)
        elif cursor == "foreign":
            requested = Cursor("e0", 3)
        self.start = start = self.log.attach(requested)
        self.device.connect(start.sequence, anew=cursor == "0" or start.reset is not None)
        self.began = self.known = self.log.head
        self.news: list[LogEntry] = []
        self.wanted: PageWanted | None = None
        self.page: Page | None = None
        self.pushed: dict[int, Push] = {}
        self.unanswered: dict[int, Push] = {}
        self.sent_without_answer: dict[int, int] = {}
        self.caught_up = False
        self.cursor = start.sequence
        self.session = DeviceSession(
            "ann", "phone", start.sequence, self.began, self.limits, self._jitter
        )
        self._carry_out(self.session.begin())
        self._let_the_quick_go_on()

    # --- Carrying out, and what every output must be ---------------------------------------------

    @property
    def now_ms(self) -> int:
        return int(self.now * 1000)

    def _jitter(self) -> float:
        self.jitters += 1
        return (0.0, 0.5, 0.999)[self.jitters % 3]

    def _carry_out(self, outputs: Sequence[Output]) -> None:
        session = self.session
        for output in outputs:
            match output:
                case Push():
                    self._check_push(output)
                    self.device.wire.append(Sent.of(output))
                    self.log.record(session.sent(output))
                case DeliveryRecord():
                    self._check_record(output)
                    self.log.record(output)
                case CaughtUp(sequence=sequence):
                    assert not self.caught_up
                    assert sequence == session.position == self.known
                    self.caught_up = True
                    self.device.wire.append(output)
                case Closing():
                    self._check_closing(output)
                    self.connect("stored")
                    return
        moved = session.cursor_moved(self.now_ms)
        assert session.cursor_moved(self.now_ms) is None
        if moved is not None:
            assert self.log.stored is not None
            assert moved.sequence > self.log.stored
            self.log.stored = moved.sequence
        self._ask_for_page(session)

    def _ask_for_page(self, session: DeviceSession) -> None:
        wanted = session.wants_page()
        room = session.in_flight < self.limits.window and (
            self._unanswered_bytes() < self.limits.window_bytes
        )
        assert (wanted is not None) == (
            self.wanted is None and room and session.position < self.known
        )
        if wanted is not None:
            assert wanted.after == session.position
            assert 1 <= wanted.limit == self.limits.window - session.in_flight
            assert 1 <= wanted.bytes_max == self.limits.window_bytes - self._unanswered_bytes()
            self.wanted = wanted

    def _check_push(self, push: Push) -> None:
        line = self.log.line(push.notification_id)
        before = line.attempts if line.sequence == push.sequence else 0
        assert push.attempt == before + 1 <= self.limits.delivery_attempts_max
        if push.sequence in self.pushed:
            assert self.unanswered.get(push.sequence) is push
            assert self._latest(push.notification_id) is push
            self.sent_without_answer[push.sequence] += 1
        else:
            last = max(self.pushed, default=self.start.sequence)
            assert push.sequence > last == push.previous
            assert push.replay is not self.caught_up
            assert len(self.unanswered) < self.limits.window
            assert self._unanswered_bytes() < self.limits.window_bytes
            self.pushed[push.sequence] = self.unanswered[push.sequence] = push
            self.sent_without_answer[push.sequence] = 1
        delay = RESEND.delay(push.tries, 0.5)
        assert 0.8 * delay <= push.deadline - self.now <= 1.2 * delay + 1e-6
        assert self.sent_without_answer[push.sequence] <= self.limits.resend_limit

    def _check_record(self, record: DeliveryRecord) -> None:
        assert (record.user, record.device) == ("ann", "phone")
        if record.dead_reason is not None:
            assert record.attempts >= self.limits.delivery_attempts_max
            push = self.unanswered.get(record.sequence)
            if push is not None:
                self._forget(push)

    def _check_closing(self, closing: Closing) -> None:
        assert closing is Closing.UNRESPONSIVE
        assert any(
            self.sent_without_answer[push.sequence] >= self.limits.resend_limit
            and push.deadline <= self.now
            for push in self.unanswered.values()
        )

    def _expire(self) -> None:
        due = {push.sequence for push in self.unanswered.values() if push.deadline <= self.now}
        outputs = self.session.expire(self.now)
        sequences = {each.sequence for each in outputs if isinstance(each, Push | DeliveryRecord)}
        assert sequences == due or (Closing.UNRESPONSIVE in outputs and sequences < due)
        self._carry_out(outputs)
        self._let_the_quick_go_on()

    # --- What is unanswered ----------------------------------------------------------------------

    def _acknowledge_through(self, sequence: int) -> None:
        covered = [push for push in self.unanswered.values() if push.sequence <= sequence]
        confirmed = {push.sequence for push in covered if self._is_latest(push)}
        for push in covered:
            self._forget(push)
        records = self.session.ack_through(sequence, self.now_ms)
        assert {record.sequence for record in records} == confirmed
        assert all(record.acknowledged_at == self.now_ms for record in records)
        assert self.session.ack_through(sequence, self.now_ms) == []
        self._carry_out(records)

    def _acknowledge_ids(self, ids: list[str]) -> None:
        """An ack by id takes the earlier changes first, unless the last was sent again."""
        confirmed = set()
        for notification in ids:
            push = self._latest(notification)
            older = self._older(notification)
            if push is not None and older and push.tries == 1:
                for earlier in older:
                    self._forget(earlier)
            elif push is not None:
                self._forget(push)
                confirmed.add(push.sequence)
        records = self.session.ack_ids(ids, self.now_ms)
        assert {record.sequence for record in records} == confirmed
        self._carry_out(records)

    def _is_unambiguous(self, notification: str) -> bool:
        """Whether the session can know which change an ack by id answers.

        It cannot if two later ones are on the way, or if one is and the device says it twice.
        """
        coming = self.device.on_the_wire(notification)
        if not coming:
            return True
        latest = self._latest(notification)
        return (
            len(coming) == 1
            and latest is not None
            and latest.sequence == coming[0].sequence
            and latest.tries == 1
            and bool(self._older(notification))
        )

    def _forget(self, push: Push) -> None:
        """What the last change of a notification is spared, the earlier ones are as well."""
        if self._is_latest(push):
            for older in self._older(push.notification_id):
                del self.unanswered[older.sequence]
        self.unanswered.pop(push.sequence, None)

    def _latest(self, notification: str) -> Push | None:
        return max(self._changes(notification), key=lambda push: push.sequence, default=None)

    def _is_latest(self, push: Push) -> bool:
        return self._latest(push.notification_id) is push

    def _older(self, notification: str) -> list[Push]:
        latest = self._latest(notification)
        return [push for push in self._changes(notification) if push is not latest]

    def _changes(self, notification: str) -> list[Push]:
        return [push for push in self.unanswered.values() if push.notification_id == notification]

    def _unanswered_bytes(self) -> int:
        return sum(len(push.notification) for push in self.unanswered.values())

    # --- What must never be otherwise ------------------------------------------------------------

    @invariant()
    def flight_is_bounded(self) -> None:
        assert self.session.in_flight == len(self.unanswered) <= self.limits.window
        last = max(self.unanswered, default=0)
        rest = self._unanswered_bytes() - (
            len(self.unanswered[last].notification) if last else 0
        )
        assert rest < self.limits.window_bytes

    @invariant()
    def the_deadline_is_never_late(self) -> None:
        true = [push.deadline for push in self.unanswered.values() if self._is_latest(push)]
        assert self.session.next_deadline() <= min(true, default=math.inf)

    @invariant()
    def the_cursor_only_moves_forward_and_never_past_the_unacknowledged(self) -> None:
        cursor = self.session.cursor
        assert self.cursor <= cursor <= self.session.position
        assert all(cursor < sequence for sequence in self.unanswered)
        self.cursor = cursor

    @invariant()
    def nothing_before_the_position_was_missed(self) -> None:
        for row in self.log.rows.values():
            if self.start.sequence < row.sequence <= self.session.position:
                assert row.sequence in self.pushed or self._may_lack(row)

    def _may_lack(self, row: Row) -> bool:
        line = self.log.line(row.notification)
        shown = self.device.shown.get(row.notification, (0, "withdrawn"))[1]
        return (
            row.expired
            or (line.dead and line.sequence >= row.sequence)
            or line.acknowledged >= row.sequence
            or (row.withdrawn and shown == "withdrawn")
        )

    # --- At last ---------------------------------------------------------------------------------

    def teardown(self) -> None:
        """A device that acknowledges everything, and a store that works, come to rest."""
        if not hasattr(self, "session"):
            return
        self.quick = dict.fromkeys(self.quick, False)
        for _ in range(STEPS_TO_REST):
            if self._is_at_rest():
                break
            self._do_the_next_thing()
        else:
            raise AssertionError("no rest")
        assert self.session.synced
        assert self.session.cursor == self.session.position == self.log.head == self.log.stored
        for row in self.log.rows.values():
            self._check_shown(row)

    def _is_at_rest(self) -> bool:
        return not (self.device.wire or self.unanswered or self.wanted) and (
            self.session.position == self.log.head
        )

    def _do_the_next_thing(self) -> None:
        if self.page:
            self.get_page()
        elif self.wanted:
            self.read_page(4)
        elif self.device.wire:
            self.device.receive()
        elif self.unanswered:
            self._acknowledge_through(max(self.unanswered))
        else:
            self.hear_of_the_head()

    def _check_shown(self, row: Row) -> None:
        line = self.log.line(row.notification)
        given_up = line.dead and line.sequence >= row.sequence
        if row.expired or given_up or row.sequence <= self.device.floor:
            return
        sequence, change = self.device.shown.get(row.notification, (0, "withdrawn"))
        if row.withdrawn:
            assert change == "withdrawn"
        else:
            assert sequence == row.sequence


TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = settings(max_examples=250, stateful_step_count=50, deadline=None)
