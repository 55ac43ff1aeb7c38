"""One Chromium for all tests that want one, and a shop whose pages have an inbox."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from servers.chromium import Browser
from servers.tokens import token
from tests.system.server_kit import Server
from tests.system.shop_kit import CONNECTED, Shop, Visitor, page_of


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.close()


@pytest.fixture(scope="module")
def server(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that pages of the shop may ask; a test that kills it starts it again."""
    server = Server(tmp_path_factory.mktemp("shop"), {"origins": shop.origin})
    try:
        yield server.start()
    finally:
        server.close()
    server.expect_no_bugs()


@pytest.fixture
def ready_shop(server: Server, shop: Shop, ada: str) -> Shop:
    """The shop's page uses the server, for Ada."""
    shop.page = page_of(server.url)
    shop.credential = token(ada)
    return shop


@pytest.fixture
def visitor(browser: Browser, ready_shop: Shop) -> Iterator[Visitor]:
    """Ada on the shop's page, connected. Nothing may have gone wrong there unnoticed."""
    with Visitor(browser, ready_shop) as visitor:
        visitor.wait_for(CONNECTED)
        yield visitor
        assert visitor.run("return troubles") == []
        assert visitor.exceptions == []
