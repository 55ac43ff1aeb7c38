"""The demo's shop, from its buttons to its pictures."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from demo.pictures import CONSOLES, PICTURES, take_pictures
from demo.posts import BURST, DELIVERED, POSTS
from demo.shop import Shop, started_shop
from servers.node import PATIENCE
from servers.tokens import bearer


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Iterator[Shop]:
    with started_shop(tmp_path_factory.mktemp("demo"), 0) as shop:
        yield shop


def titles(shop: Shop, user: str) -> list[str]:
    token = httpx.get(f"{shop.origin}/token?user={user}", timeout=PATIENCE).text
    inbox = httpx.get(f"{shop.node}/v1/inbox", headers=bearer(token), timeout=PATIENCE).json()
    return [each["title"] for each in inbox["notifications"]]


def test_each_button_does_what_it_says(shop):
    page = httpx.get(shop.origin, timeout=PATIENCE).text
    buttons = [*POSTS, "delivered", "withdraw", "burst"]
    for name in buttons:
        assert f'data-do="{name}"' in page
        assert httpx.post(f"{shop.origin}/do/{name}", timeout=PATIENCE).status_code == 204
    ada, bob = titles(shop, "ada"), titles(shop, "bob")
    assert DELIVERED["title"] in ada
    assert POSTS["support"]["title"] in bob
    assert POSTS["offer"]["title"] not in ada
    assert len(ada) == BURST + 2
    assert [
        each["title"] for each in httpx.get(f"{shop.origin}/ledger", timeout=PATIENCE).json()
    ] == [POSTS[name]["title"] for name in ("payment", "support", "order")]


def test_only_its_own_pages_may_press_buttons(shop):
    headers = {"Origin": "https://elsewhere.example"}
    assert (
        httpx.post(f"{shop.origin}/do/order", headers=headers, timeout=PATIENCE).status_code == 403
    )
    assert httpx.get(f"{shop.origin}/..%2Fshop.py", timeout=PATIENCE).status_code == 404


@pytest.mark.faults
def test_its_pictures_are_made_by_a_browser(tmp_path):
    with started_shop(tmp_path, 0) as shop:
        take_pictures(shop, tmp_path / "pictures")
    made = {each.name for each in (tmp_path / "pictures").iterdir()}
    assert made == {f"{each.name}.png" for each in (*PICTURES, *CONSOLES)}
