"""The books find what a server lost, repeated or turned around, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.load.books import Books

ADA, BOB = "ada", "bob"


@pytest.fixture
def books() -> Books:
    return Books([ADA, BOB])


def posted(books: Books, number: int, *users: str, accepted: bool = True) -> None:
    books.begin(number, users, due=float(number))
    if accepted:
        books.accept(number, number + 0.5)


def pushed(books: Books, user: str, number: int, sequence: int, *, replay: bool = False) -> None:
    books.see(user, number, sequence, now=number + 1.0, replay=replay)
    books.receive(user, number)


def test_an_accepted_post_that_did_not_come_is_lost(books):
    posted(books, 1, ADA, BOB)
    pushed(books, ADA, 1, 1)
    assert list(books.missing()) == [(BOB, 1)]
    assert not books.is_whole
    pushed(books, BOB, 1, 1)
    assert books.is_whole


def test_a_post_that_was_never_accepted_is_no_loss(books):
    posted(books, 1, ADA, accepted=False)
    books.refuse(1)
    posted(books, 2, ADA, accepted=False)
    books.give_up(2)
    assert books.is_whole
    assert (books.tally.refused, books.tally.unanswered) == (1, 1)


def test_a_push_before_its_answer_counts(books):
    posted(books, 1, ADA, accepted=False)
    pushed(books, ADA, 1, 1)
    books.accept(1, 3.0)
    assert books.is_whole


def test_a_repetition_of_a_post_that_is_accepted_again_changes_nothing(books):
    posted(books, 1, ADA)
    books.accept(1, 9.0)
    assert books.tally.accepted == 1
    assert books.answers.count == 1


def test_a_push_acknowledged_in_this_session_must_not_come_again(books):
    posted(books, 1, ADA)
    books.begin_session(ADA)
    pushed(books, ADA, 1, 1)
    pushed(books, ADA, 1, 1)
    assert (books.tally.resent, books.tally.repeated) == (1, 0)
    books.acknowledge(ADA, 1)
    pushed(books, ADA, 1, 1)
    assert (books.tally.resent, books.tally.repeated) == (1, 1)


def test_after_a_new_connection_it_may_since_the_acknowledgment_may_be_lost(books):
    posted(books, 1, ADA)
    pushed(books, ADA, 1, 1)
    books.acknowledge(ADA, 1)
    books.begin_session(ADA)
    pushed(books, ADA, 1, 1)
    assert (books.tally.resent, books.tally.repeated) == (1, 0)


def test_a_push_that_a_device_drops_has_to_come_again(books):
    posted(books, 1, ADA)
    books.see(ADA, 1, 1, 2.0, replay=False)
    books.forget()
    assert list(books.missing()) == [(ADA, 1)]
    pushed(books, ADA, 1, 1)
    assert books.is_whole
    assert books.tally.resent == 1


@given(st.permutations(range(6)))
def test_an_older_one_behind_a_newer_one_is_out_of_order(order):
    books = Books([ADA])
    for sequence in order:
        posted(books, sequence, ADA)
        pushed(books, ADA, sequence, sequence + 1)
    late = sum(any(earlier > each for earlier in order[:at]) for at, each in enumerate(order))
    assert books.tally.disordered == late


def test_a_resend_is_not_out_of_order(books):
    for number in (1, 2, 1):
        if number not in books.users:
            posted(books, number, ADA, accepted=False)
        pushed(books, ADA, number, number)
    assert books.tally.disordered == 0


def test_times_count_from_when_the_post_was_due_and_replays_have_none(books):
    posted(books, 1, ADA)
    pushed(books, ADA, 1, 1)
    posted(books, 2, ADA)
    pushed(books, ADA, 2, 2, replay=True)
    assert books.pushes.count == 1
    assert books.pushes.quantile(0.5) == pytest.approx(1.0, rel=0.02)
    assert books.answers.count == 2
