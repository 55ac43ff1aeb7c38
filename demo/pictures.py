"""Screenshots of the demo for the README, made by a real browser."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo.shop import Shop
from servers.chromium import Chromium
from servers.tokens import token

TOLD: Final = ("offer", "order", "support", "payment")
"""Posts before the pictures are taken, the newest last; all devices are there by then."""
DEVICES: Final = ("ada-laptop", "ada-phone", "bob-laptop")
LINES: Final = 8
"""Deliveries of these posts to these devices."""
CONNECTED: Final = "document.querySelector('tocsin-inbox')?.tocsin?.state.phase === 'connected'"
OPEN: Final = "document.querySelector('tocsin-inbox').shadowRoot.querySelector('.bell').click()"
SHOWN: Final = (
    "document.querySelector('tocsin-inbox').shadowRoot.querySelectorAll('.item').length > 1"
)
STILL: Final = (
    "document.querySelector('tocsin-inbox').shadowRoot.getAnimations({ subtree: true })"
    ".every(({ playState }) => playState === 'finished')"
)
UNFOCUS: Final = "document.querySelector('tocsin-inbox').shadowRoot.activeElement?.blur(); true"
ARRIVED: Final = f"document.querySelectorAll('.lines > .acknowledged').length === {LINES}"
"""The ledger shows each post as acknowledged, on all devices."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One screenshot: of the *path*, with the inboxes of *frames* open (of the page, if empty)."""

    name: str
    path: str
    width: int
    height: int
    dark: bool = False
    frames: tuple[str, ...] = ()


PICTURES: Final = (
    Picture("demo-light", "/", 1360, 900, frames=("ada-laptop", "ada-phone")),
    Picture("demo-dark", "/", 1360, 900, dark=True, frames=("ada-laptop", "ada-phone")),
    Picture("inbox-phone", "/device?user=ada&name=tablet", 390, 780),
)


CONSOLE_KEY: Final = "tocsin-console-key"
"""Where the console keeps the operator's key in a tab's storage."""
CONSOLES: Final = (
    Picture("console-light", "/console", 1280, 860),
    Picture("console-dark", "/console", 1280, 860, dark=True),
    Picture("console-phone", "/console", 390, 780, dark=True),
)
HAPPENING: Final = "document.querySelectorAll('.ticker .acknowledged').length > 0"
"""The console shows that a device has what was just posted."""


def take_pictures(shop: Shop, directory: Path) -> None:
    """Write each of `PICTURES` to *directory*, as PNG."""
    directory.mkdir(parents=True, exist_ok=True)
    with Chromium() as page:
        page.visit(shop.origin)
        for frame in DEVICES:
            page.wait_for(f"frames['{frame}'].{CONNECTED}")
        for name in TOLD:
            shop.do(name)
        page.wait_for(ARRIVED)
    for picture in PICTURES:
        with Chromium(width=picture.width, height=picture.height, dark=picture.dark) as page:
            page.visit(shop.origin + picture.path)
            for frame in picture.frames:
                open_inbox(page, f"frames['{frame}'].")
            if not picture.frames:
                open_inbox(page, "")
            if picture.frames:
                page.wait_for(ARRIVED)
            page.screenshot(directory / f"{picture.name}.png")
            assert page.complaints == [], page.complaints

    take_pictures_of_console(shop, directory)


def take_pictures_of_console(shop: Shop, directory: Path) -> None:
    """Write each of `CONSOLES` to *directory*, while notifications travel."""
    with Chromium() as devices:
        devices.visit(shop.origin)
        for frame in DEVICES:
            devices.wait_for(f"frames['{frame}'].{CONNECTED}")
        for picture in CONSOLES:
            with Chromium(width=picture.width, height=picture.height, dark=picture.dark) as page:
                page.visit(shop.node + picture.path)
                kept = json.dumps([CONSOLE_KEY, token("root", "admin notify")])
                page.evaluate(f"sessionStorage.setItem(...{kept}); location.reload(); true")
                page.wait_for("!!document.querySelector('.live td')")
                shop.do("burst")
                page.wait_for(HAPPENING)
                page.screenshot(directory / f"{picture.name}.png")
                assert page.complaints == [], page.complaints


def open_inbox(page: Chromium, window: str) -> None:
    """Open the inbox of *window*, which is empty or ends in a dot, and wait for its list."""
    page.wait_for(f"{window}{CONNECTED}")
    page.evaluate(f"{window}{OPEN}")
    page.wait_for(f"{window}{SHOWN}")
    # The script is no mouse: the browser would show where the focus is.
    page.evaluate(f"{window}{UNFOCUS}")
    page.wait_for(f"{window}{STILL}")
