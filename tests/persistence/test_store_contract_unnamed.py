"""The contract of stores for devices that the server named, because they had no name: it remembers
so many of a user's, since a client that has none anew each time would leave a row each time.
"""

from __future__ import annotations

from tests.persistence.desk_kit import Desk
from tocsin.persistence.store.queries import Devices, ListDevices
from tocsin.persistence.store.user_commands import Attach, RemoveDevice
from tocsin.protocol.values import unnamed_device


def name(number: int) -> str:
    return unnamed_device(number, bytes(10))


async def arrive(desk: Desk, *numbers: int, user: str = "ann", at: int = 5, most: int = 2) -> None:
    """Unnamed devices arrive in one transaction, of which *most* are remembered."""
    await desk.write(*[Attach(user, name(each), None, at, "a/1", most) for each in numbers])


async def known(desk: Desk, user: str = "ann") -> set[str]:
    devices = await desk.ask(ListDevices(user), Devices)
    return {each.device for each in devices.devices}


async def test_the_longest_unseen_is_forgotten_when_there_are_too_many(desk):
    for number in (1, 2, 3):
        await arrive(desk, number, at=number)
    assert await known(desk) == {name(2), name(3)}

    await arrive(desk, 2, at=4)
    await arrive(desk, 4, at=5)
    assert await known(desk) == {name(2), name(4)}


async def test_many_at_once_leave_no_more(desk):
    await arrive(desk, *range(10))
    assert len(await known(desk)) == 2


async def test_devices_with_names_and_those_of_others_are_left_alone(desk):
    names = ("phone", "device-1", f"Device-{name(1)[7:]}", f"device-{name(1)[7:-1]}")
    for device in names:
        await desk.attach("ann", device)
    await arrive(desk, 1, 2, user="bob")
    for number in (1, 2, 3):
        await arrive(desk, number, at=number)

    assert await known(desk) == {*names, name(2), name(3)}
    assert await known(desk, "bob") == {name(1), name(2)}


async def test_an_unnamed_device_that_comes_back_makes_none_forgotten(desk):
    await arrive(desk, 1, 2, most=2)
    await arrive(desk, 1, at=6, most=1)
    assert await known(desk) == {name(1), name(2)}


async def test_removed_ones_count_and_go_first(desk):
    await arrive(desk, 1, at=1)
    await arrive(desk, 2, at=2)
    await desk.write(RemoveDevice("ann", name(1)))
    await arrive(desk, 3, at=3)
    assert await known(desk) == {name(2), name(3)}


async def test_a_forgotten_device_is_new_and_gets_what_no_device_has_acknowledged(desk):
    await arrive(desk, 1, at=1)
    made = await desk.publish("ann")
    await desk.acknowledge("ann", name(1), made)
    await arrive(desk, 2, 3, at=9)
    assert name(1) not in await known(desk)
    await desk.publish("ann")

    attached = await desk.attach("ann", name(1))

    assert (attached.start.sequence, attached.start.resumed) == (1, False)
