"""Redis over TLS: whom a node talks to, and what it says of those to whom it does not."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import pytest

from servers.authority import certify
from servers.redis import Redis, execute
from tests.persistence.services_kit import RedisService, hear, opened, said
from tocsin.persistence.bus import BusUnavailable, Lease


def url_of(server: Redis, *, query: str | None = None, **parts: str) -> str:
    """The server's address with other *parts*, or another *query*."""
    split = urlsplit(server.url)
    return urlunsplit(split._replace(query=split.query if query is None else query, **parts))


async def refusal(url: str, timeout: float = 30) -> str:
    """Why the Redis at *url* is not talked to, at the latest after *timeout* seconds."""
    service = RedisService(url, timeout=timeout)
    async with service.running():
        with pytest.raises(BusUnavailable) as caught:
            await service.bus("node-a").open()
    return str(caught.value)


async def test_nodes_speak_and_listen_over_it(tls_redis):
    service = RedisService(tls_redis.url)
    async with service.running(), opened(service.bus("a")) as ann, opened(service.bus("b")) as ben:
        await ben.subscribe(["u:1"])
        await ann.publish(said("u:1", *(b"%d" % number for number in range(1000))))
        assert len(await hear(ben, 1000)) == 1000


async def test_password_and_database_number_hold_as_without_it(tls_redis):
    tls_redis.restart(password="p@ss/word?#")
    database = tls_redis.create_database()
    service = RedisService(database)
    async with service.running():
        await service.presence("a").hold([Lease("ann", "phone", "a", 1)], 30)
    assert execute(database, "DBSIZE") == 1
    assert execute(tls_redis.url, "DBSIZE") == 0


async def test_an_authority_that_nobody_knows_is_refused_and_the_reason_says_so(tls_redis):
    assert "certificate verify failed" in await refusal(url_of(tls_redis, query=""))


async def test_another_authority_is_refused_and_the_reason_says_so(tls_redis, tmp_path):
    other = certify(tmp_path / "other").authority
    reason = await refusal(url_of(tls_redis, query=f"ssl_ca_certs={other}"))
    assert "certificate verify failed" in reason


async def test_a_certificate_for_another_host_is_refused_and_the_reason_says_so(tls_redis):
    elsewhere = urlsplit(tls_redis.url).netloc.replace("127.0.0.1", "localhost")
    assert "localhost" in await refusal(url_of(tls_redis, netloc=elsewhere))


async def test_a_server_without_it_is_no_server_for_it(own_redis):
    # It waits for more of what it takes for a command.
    assert await refusal(own_redis.url.replace("redis://", "rediss://"), timeout=1)


async def test_a_server_with_it_is_none_for_those_without(tls_redis):
    assert await refusal(url_of(tls_redis, query="", scheme="redis"))
