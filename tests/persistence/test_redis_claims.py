"""How long Redis remembers an idempotency key: as long as the store would."""

from __future__ import annotations

import pytest
import redis

from tests.persistence.services_kit import RedisService, append
from tocsin.persistence.bus import CLAIM_LIFETIME, Claim
from tocsin.persistence.redis.spool import RedisSpool

MONTH = 30 * 86_400.0


@pytest.mark.parametrize(("retention", "remembered"), [(MONTH, MONTH), (60.0, CLAIM_LIFETIME)])
async def test_a_claim_is_kept_as_long_as_answers_to_keys(redis_url, retention, remembered):
    service = RedisService(redis_url)
    async with service.running():
        spool = RedisSpool(service.client("node"), service.seals("node"), service.now_ms, retention)
        await append(spool, b"1", Claim("shop k", b"print", "answer"))
        with redis.Redis.from_url(redis_url) as client:
            left = client.pttl("tocsin:spool:claim:shop k") / 1000
    assert remembered - 60 < left <= remembered
