"""Any history of log, store, ledger, nodes, token, network and time keeps a delivery's promises.

`test_session_machine` does the same for what is pushed and when again; here it is for what stands
around that: where a delivery starts, what it reads, how it ends. At the end of every history, when
all works, the device must have what it has to have, and its counters must be true.
"""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.protocol.delivery_machine_kit import HAS_SESSION, RESEND, DeliveryStage
from tests.protocol.histories_kit import HISTORIES
from tests.protocol.log_model_kit import EPOCH
from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.phases import Phase
from tocsin.protocol.delivery.terms import SessionLimits
from tocsin.protocol.delivery.values import Hops, LogPage
from tocsin.protocol.log.cursor import Cursor

STEPS_TO_REST: Final = 1000
MOSTLY: Final = st.sampled_from([True, True, True, True, True, False])
THINGS: Final = "nodes", "store", "answers", "wire", "acks", "returns"
SUN: Final = dict.fromkeys(THINGS, True)
WEATHER: Final = st.sampled_from(
    [SUN, *(SUN | {thing: False} for thing in THINGS), dict.fromkeys(THINGS, False)]
)
"""Things that go on by themselves at once; the rest happens by rules only."""
connected = precondition(lambda self: not self.has_ended)


class DeliveryMachine(DeliveryStage, RuleBasedStateMachine):
    """Rules: what may happen. Invariants: what must never be otherwise. See the module."""

    @initialize(window=st.sampled_from([1, 2, 8]), before=st.sampled_from([0, 1, 6]), quick=WEATHER)
    def begin(self, window: int, before: int, quick: dict[str, bool]) -> None:
        self.quick = quick
        self.limits = SessionLimits(window, 100, RESEND, 3, 100)
        for _ in range(before):
            self.log.create(size=8)
        self.connect(None)

    @rule(quick=WEATHER)
    def change_the_weather(self, quick: dict[str, bool]) -> None:
        self.quick = quick

    @invariant()
    def the_quick_goes_on(self) -> None:
        """No invariant, but Hypothesis calls it as one: after every rule, and after the others.

        (They are called by the order of their names, and may look at what is still on its way.)
        """
        for _ in range(STEPS_TO_REST):
            if not self.next_quick_thing():
                return
        raise AssertionError("it does not come to rest")

    # --- The log ---------------------------------------------------------------------------------

    @rule(heard=st.lists(MOSTLY, min_size=1, max_size=4))
    def create(self, heard: list[bool]) -> None:
        for is_heard in heard:
            entry = self.log.create(size=8)
            if is_heard:
                self.hear(entry)

    @precondition(lambda self: self.log.changeable())
    @rule(data=st.data(), change=st.sampled_from(["updated", "withdrawn"]), is_heard=MOSTLY)
    def change(self, data, change: str, is_heard: bool) -> None:
        entry = self.log.change(data.draw(st.sampled_from(self.log.changeable())), change)
        if is_heard:
            self.hear(entry)

    @precondition(lambda self: self.log.changeable())
    @rule(data=st.data())
    def expire(self, data) -> None:
        self.log.expire(data.draw(st.sampled_from(self.log.changeable())))
        self.hear_of_expiry()

    @rule(by=st.integers(1, 5))
    def purge(self, by: int) -> None:
        withdrawn = {name for name, row in self.log.rows.items() if row.withdrawn}
        self.log.purge(min(self.log.head, self.log.horizon + by))
        self.gone |= withdrawn - set(self.log.rows)

    @precondition(lambda self: self.is_idle and self.device.shown)
    @rule()
    def purge_under_the_reader(self) -> None:
        for name in self.log.changeable():
            self.log.change(name, "withdrawn")
        self.hear_of_head()
        if self.asked:
            self.purge(self.log.head)
            self.look_up(4)
            self.get_answer()

    @precondition(lambda self: self.is_idle and self.log.changeable())
    @rule()
    def expire_while_the_device_attaches(self) -> None:
        self.carry_out(self.delivery.left())
        self.connect(None)
        self.carry_out(self.delivery.listening())
        if self.asked:
            self.look_up(4)
            self.log.expire(self.log.changeable()[0])
            self.hear_of_expiry()
            self.get_answer()

    @precondition(lambda self: isinstance(self.answer, LogPage) and self.expires_at is not None)
    @connected
    @rule()
    def let_the_token_run_out_while_a_page_is_coming(self) -> None:
        assert self.expires_at is not None
        self.now = max(self.now, self.expires_at / 1000)
        self.get_answer()

    @rule()
    def hear_of_the_head(self) -> None:
        self.hear_of_head()

    # --- The store and the ledger ----------------------------------------------------------------

    @precondition(lambda self: self.asked and not self.answer and self.hops.store)
    @rule(rows_max=st.integers(1, 4))
    def let_the_store_look(self, rows_max: int) -> None:
        self.look_up(rows_max)

    @precondition(lambda self: self.answer and not self.has_ended)
    @rule()
    def let_the_answer_come(self) -> None:
        self.get_answer()

    @precondition(lambda self: self.asked and self.delivery.phase in HAS_SESSION)
    @rule()
    def let_reading_fail(self) -> None:
        self.asked = self.answer = None
        if self.delivery.phase is Phase.RESETTING:
            self.carry_out(self.delivery.end(Closing.STORE_UNAVAILABLE, 1.0))
        else:
            self.delivery.page_failed(self.now)
            self.has_failed = True

    @rule(has_room=MOSTLY, takes_questions=MOSTLY)
    def fill_or_empty_what_is_bounded(self, has_room: bool, takes_questions: bool) -> None:
        self.has_room, self.takes_questions = has_room, takes_questions

    @rule(bus=MOSTLY, store=MOSTLY)
    def lose_or_regain_hops(self, bus: bool, store: bool) -> None:
        self.change_hops(Hops(bus, store))

    # --- The other nodes -------------------------------------------------------------------------

    @connected
    @rule()
    def hear_the_others(self) -> None:
        self.carry_out(self.delivery.listening())

    @rule(is_unsettled=st.booleans(), is_current=MOSTLY)
    def let_others_work(self, is_unsettled: bool, is_current: bool) -> None:
        self.is_unsettled, self.is_current = is_unsettled, is_current

    @precondition(lambda self: self.delivery.phase is Phase.SETTLING)
    @rule()
    def settle(self) -> None:
        self.carry_out(self.delivery.settled())

    @connected
    @rule(is_echoed=st.booleans())
    def arrive_elsewhere(self, is_echoed: bool) -> None:
        if is_echoed:
            self.delivery.echoed()
        self.carry_out(self.delivery.arrived_elsewhere(self.now))
        assert self.has_ended or not is_echoed

    # --- The device ------------------------------------------------------------------------------

    @precondition(lambda self: self.device.wire)
    @rule()
    def receive(self) -> None:
        self.device.receive()

    @precondition(lambda self: self.device.received and not self.has_ended)
    @rule(data=st.data())
    def acknowledge_some(self, data) -> None:
        received = sorted({sent.sequence for sent in self.device.received})
        self.acknowledge(data.draw(st.sampled_from(received[::-1])))

    @connected
    @rule()
    def leave(self) -> None:
        self.carry_out(self.delivery.left())

    @rule(
        with_cursor=st.booleans(),
        lifetime=st.sampled_from([None, 30_000, 1_000_000]),
    )
    def come_back(self, with_cursor: bool, lifetime: int | None) -> None:
        if not self.has_ended:
            self.carry_out(self.delivery.left())
        own = self.device.cursor if with_cursor else None
        cursor = None if own is None else Cursor(EPOCH, own)
        self.connect(cursor, None if lifetime is None else self.now_ms + lifetime)

    # --- Time ------------------------------------------------------------------------------------

    @rule()
    def fall_silent(self) -> None:
        self.is_mute = True

    @connected
    @rule()
    def wait_until_the_deadline(self) -> None:
        self.pass_time(max(0.0, self.delivery.next_deadline() - self.now))

    @precondition(lambda self: self.flight and not self.has_ended)
    @rule()
    def let_a_resend_be_due_while_the_others_are_not_heard(self) -> None:
        self.is_current = False
        self.pass_time(15.0)

    @rule(seconds=st.sampled_from([0.0, 0.2, 3.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.pass_time(seconds)

    # --- Things that must never be otherwise -----------------------------------------------------

    @invariant()
    def an_end_is_said_once_and_noted_unless_a_line_is_missing(self) -> None:
        assert len(self.ends) <= 1
        if self.has_ended and self.was_asked and not self.is_noted:
            assert [end.closing for end in self.ends] == [Closing.OVERLOADED]

    @invariant()
    def a_deadline_is_never_later_than_a_resend(self) -> None:
        if self.has_ended or self.delivery.phase not in HAS_SESSION:
            return
        latest = [push for push in self.flight.unanswered.values() if self.flight.is_latest(push)]
        due = min([push.deadline for push in latest], default=self.delivery.next_deadline())
        assert self.delivery.next_deadline() <= max(due, self.now + 0.25)

    @invariant()
    def at_rest_the_device_has_everything(self) -> None:
        is_full = len(self.flight) >= self.limits.window or self.flight.size >= 100
        is_waiting = self.asked or self.device.wire or self.has_failed or is_full
        if self.delivery.phase is Phase.LIVE and self.known == self.log.head and not is_waiting:
            self._check_what_the_device_has()

    def _check_what_the_device_has(self) -> None:
        assert self.device.unread == self.log.unread
        shown = {name for name, (_, change) in self.device.shown.items() if change != "withdrawn"}
        assert not shown & self.gone
        for row in self.log.rows.values():
            if row.sequence > self.device.floor and not row.expired:
                sequence, change = self.device.shown.get(row.notification, (0, "withdrawn"))
                assert change == "withdrawn" if row.withdrawn else sequence == row.sequence

    # --- At last ---------------------------------------------------------------------------------

    def teardown(self) -> None:
        """When all works again, the delivery comes to rest with nothing missing."""
        if not hasattr(self, "delivery"):
            return
        self.has_room = self.takes_questions = self.is_current = True
        self.is_unsettled = False
        self.change_hops(Hops(bus=True, store=True))
        if self.has_ended or self.expires_at is not None:
            self.come_back_for_good()
        self.is_mute = False
        self.carry_out(self.delivery.listening())
        if self.delivery.phase is Phase.SETTLING:
            self.carry_out(self.delivery.settled())
        self._come_to_rest()
        self._check_what_the_device_has()

    def come_back_for_good(self) -> None:
        if not self.has_ended:
            self.carry_out(self.delivery.left())
        self.connect(None)

    def _come_to_rest(self) -> None:
        for _ in range(STEPS_TO_REST):
            assert not self.has_ended, self.ends
            if self.answer:
                self.get_answer()
            elif self.asked:
                self.look_up(4)
            elif self.device.wire:
                self.device.receive()
            elif self.flight:
                self.acknowledge(self.flight.last)
            elif self.known < self.log.head:
                self.hear_of_head()
            elif self.delivery.next_deadline() < self.now + 5.0:
                self.pass_time(max(0.0, self.delivery.next_deadline() - self.now))
            else:
                break
        assert self.delivery.phase is Phase.LIVE


TestDeliveryMachine = DeliveryMachine.TestCase
TestDeliveryMachine.settings = HISTORIES
