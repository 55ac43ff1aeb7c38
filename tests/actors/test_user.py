"""A user's actor: devices that arrive and leave, and what their topics are told of it."""

from __future__ import annotations

from tests.actors.clock_kit import pass_time, settle
from tests.actors.user_kit import a_house
from tocsin.actors.delivery.messages import Left
from tocsin.actors.delivery.user import UserActor
from tocsin.persistence.store.commands import TooMany
from tocsin.persistence.store.user_commands import AcknowledgedPartly
from tocsin.protocol.closing import Closing
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.values import unnamed_device


async def test_a_user_whose_last_device_leaves_is_absent_from_the_topics(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach(topics=("news", "sport"))
        assert house.heard == []

        await house.tell(Left(outlet.connection))
        assert house.heard == [("absent", "ann")]


async def test_a_device_whose_arrival_fails_is_told_so(autojump_clock, monkeypatch):
    async with a_house() as house:
        with monkeypatch.context() as patched:
            patched.setattr(UserActor, "_arrived", lambda actor, message: 1 / 0)
            outlet = await house.arrive()
        assert [closing for closing, *_ in outlet.ends] == [Closing.INTERNAL_ERROR]

        again = await house.arrive()
        await house.storage.answer_attach()
        assert again.ends == []


async def test_when_the_keeper_has_failed_devices_are_told_and_may_come_again(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach()
        assert house.users.head_of("ann") is not None

        house.keeper.tell("anything")  # type: ignore[arg-type]
        await settle()
        assert [closing for closing, *_ in outlet.ends] == [Closing.INTERNAL_ERROR]
        assert house.heard == [("absent", "ann")]
        assert house.users.kept() == {"heads": {}, "missed changes": {}}

        await pass_time(1)
        again = await house.arrive()
        await house.storage.answer_attach()
        assert again.ends == []
        assert house.users.names() == ["ann"]


async def test_of_devices_without_a_name_the_store_is_to_remember_so_many(autojump_clock):
    async with a_house() as house:
        await house.arrive("phone")
        named = await house.storage.answer_attach()
        await house.arrive(unnamed_device(1, bytes(10)))
        unnamed = await house.storage.answer_attach()

        assert (named.unnamed_max, unnamed.unnamed_max) == (None, 10)
        assert (named.named_max, unnamed.named_max) == (20, None)


async def test_one_device_too_many_is_told_so_and_the_others_stay(autojump_clock):
    async with a_house() as house:
        phone = await house.arrive("phone")
        await house.storage.answer_attach()
        tablet = await house.arrive("tablet")
        house.storage.asked.pop(0).reply.set(TooMany(1))
        await settle()
        assert [closing for closing, *_ in tablet.ends] == [Closing.TOO_MANY_DEVICES]
        assert phone.ends == []


async def test_a_device_before_whose_cursor_there_is_much_is_asked_for_until_it_is_in(
    autojump_clock,
):
    async with a_house() as house:
        phone = await house.arrive("phone")
        asked = []
        for _ in range(2):
            write = house.storage.asked.pop(0)
            asked.append(write.command)
            write.reply.set(AcknowledgedPartly())
            await settle()
        assert phone.said == []
        asked.append(await house.storage.answer_attach(3))
        assert asked == [asked[0]] * 3
        assert phone.ends == []


async def test_a_user_with_more_in_the_topics_than_was_brought_is_behind(autojump_clock):
    async with a_house() as house:
        await house.arrive()
        await house.storage.answer_attach(behind=True)

        assert ("behind", "ann") in house.heard


async def test_entries_that_one_device_brings_by_arriving_are_told_to_the_others(autojump_clock):
    async with a_house() as house:
        first = await house.arrive("phone")
        await house.storage.answer_attach(3)
        await house.arrive("web")
        await house.storage.answer_attach(4)

        assert (await house.storage.answer_page(4)).device == "phone"
        assert len(first.pushes) == 1


async def test_entries_that_a_device_brought_are_told_to_the_others_though_it_has_gone(
    autojump_clock,
):
    async with a_house() as house:
        first = await house.arrive("phone")
        await house.storage.answer_attach(3)
        gone = await house.arrive("web")
        await house.tell(Left(gone.connection))
        await house.storage.answer_attach(4, behind=True)

        assert (await house.storage.answer_page(4)).device == "phone"
        assert len(first.pushes) == 1
        assert ("behind", "ann") in house.heard


async def test_a_user_s_actor_that_missed_two_changes_is_told_of_the_later_one(autojump_clock):
    async with a_house() as house:
        house.users._capacity = 1
        await house.arrive()
        await house.storage.answer_attach(0)
        # So much was handled in the turns of others that the next has to wait.
        children = house.users._children
        assert children is not None
        assert children._attendant is not None
        while children._attendant.may_handle():
            pass
        house.users.head_moved("ann", 1)
        house.users.head_moved("ann", 7)
        house.users.head_moved("ann", 6)

        assert house.users.kept()["missed changes"] == {"ann": 7}
        await settle()
        assert house.users.kept()["missed changes"] == {}


async def test_a_session_knows_where_it_begins_and_what_was_gone_by_then(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach(2, head=9, horizon=5)

        assert outlet.began == [Cursor("e", 2, horizon=5)]
