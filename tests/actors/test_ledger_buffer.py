"""The ledger buffer: merged where nothing is lost by it, in order where it would be."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tests.actors.store_kit import acknowledged, dead, sent
from tocsin.actors.storage.ledger_buffer import LedgerBuffer, halves
from tocsin.persistence.store.user_commands import Record
from tocsin.protocol.log.ledger import DeliveryRecord, DeviceCursor, SessionEnd


def cursor(sequence: int, device: str = "phone") -> DeviceCursor:
    return DeviceCursor("ada", device, sequence, 3000)


def end(session: str = "a/1", device: str = "phone") -> SessionEnd:
    return SessionEnd("ada", device, session)


def ends(records: list[Record]) -> list[SessionEnd]:
    return [end for record in records for end in record.ends]


def lines(records: list[Record]) -> list[DeliveryRecord]:
    return [line for record in records for line in record.deliveries]


def test_an_empty_buffer_has_nothing_to_write():
    buffer = LedgerBuffer()

    assert (len(buffer), buffer.due, buffer.take(math.inf)) == (0, math.inf, [])


def test_a_sent_line_is_due_later_and_not_taken_before():
    buffer = LedgerBuffer()
    buffer.add((sent("a"),), None, 5.0)
    buffer.add((sent("b"),), None, 6.0)

    assert buffer.due == 5.0
    assert buffer.take(4.9) == []
    assert lines(buffer.take(5.0)) == [sent("a")]
    assert buffer.due == 6.0
    assert lines(buffer.take(9.0)) == [sent("b")]
    assert buffer.due == math.inf


def test_a_settled_line_is_due_at_once_and_leaves_the_others_waiting():
    buffer = LedgerBuffer()
    buffer.add((sent("a"),), None, 5.0)
    buffer.add((acknowledged("b"), dead("c")), None, 6.0)

    assert buffer.due == -math.inf
    assert lines(buffer.take(1.0)) == [acknowledged("b"), dead("c")]
    assert buffer.due == 5.0


def test_a_line_merges_with_its_acknowledgment():
    buffer = LedgerBuffer()
    buffer.add((sent(),), None, 5.0)
    buffer.add((acknowledged(),), cursor(1), 6.0)

    assert buffer.take(1.0) == [Record((acknowledged(),), (cursor(1),))]
    assert len(buffer) == 0


def test_a_second_attempt_replaces_the_first_and_is_due_as_that_was():
    buffer = LedgerBuffer()
    buffer.add((sent(attempts=1),), None, 5.0)
    buffer.add((sent("other"),), None, 7.0)
    buffer.add((sent(attempts=2),), None, 9.0)

    assert lines(buffer.take(5.0)) == [sent(attempts=2)]


def test_an_acknowledgment_is_not_lost_to_the_next_change_being_sent():
    buffer = LedgerBuffer()
    buffer.add((acknowledged(sequence=5),), None, 1.0)
    buffer.add((sent(sequence=6),), None, 1.0)

    assert buffer.take(1.0) == [
        Record((acknowledged(sequence=5),), ()),
        Record((sent(sequence=6),), ()),
    ]


def test_an_acknowledgment_is_not_lost_to_being_sent_again():
    buffer = LedgerBuffer()
    buffer.add((acknowledged(),), None, 1.0)
    buffer.add((sent(),), None, 1.0)

    assert lines(buffer.take(1.0)) == [acknowledged(), sent()]


def test_two_acknowledgments_of_one_notification_go_out_in_order():
    buffer = LedgerBuffer()
    buffer.add((sent(sequence=5), acknowledged(sequence=5)), None, 1.0)
    buffer.add((sent(sequence=6), acknowledged(sequence=6)), None, 1.0)
    buffer.add((sent(sequence=7), dead(sequence=7)), None, 1.0)
    assert len(buffer) == 3

    assert [record.deliveries for record in buffer.take(1.0)] == [
        (acknowledged(sequence=5),),
        (acknowledged(sequence=6),),
        (dead(sequence=7),),
    ]


def test_the_latest_cursor_of_a_device_wins():
    buffer = LedgerBuffer()
    buffer.add((), cursor(1), 0)
    buffer.add((), cursor(2, device="tablet"), 0)
    buffer.add((), cursor(3), 0)

    assert buffer.take(0) == [Record((), (cursor(3), cursor(2, device="tablet")))]


def test_hurried_nothing_waits():
    buffer = LedgerBuffer()
    buffer.hurry()
    assert buffer.due == math.inf
    buffer.add((sent(),), None, 5.0)
    buffer.hurry()

    assert buffer.due == -math.inf
    assert lines(buffer.take(1.0)) == [sent()]
    buffer.add((sent(),), None, 5.0)
    assert buffer.take(1.0) == []


def test_lines_put_back_come_before_newer_ones():
    buffer = LedgerBuffer()
    buffer.add((acknowledged(sequence=5), sent("other")), cursor(5), 0.0)
    taken = buffer.take(0.0)
    buffer.add((sent(sequence=6), acknowledged("other")), cursor(6), 0.0)
    buffer.put_back(taken)

    assert buffer.due == -math.inf
    records = buffer.take(0.0)
    assert lines(records) == [acknowledged(sequence=5), acknowledged("other"), sent(sequence=6)]
    assert [record.cursors for record in records if record.cursors] == [(cursor(6),)]


def test_the_end_of_a_session_goes_with_whatever_is_written():
    buffer = LedgerBuffer()
    buffer.end(end(), 5.0)
    assert (len(buffer), buffer.due, buffer.transactions) == (1, 6.0, 0)
    buffer.add((acknowledged(),), cursor(1), 6.0)

    assert buffer.take(1.0) == [
        Record((acknowledged(),), (cursor(1),)),
        Record((), (), (end(),)),
    ]
    assert (len(buffer), buffer.due) == (0, math.inf)


def test_the_end_of_a_session_waits_for_its_lines():
    buffer = LedgerBuffer()
    buffer.add((sent(),), None, 5.0)
    buffer.end(end(), 5.0)
    buffer.add((acknowledged("other"),), None, 6.0)

    assert ends(buffer.take(4.0)) == []
    records = buffer.take(5.0)
    assert [len(record.deliveries) for record in records] == [1, 0]
    assert ends(records) == [end()]


def test_the_end_of_a_session_waits_for_a_flood_to_be_written():
    buffer = LedgerBuffer()
    for number in range(1200):
        buffer.add((acknowledged(str(number)),), None, 1.0)
    buffer.end(end(), 1.0)

    assert ends(buffer.take(1.0)) == []
    assert ends(buffer.take(1.0)) == [end()]


def test_of_two_sessions_of_a_device_only_the_last_end_matters():
    buffer = LedgerBuffer()
    buffer.end(end("a/1"), 5.0)
    buffer.end(end("a/2", "tablet"), 6.0)
    buffer.end(end("a/3"), 7.0)

    assert buffer.due == 6.0
    assert ends(buffer.take(7.0)) == [end("a/2", "tablet"), end("a/3")]


def test_the_end_of_a_session_is_put_back_behind_its_lines():
    buffer = LedgerBuffer()
    buffer.add((acknowledged("a"),), None, 1.0)
    buffer.end(end(), 1.0)
    taken = buffer.take(1.0)
    buffer.add((sent("b"),), None, 2.0)
    buffer.end(end("a/2", "tablet"), 2.0)
    buffer.put_back(taken)

    records = buffer.take(1.0)
    assert lines(records) == [acknowledged("a"), sent("b")]
    assert records[-1] == Record((), (), (end(), end("a/2", "tablet")))


def test_a_flood_is_taken_in_parts():
    buffer = LedgerBuffer()
    for number in range(2400):
        buffer.add((acknowledged(str(number)),), None, 0.0)
    assert buffer.transactions == 3

    sizes = []
    while records := buffer.take(0.0):
        assert buffer.due == (-math.inf if len(buffer) else math.inf)
        sizes.append(len(lines(records)))
    assert sizes == [1000, 1000, 400]


def test_a_flood_of_settled_lines_does_not_keep_sent_ones_waiting():
    buffer = LedgerBuffer()
    buffer.add((sent("sent"),), None, 1.0)
    for number in range(1200):
        buffer.add((acknowledged(str(number)),), None, 2.0)

    assert sent("sent") in lines(buffer.take(1.0))


def test_a_record_is_halved_until_it_says_a_single_thing():
    def parts(record: Record) -> list[Record]:
        smaller = halves(record)
        return [part for half in smaller for part in parts(half)] if smaller else [record]

    over = (end(), end("a/2", "tablet"))
    whole = Record((sent("a"), sent("b"), sent("c")), (cursor(1), cursor(2)), over)

    assert parts(whole) == [
        *(Record((sent(name),), ()) for name in "abc"),
        *(Record((), (cursor(number),)) for number in (1, 2)),
        *(Record((), (), (each,)) for each in over),
    ]


# --- Properties ----------------------------------------------------------------------------------

actions = st.one_of(
    st.tuples(
        st.just("add"),
        st.sampled_from(["sent", "acknowledged", "dead"]),
        st.sampled_from("abc"),
        st.integers(1, 4),
    ),
    st.tuples(st.just("end")),
    st.tuples(st.just("take")),
    st.tuples(st.just("fail")),
    st.tuples(st.just("hurry")),
    st.tuples(st.just("wait")),
)


@given(st.lists(actions, max_size=40), st.integers(1, 3))
def test_no_settled_line_is_ever_lost_and_order_is_kept(script, lines_max):
    """Against a model: all lines in order, of which only sent ones may be merged away."""
    player = Player(lines_max)
    for at, (verb, *arguments) in enumerate(script):
        player.step(at, verb, *arguments)
    player.finish()


class Player:
    """A ledger buffer, and the model: the lines that were added and written, by notification."""

    def __init__(self, lines_max: int) -> None:
        self.buffer = LedgerBuffer(lines_max=lines_max)
        self.added: dict[str, list[DeliveryRecord]] = {}
        self.written: dict[str, list[DeliveryRecord]] = {}
        self.ended: dict[str, list[DeliveryRecord]] = {}
        self.now = 0.0

    def step(self, at, verb, *arguments):
        match verb:
            case "add":
                self.add(at, *arguments)
            case "end":
                self.ended = {str(at): [each[-1] for each in self.added.values()]}
                self.buffer.end(end(str(at)), self.now + 2)
            case "take":
                self.write(self.take())
            case "fail":
                self.buffer.put_back(self.take())
            case "hurry":
                self.buffer.hurry()
            case "wait":
                self.now += 1

    def add(self, at, kind, notification, sequence):
        line = {
            "sent": sent(notification, sequence, attempts=at),
            "acknowledged": acknowledged(notification, sequence, at=at),
            "dead": dead(notification, sequence),
        }[kind]
        self.added.setdefault(notification, []).append(line)
        self.buffer.add((line,), None, self.now + 2)

    def take(self) -> list[Record]:
        records = self.buffer.take(self.now)
        for record in records:
            keys = [line.notification for line in record.deliveries]
            assert len(keys) == len(set(keys))
        return records

    def write(self, records: list[Record]) -> None:
        for line in lines(records):
            self.written.setdefault(line.notification, []).append(line)
        for each in ends(records):
            # The last line of every notification is there, or one that came later.
            for line in self.ended.pop(each.session, []):
                others = self.written[line.notification]
                assert any(other.sequence >= line.sequence for other in others)

    def finish(self) -> None:
        while len(self.buffer):
            self.now = max(self.now, self.buffer.due)
            self.write(self.take())
        assert self.buffer.due == math.inf
        assert not self.ended
        for notification, all_lines in self.added.items():
            written = self.written[notification]
            assert written == unmerged(all_lines, written)


def unmerged(added: list[DeliveryRecord], written: list[DeliveryRecord]) -> list[DeliveryRecord]:
    """The lines of *added* to be written: all, but for sent ones that the next one contains.

    Those may be missing, and are taken from *written*.
    """
    expected = []
    left = list(written)
    for number, line in enumerate(added):
        settled = line.acknowledged_at is not None or line.dead_reason is not None
        contained = not settled and any(
            later.sequence == line.sequence for later in added[number + 1 : number + 2]
        )
        if contained and (not left or left[0] != line):
            continue
        expected.append(line)
        left = left[1:]
    return expected
