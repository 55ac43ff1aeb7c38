"""Following an identity provider over real HTTP, with the cache's clock in our hand."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.server.auth.expect_kit import refusal, unavailability
from tests.server.auth.issuer_kit import (
    NOW,
    SECRET,
    claims,
    private_key,
    public_pem,
    published,
    sign,
    token,
)
from tocsin.server.auth.errors import AuthCode, AuthUnavailable
from tocsin.server.auth.jwks import KeySet, KeySetLimits
from tocsin.server.auth.tokens import TokenVerifier
from tocsin.server.auth.verification_key import keys_from_pem

LIMITS = KeySetLimits()


async def test_a_token_signed_with_a_published_key_is_accepted(verifier):
    assert (await verifier.verify(token(0), NOW)).user == "alice"


async def test_the_set_is_fetched_once_for_many_tokens(verifier, provider):
    for _ in range(20):
        await verifier.verify(token(0), NOW)
    assert provider.requests == 1


async def test_many_at_once_cause_one_fetch(verifier, provider):
    provider.hold()
    accepted = []

    async def one():
        accepted.append(await verifier.verify(token(0), NOW))

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(one)
            await provider.expect_requests(1)
            await trio.testing.wait_all_tasks_blocked()
            provider.release()
    assert len(accepted) == 100
    assert provider.requests == 1


async def test_many_at_once_with_a_rotated_key_cause_one_fetch(verifier, provider):
    await verifier.verify(token(0), NOW)
    provider.keys = [published(1)]
    provider.hold()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(verifier.verify, token(1), NOW)
            await provider.expect_requests(2)
            await trio.testing.wait_all_tasks_blocked()
            provider.release()
    assert provider.requests == 2


async def test_a_key_published_after_the_first_fetch_is_found_at_once(verifier, provider):
    await verifier.verify(token(0), NOW)
    provider.keys = [published(0), published(1)]
    await verifier.verify(token(1), NOW)
    await verifier.verify(token(0), NOW)
    assert provider.requests == 2


async def test_a_withdrawn_key_stops_working_with_the_next_fetch(verifier, provider):
    await verifier.verify(token(0), NOW)
    provider.keys = [published(1)]
    await verifier.verify(token(1), NOW)
    assert await refusal(verifier.verify(token(0), NOW)) is AuthCode.TOKEN_KEY_UNKNOWN


async def test_unknown_kids_cause_one_fetch_a_cooldown(verifier, provider, clock):
    await verifier.verify(token(0), NOW)
    for number in range(20):
        attempt = verifier.verify(token(1, kid=f"invented-{number}"), NOW)
        assert await refusal(attempt) is AuthCode.TOKEN_KEY_UNKNOWN
    assert provider.requests == 2
    clock.advance(LIMITS.cooldown - 0.01)
    await refusal(verifier.verify(token(1), NOW))
    assert provider.requests == 2
    clock.advance(0.01)
    await refusal(verifier.verify(token(1), NOW))
    assert provider.requests == 3


async def test_an_unknown_kid_as_the_very_first_causes_one_fetch_and_not_two(verifier, provider):
    assert await refusal(verifier.verify(token(1), NOW)) is AuthCode.TOKEN_KEY_UNKNOWN
    assert provider.requests == 1


async def test_a_forged_signature_under_a_known_kid_causes_no_fetch(verifier, provider):
    await verifier.verify(token(0), NOW)
    attempt = verifier.verify(token(1, kid="kid-0"), NOW)
    assert await refusal(attempt) is AuthCode.TOKEN_SIGNATURE
    assert provider.requests == 1


async def test_an_aged_set_is_fetched_again(verifier, provider, clock):
    await verifier.verify(token(0), NOW)
    clock.advance(LIMITS.age_max - 0.01)
    await verifier.verify(token(0), NOW)
    assert provider.requests == 1
    clock.advance(0.01)
    await verifier.verify(token(0), NOW)
    assert provider.requests == 2


async def test_while_an_aged_set_is_fetched_the_others_go_on_with_it(verifier, provider, clock):
    await verifier.verify(token(0), NOW)
    clock.advance(LIMITS.age_max)
    provider.hold()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(verifier.verify, token(0), NOW)
            await provider.expect_requests(2)
            await verifier.verify(token(0), NOW)
            provider.release()


async def test_the_last_good_set_serves_while_the_provider_is_down(verifier, provider, clock, logs):
    await verifier.verify(token(0), NOW)
    await provider.stop()
    clock.advance(LIMITS.age_max)
    await verifier.verify(token(0), NOW)
    clock.advance(LIMITS.stale_max - LIMITS.age_max - 0.01)
    await verifier.verify(token(0), NOW)
    assert [entry["event"] for entry in logs] == ["key set not fetched"] * 2


async def test_an_unknown_kid_while_the_provider_is_down_is_refused(verifier, provider):
    await verifier.verify(token(0), NOW)
    await provider.stop()
    assert await refusal(verifier.verify(token(1), NOW)) is AuthCode.TOKEN_KEY_UNKNOWN


async def test_a_set_past_its_stale_limit_serves_no_more(verifier, provider, clock):
    await verifier.verify(token(0), NOW)
    await provider.stop()
    clock.advance(LIMITS.stale_max)
    assert await unavailability(verifier.verify(token(0), NOW)) is AuthCode.JWKS_UNAVAILABLE


async def test_a_failing_refetch_is_not_tried_with_every_token(verifier, provider, clock):
    await verifier.verify(token(0), NOW)
    provider.status = 500
    clock.advance(LIMITS.age_max)
    for _ in range(10):
        await verifier.verify(token(0), NOW)
    assert provider.requests == 2
    clock.advance(LIMITS.retry_delay)
    await verifier.verify(token(0), NOW)
    assert provider.requests == 3


async def test_without_any_set_the_answer_is_unavailable_and_not_refused(verifier, provider, clock):
    provider.status = 503
    for _ in range(10):
        assert await unavailability(verifier.verify(token(0), NOW)) is AuthCode.JWKS_UNAVAILABLE
    assert provider.requests == 1
    provider.status = 200
    clock.advance(LIMITS.retry_delay_without_set)
    await verifier.verify(token(0), NOW)


async def test_hanging_up_does_not_use_up_the_cooldown(verifier, provider):
    await verifier.verify(token(0), NOW)
    provider.keys = [published(1)]
    provider.hold()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(verifier.verify, token(1), NOW)
            await provider.expect_requests(2)
            nursery.cancel_scope.cancel()
            provider.release()
    await verifier.verify(token(1), NOW)
    assert provider.requests == 2


async def test_one_who_waits_for_a_fetch_may_hang_up(verifier, provider):
    provider.hold()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(verifier.verify, token(0), NOW)
            await provider.expect_requests(1)
            with trio.move_on_after(0.01) as scope:
                await verifier.verify(token(0), NOW)
            assert scope.cancelled_caught
            provider.release()
    await verifier.verify(token(0), NOW)


async def test_no_more_wait_for_a_fetch_than_there_is_room_for(provider, clock):
    provider.hold()
    key_set = KeySet(provider.url, monotonic=clock, limits=KeySetLimits(waiting_max=1))
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(key_set.find, "kid-0", "ES256")
            await provider.expect_requests(1)
            nursery.start_soon(key_set.find, "kid-0", "ES256")
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(AuthUnavailable):
                await key_set.find("kid-0", "ES256")
            provider.release()


async def test_members_that_are_not_for_us_do_not_spoil_the_set(verifier, provider):
    for_encryption = {**published(1), "use": "enc"}
    secret = {"kty": "oct", "kid": "kid-0", "k": "c2VjcmV0", "alg": "HS256"}
    provider.keys = [for_encryption, secret, {"kty": "XYZ"}, {"kty": "EC"}, published(0)]
    await verifier.verify(token(0), NOW)
    assert await refusal(verifier.verify(token(1), NOW)) is AuthCode.TOKEN_KEY_UNKNOWN


async def test_a_published_secret_makes_no_hmac_token_good(verifier, provider):
    provider.keys = [{"kty": "oct", "kid": "s", "k": "c2VjcmV0" * 8, "alg": "HS256"}]
    attempt = verifier.verify(sign(claims(), "secret" * 8, kid="s"), NOW)
    assert await refusal(attempt) is AuthCode.TOKEN_ALGORITHM
    assert provider.requests == 0


async def test_a_set_emptied_by_its_owner_lets_nobody_in(verifier, provider, clock):
    await verifier.verify(token(0), NOW)
    provider.keys = []
    clock.advance(LIMITS.age_max)
    assert await refusal(verifier.verify(token(0), NOW)) is AuthCode.TOKEN_KEY_UNKNOWN


async def test_a_token_without_kid_is_tried_with_the_few_keys_there_are(verifier, provider):
    provider.keys = [published(generation) for generation in range(4)]
    nameless = sign(claims(), private_key("ES256", 3), "ES256")
    await verifier.verify(nameless, NOW)


async def test_a_token_without_kid_is_not_tried_with_many(verifier, provider):
    provider.keys = [published(generation) for generation in range(5)]
    nameless = sign(claims(), private_key("ES256", 3), "ES256")
    assert await refusal(verifier.verify(nameless, NOW)) is AuthCode.TOKEN_KEY_UNKNOWN


async def test_a_secret_and_a_published_key_serve_side_by_side(key_set, provider):
    verifier = TokenVerifier(secret=SECRET, key_set=key_set)
    await verifier.verify(sign(claims()), NOW)
    assert provider.requests == 0
    await verifier.verify(token(0), NOW)
    forged = sign(claims(), "another secret, long enough to be one")
    assert await refusal(verifier.verify(forged, NOW)) is AuthCode.TOKEN_SIGNATURE
    assert provider.requests == 1


async def test_a_file_and_a_published_key_of_one_kind_serve_side_by_side(key_set, provider):
    pem = keys_from_pem(public_pem(private_key("ES256", 1)))
    verifier = TokenVerifier(public_keys=pem, key_set=key_set)
    await verifier.verify(token(1), NOW)
    assert provider.requests == 0
    await verifier.verify(token(0), NOW)


async def test_statistics_tell_how_the_cache_is_doing(verifier, key_set, provider, clock):
    assert key_set.statistics().age is None
    await verifier.verify(token(0), NOW)
    clock.advance(7)
    statistics = key_set.statistics()
    assert (statistics.keys, statistics.age, statistics.fetches) == (1, 7, 1)
    assert (statistics.failures, statistics.last_failure) == (0, None)
