"""The backlog chooses the commands of the next transaction; a party's commands keep their order."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as some

from tests.persistence.desk_kit import publish
from tocsin.actors.storage.backlog import SMALL, Backlog
from tocsin.actors.storage.batch_weights import ROWS_MAX, Weights
from tocsin.actors.storage.lines import Line
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Publish, Withdraw
from tocsin.persistence.store.key_commands import RevokeKey

_NUMBERS = count()


@dataclass
class Asked:
    command: Command[Any]
    line: Line | None = None
    number: int = field(default_factory=lambda: next(_NUMBERS))


def post(credential: str, recipients: int = 1) -> Asked:
    new = publish(*map(str, range(recipients)))
    return Asked(msgspec.structs.replace(new, credential=credential))


def filled(*asked: Asked) -> Backlog[Asked]:
    backlog: Backlog[Asked] = Backlog(Weights())
    for each in asked:
        backlog.add(each)
    return backlog


def takes(backlog: Backlog[Asked]) -> list[list[Asked]]:
    found = []
    while len(backlog):
        found.append(backlog.take())
    assert backlog.take() == []
    return found


def test_commands_for_few_users_go_together_in_the_order_of_arrival():
    asked = [post(f"key:{number % 7}") for number in range(900)]
    assert takes(filled(*asked)) == [asked]


def test_a_transaction_has_a_thousand_commands_at_most():
    asked = [Asked(RevokeKey(str(number), 0)) for number in range(2500)]
    backlog = filled(*asked)
    found = takes(backlog)
    assert [len(each) for each in found] == [1000, 1000, 500]
    assert [each for batch in found for each in batch] == asked


def test_a_post_to_many_is_a_transaction_and_small_ones_take_turns_with_them():
    large, small = [post("shop", 1000) for _ in range(3)], [post("ada") for _ in range(9)]
    assert takes(filled(*large, *small)) == [[large[0]], small, [large[1]], [large[2]]]


def test_the_posts_of_one_party_keep_their_order_whatever_their_size():
    asked = [post("shop", 600), post("shop"), post("shop", 600), post("shop"), post("shop", 2)]
    expected = [[asked[0]], [asked[1]], [asked[2]], asked[3:]]
    assert takes(filled(*asked)) == expected


def test_producers_that_post_to_many_take_turns():
    shop, bank = [post("shop", 800) for _ in range(3)], [post("bank", 800) for _ in range(2)]
    found = takes(filled(*shop, *bank))
    assert found == [[shop[0]], [bank[0]], [shop[1]], [bank[1]], [shop[2]]]


def test_a_small_post_among_large_ones_is_alone_in_the_next_transaction():
    backlog = filled(*(post("shop", 1000) for _ in range(50)))
    backlog.take()
    for number in range(40):
        ada = post("ada")
        backlog.add(ada)
        assert backlog.take() == [ada], number
        assert [_credential(each) for each in backlog.take()] == ["shop"], number


def test_a_crowd_of_small_posts_of_one_party_does_not_keep_another_waiting():
    backlog = filled(*(post("shop") for _ in range(5000)))
    backlog.take()
    ada = post("ada")
    backlog.add(ada)
    assert ada in backlog.take()


def test_large_ones_are_not_kept_waiting_by_small_ones():
    backlog = filled(post("shop", 1000), bank := post("bank", 1000))
    backlog.take()
    for _ in range(2000):
        backlog.add(post("ada"))
    assert bank not in backlog.take()
    assert backlog.take() == [bank]


def test_one_fits_however_much_it_is():
    asked = [post("shop", 5 * ROWS_MAX), post("shop", 60)]
    assert takes(filled(*asked)) == [[asked[0]], [asked[1]]]


def test_the_lane_of_a_line_counts_and_not_what_the_command_would_have():
    spool = Line("spool")
    asked = [
        Asked(publish(*map(str, range(900))), spool),
        Asked(Withdraw("n", 0), spool),
        Asked(publish("ada"), spool),
    ]
    assert takes(filled(*asked)) == [[each] for each in asked]


def test_a_cleared_backlog_comes_in_the_order_of_arrival():
    asked = [post("a", 600), post("b", 600), post("a"), post("c")]
    backlog = filled(*asked)
    assert backlog.clear() == asked
    assert (len(backlog), backlog.take()) == (0, [])


posts = some.lists(
    some.tuples(some.sampled_from("abc"), some.sampled_from([1, 2, 40, 60, 400, 1000, 1500])),
    max_size=60,
)


@given(posts)
def test_nothing_is_lost_each_party_keeps_its_order_and_transactions_are_bounded(posts):
    asked = [post(credential, recipients) for credential, recipients in posts]
    found = takes(filled(*asked))
    taken = [each for batch in found for each in batch]
    assert sorted(each.number for each in taken) == [each.number for each in asked]
    for credential in "abc":
        mine = [each for each in taken if _credential(each) == credential]
        assert mine == [each for each in asked if _credential(each) == credential]
    for batch in found:
        sizes = [len(each.command.users) for each in batch if isinstance(each.command, Publish)]
        assert sum(sizes) <= ROWS_MAX or len(sizes) == 1
        assert len({size > SMALL for size in sizes}) == 1


def _credential(asked: Asked) -> str:
    assert isinstance(asked.command, Publish)
    return asked.command.credential
