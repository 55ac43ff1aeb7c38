"""Any history of producers, store, device, network and time keeps the session's promises.

The machine plays what surrounds a `DeviceSession`: the user's actor, which carries things out, the
store, a wire that is slow and breaks, and a device that does what devices do. After every step it
asks what must never be otherwise; at the end of every history a device that acknowledges and a
store that works must come to rest with nothing missing.
"""

from __future__ import annotations

import math
from typing import Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.protocol.histories_kit import HISTORIES
from tests.protocol.session_machine_kit import RESEND, SessionStage
from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.terms import Acknowledging, SessionLimits
from tocsin.protocol.errors import AckedUnsent
from tocsin.protocol.log.ledger import DeliveryRecord
from tocsin.protocol.log.push import LogEntry, Push

STEPS_TO_REST: Final = 1000
SUN = {"news": True, "store": True, "wire": True, "acks": True}
WEATHER = st.sampled_from([SUN, SUN | {"acks": False}]) | st.fixed_dictionaries(
    dict.fromkeys(SUN, st.booleans())
)
"""Things that go on by themselves at once; the rest happens by rules only."""
IS_HEARD = st.sampled_from([True, True, True, True, True, False])
"""Whether this node hears of a change; another node may have made it, and the bus lost it."""
CHANGES = st.sampled_from(["updated", "state", "withdrawn"])
received_something = precondition(lambda self: self.device.received)
answers = precondition(lambda self: self.device.received and self.is_explicit)


