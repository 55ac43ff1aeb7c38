"""The contract of stores for what expired and lives again, where the clocks of nodes differ."""

from __future__ import annotations

from tests.persistence.letters_kit import LIFETIME, letters, replay
from tocsin.persistence.store.upkeep_commands import LetterReplayed
from tocsin.protocol.values import to_rfc3339

AHEAD = 220_000
"""Milliseconds by which one node's clock is ahead of the other's."""


async def test_a_notification_of_a_node_with_a_fast_clock_lives_again_as_long(
    desk,
):
    desk.now_ms += AHEAD
    made = await desk.publish("ann", expires_at=desk.now_ms + LIFETIME)
    await desk.expire(desk.now_ms + LIFETIME)
    desk.now_ms -= AHEAD
    for _ in range(2):
        [letter] = await letters(desk)
        assert isinstance(await replay(desk, letter), LetterReplayed)
        view = await desk.view(made.content.id)
        assert view.content.expires_at == desk.now_ms + LIFETIME
        desk.now_ms += LIFETIME
        await desk.expire(desk.now_ms)


async def test_a_notification_that_expired_before_its_creation_lives_again(desk):
    desk.now_ms += AHEAD
    made = await desk.publish("ann")
    desk.now_ms -= AHEAD
    await desk.update(made.content.id, expires_at=to_rfc3339(desk.now_ms + LIFETIME))
    desk.now_ms += LIFETIME
    await desk.expire(desk.now_ms)
    [letter] = await letters(desk)

    assert isinstance(await replay(desk, letter), LetterReplayed)
    assert (await desk.view(made.content.id)).content.expires_at > desk.now_ms