class SessionMachine(SessionStage, RuleBasedStateMachine):
    """Rules: what may happen. Invariants: what must never be otherwise. See the module."""

    @initialize(
        window=st.sampled_from([1, 2, 3, 5, 8]),
        window_bytes=st.sampled_from([20, 50, 100, 1000]),
        resend_limit=st.integers(1, 3),
        attempts_max=st.integers(1, 6),
        before=st.sampled_from([0, 0, 1, 6]),
        quick=WEATHER,
        acknowledging=st.sampled_from(Acknowledging),
    )
    def begin(
        self, window, window_bytes, resend_limit, attempts_max, before, quick, acknowledging
    ) -> None:
        self.quick = quick
        self.acknowledging = acknowledging
        self.limits = SessionLimits(window, window_bytes, RESEND, resend_limit, attempts_max)
        for _ in range(before):
            self.log.create(size=8)
        self.connect("stored")

    # --- Producers -------------------------------------------------------------------------------

    @rule(changes=st.lists(st.tuples(st.integers(1, 30), IS_HEARD), min_size=1, max_size=4))
    def create(self, changes: list[tuple[int, bool]]) -> None:
        for size, is_heard in changes:
            self._publish(self.log.create(size), is_heard)

    @precondition(lambda self: self.log.changeable())
    @rule(data=st.data(), change=CHANGES)
    def change(self, data, change: str) -> None:
        self._change(data.draw(st.sampled_from(self.log.changeable())), change, data.draw(IS_HEARD))

    @precondition(lambda self: self.flight)
    @rule(changes=st.lists(CHANGES, min_size=1, max_size=4), number=st.integers(0, 7))
    def change_what_is_in_flight(self, changes: list[str], number: int) -> None:
        pushes = list(self.flight.unanswered.values())
        for change in changes:
            self._change(pushes[number % len(pushes)].notification_id, change, is_heard=True)

    def _change(self, notification: str, change: str, is_heard: bool) -> None:
        if notification in self.log.changeable():
            self._publish(self.log.change(notification, change), is_heard)

    @precondition(lambda self: self.log.changeable())
    @rule(data=st.data())
    def expire(self, data) -> None:
        self.log.expire(data.draw(st.sampled_from(self.log.changeable())))

    def _publish(self, entry: LogEntry, is_heard: bool) -> None:
        if is_heard:
            self.news.append(entry)
        self.let_the_quick_go_on()

    # --- News of the log -------------------------------------------------------------------------

    @rule(quick=WEATHER)
    def change_the_weather(self, quick: dict[str, bool]) -> None:
        self.quick = quick
        self.let_the_quick_go_on()

    @precondition(lambda self: self.news)
    @rule()
    def hear_one(self) -> None:
        self.hear_news()

    @rule()
    def hear_of_the_head(self) -> None:
        self.hear_of_head()
        self.let_the_quick_go_on()

    @rule()
    def doubt(self) -> None:
        self.session.doubt()
        self.is_doubtful = True
        self.carry_out([])
        self.let_the_quick_go_on()

    @precondition(lambda self: self.wanted and not self.page)
    @rule(rows_max=st.integers(1, 4))
    def look_for_page(self, rows_max: int) -> None:
        self.read_page(rows_max)

    @precondition(lambda self: self.page)
    @rule()
    def answer_with_page(self) -> None:
        self.get_page()

    @precondition(lambda self: self.wanted)
    @rule()
    def get_no_page(self) -> None:
        self.page = self.wanted = None
        self.session.page_failed()
        self.is_doubtful = True

    # --- The device ------------------------------------------------------------------------------

    @precondition(lambda self: self.device.wire)
    @rule()
    def receive(self) -> None:
        self.device.receive()

    @answers
    @rule(data=st.data())
    def acknowledge_some(self, data) -> None:
        """The last, some, the same again, an old one: it has all of them."""
        received = sorted({sent.sequence for sent in self.device.received})
        self.acknowledge_through(data.draw(st.sampled_from(received[::-1])))
        self.let_the_quick_go_on()

    @answers
    @rule(data=st.data())
    def acknowledge_ids(self, data) -> None:
        received = {sent.notification for sent in self.device.received}
        names = [name for name in sorted(received) if self.is_unambiguous(name)]
        ids = data.draw(st.lists(st.sampled_from(names))) if names else ["unknown"]
        confirmed = self.flight.acknowledge_ids(ids)
        records = self.session.ack_ids(ids, self.now_ms)
        assert {record.sequence for record in records} == confirmed
        self.carry_out(records)
        self.let_the_quick_go_on()

    @rule(beyond=st.integers(1, 3))
    def acknowledge_what_was_never_sent(self, beyond: int) -> None:
        with pytest.raises(AckedUnsent):
            self.session.ack_through(self.session.position + beyond, self.now_ms)

    @received_something
    @rule(data=st.data(), by_id=st.booleans())
    def acknowledge_over_http(self, data, by_id: bool) -> None:
        received = sorted(self.device.received)
        if by_id:
            names = sorted({sent.notification for sent in received})
            sure = [name for name in names if self.is_unambiguous(name)]
            self.acknowledge_elsewhere(
                None, data.draw(st.lists(st.sampled_from(sure))) if sure else []
            )
        else:
            self.acknowledge_elsewhere(data.draw(st.sampled_from(received)).sequence, [])
        self.let_the_quick_go_on()

    @precondition(lambda self: self.flight and not self.is_explicit)
    @rule(data=st.data())
    def take_some(self, data) -> None:
        """The socket takes what it takes, which is no sign that it has arrived."""
        self.take_through(data.draw(st.sampled_from(sorted(self.flight.unanswered))))
        self.let_the_quick_go_on()

    @answers
    @rule(data=st.data(), after=st.none() | st.sampled_from([0.0, 1.0, 30.0, 3600.0]))
    def refuse(self, data, after: float | None) -> None:
        names = sorted({sent.notification for sent in self.device.received})
        notification = data.draw(st.sampled_from(names))
        push = self.flight.latest(notification)
        outputs = self.session.nack(notification, None, after, self.now, self.now_ms)
        if push is None:
            assert outputs == []
        else:
            self.flight.silent[push.sequence] = 0
            [record] = outputs
            assert isinstance(record, DeliveryRecord)
            is_last = push.attempt == self.limits.delivery_attempts_max
            assert (record.dead_reason is not None) == is_last
            if after is not None and not is_last:
                assert push.deadline == self.now + after
        self.carry_out(outputs)
        self.let_the_quick_go_on()

    # --- Time and the network --------------------------------------------------------------------

    @rule()
    def wait_until_the_deadline(self) -> None:
        deadline = self.session.next_deadline()
        if deadline < math.inf:
            self.let_time_pass(max(0.0, deadline - self.now))

    @rule(seconds=st.sampled_from([0.0, 1.0, 7.5, 100.0, 100_000.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds
        due = self.flight.due(self.now) if self.is_explicit else set()
        outputs = self.session.expire(self.now, 0)
        done = {each.sequence for each in outputs if isinstance(each, Push | DeliveryRecord)}
        assert done == due or (Closing.UNRESPONSIVE in outputs and done < due)
        self.carry_out(outputs)
        self.let_the_quick_go_on()

    @rule()
    def back_up(self) -> None:
        self.device.back_up()

    @rule(
        cursor=st.sampled_from(["stored", "own", "0", "backup", "foreign"]),
        purged=st.sampled_from([0, 0, 0, 1, 3]),
        withdrawn=st.sampled_from([0, 0, 1, 3]),
        node_died=st.sampled_from([False, False, True]),
    )
    def come_back(self, cursor: str, purged: int, withdrawn: int, node_died: bool) -> None:
        """The connection breaks, and what is on the way is lost; then the device returns."""
        for notification in self.log.changeable()[::-1][:withdrawn]:
            self.log.change(notification, "withdrawn")
        self.log.purge(min(self.log.head, self.log.horizon + purged))
        self.connect(cursor, node_died=node_died)
        self.let_the_quick_go_on()

    @rule()
    def let_the_ledger_be_written(self) -> None:
        self.log.write()

    # --- Things that must never be otherwise -----------------------------------------------------

    @invariant()
    def flight_is_bounded(self) -> None:
        assert self.session.in_flight == len(self.flight) <= self.limits.window
        if self.flight:
            last = self.flight.unanswered[max(self.flight.unanswered)]
            assert self.flight.size - len(last.notification) < self.limits.window_bytes

    @invariant()
    def the_deadline_is_never_late(self) -> None:
        pushes = self.flight.unanswered.values()
        true = [push.deadline for push in pushes if self.flight.is_latest(push)]
        assert self.session.next_deadline() <= min(true, default=math.inf)
        assert self.is_explicit or self.session.next_deadline() == math.inf

    @invariant()
    def the_cursor_only_moves_forward_and_never_past_the_unacknowledged(self) -> None:
        cursor = self.session.cursor
        assert self.cursor <= cursor <= self.session.position
        assert all(cursor < sequence for sequence in self.flight.unanswered)
        self.cursor = cursor

    @invariant()
    def nothing_before_the_position_was_missed(self) -> None:
        for row in self.log.rows.values():
            if self.start.sequence < row.sequence <= self.session.position:
                assert row.sequence in self.flight.pushed or self.may_lack(row)

    # --- At last ---------------------------------------------------------------------------------

    def teardown(self) -> None:
        """A device that acknowledges everything, and a store that works, come to rest."""
        if not hasattr(self, "session"):
            return
        self.quick = dict.fromkeys(self.quick, True)
        self._come_to_rest()
        # A device that acknowledges by coming back says so twice: what it has, and then what it
        # was spared.
        for _ in range(0 if self.is_explicit else 2):
            self.connect("own")
            self._come_to_rest()
        assert self.session.cursor == self.session.position == self.log.head == self.log.stored
        # An expiry is no entry of the log, so no session is told.
        assert self.log.has_expired or self.device.unread == self.log.unread
        for row in self.log.rows.values():
            if row.sequence > self.device.floor and not self.is_over(row):
                sequence, change = self.device.shown.get(row.notification, (0, "withdrawn"))
                assert change == "withdrawn" if row.withdrawn else sequence == row.sequence

    def _come_to_rest(self) -> None:
        for _ in range(STEPS_TO_REST):
            if not self.next_quick_thing():
                if self.session.position == self.log.head:
                    break
                self.hear_of_head()
        assert self.session.synced
        assert self.session.in_flight == 0


TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = HISTORIES
