"""The packages for npm: their types, sizes and manners, and pages that use them."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.chromium import Chromium
from servers.node import ROOT
from servers.program import find_binary
from servers.tokens import token
from tests.system.server_kit import Server
from tests.system.shop_kit import Shop

BROWSER = ROOT / "tests" / "browser"
MODULES = BROWSER / "node_modules"
LOCK = MODULES / ".package-lock.json"
SIZES = {"client": 8_000, "inbox": 25_000}
"""Bytes, minified and with gzip, that a page loads at first; the inbox has the client in it."""
FALLBACK_MAX = 2_000
"""Bytes of what is loaded only where a WebSocket cannot be had."""
WANTED = ("react", "vue", "svelte")


def run(*command: object) -> str:
    arguments = list(map(str, command))
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def modules() -> Path:
    """The packages that tests stand on, from their lock. Without npm, or a registry, tests skip;
    but never with CI=true."""
    lock = BROWSER / "package-lock.json"
    if LOCK.exists() and LOCK.stat().st_mtime >= lock.stat().st_mtime:
        return MODULES
    npm = shutil.which("npm")
    command = [str(npm), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = npm and subprocess.run(command, cwd=BROWSER, capture_output=True, text=True, check=False)
    if not done or done.returncode:
        why = f"npm ci: {done.stderr[-500:]}" if done else "there is no npm"
        assert os.environ.get("CI") != "true", why
        pytest.skip(why)
    LOCK.touch()
    return MODULES


@pytest.fixture(scope="session")
def packages(modules, tmp_path_factory) -> Path:
    place: Path = tmp_path_factory.mktemp("npm")
    pack = ROOT / "clients" / "js" / "pack.js"
    run(find_binary("node", "nodejs"), pack, place, modules / ".bin" / "tsc")
    return place


@pytest.mark.parametrize("name", SIZES)
def test_its_types_are_whole_and_its_package_is_sound(packages, modules, name):
    """That the types hold is what making the packages has shown."""
    for module in (packages / name).glob("*.js"):
        assert module.with_suffix(".d.ts").exists(), module
    run(modules / ".bin" / "publint", packages / name, "--strict", "--pack", "npm")


@pytest.mark.parametrize("name", SIZES)
def test_it_is_small(packages, modules, name, tmp_path):
    entry = packages / name / "index.js"
    flags = ["--bundle", "--minify", "--format=esm", "--splitting", f"--outdir={tmp_path}"]
    run(modules / ".bin" / "esbuild", entry, *flags, "--log-level=error")
    sizes = {each.name: len(gzip.compress(each.read_bytes(), 9)) for each in tmp_path.iterdir()}
    first = sizes.pop("index.js")
    assert first < SIZES[name]
    [fallback] = sizes.values()
    assert fallback < FALLBACK_MAX


# --- in a browser ---------------------------------------------------------------------------------


@pytest.fixture
def shop(ada) -> Iterator[Shop]:
    shop = Shop()
    shop.credential = token(ada)
    yield shop
    shop.close()


@pytest.fixture
def server(start_server, shop) -> Server:
    server: Server = start_server(origins=shop.origin)
    return server


@pytest.mark.faults
@pytest.mark.parametrize("example", WANTED)
def test_a_bell_in_ten_lines(packages, server, shop, ada, example):
    node = find_binary("node", "nodejs")
    bundle = run(node, BROWSER / "bundle.js", example, packages, server.url)
    shop.page = (
        f'<!doctype html><link rel="icon" href="data:,"><script type=module>{bundle}</script>'
    )
    producer = server.producer()
    with Chromium() as page:
        page.visit(shop.origin)
        page.wait_for("globalThis.tocsin?.state.phase === 'connected'")
        producer.post(ada, title="first")
        producer.post(ada, title="second")
        page.wait_for("document.querySelector('summary').textContent === '2 unread'")
        page.evaluate("document.querySelector('details').open = true")
        page.wait_for("document.querySelectorAll('button').length === 2")
        page.evaluate("document.querySelector('button').click()")
        page.wait_for("document.querySelector('summary').textContent === '1 unread'")
        assert page.complaints == []


AXE_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Inbox</title><link rel="icon" href="data:,">
<script type="module" src="{server}/inbox.js"></script>
<main><h1>Page</h1><tocsin-inbox server="{server}" token-url="/token"></tocsin-inbox></main>
</html>"""
ROOT_OF_INBOX = "document.querySelector('tocsin-inbox').shadowRoot"


@pytest.mark.faults
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(modules, server, shop, ada, dark, width):
    shop.page = AXE_PAGE.format(server=server.url)
    producer = server.producer()
    producer.post(ada, title="read", url="/somewhere", body="A body.")
    producer.post(ada, title="critical", priority="critical")
    axe = (modules / "axe-core" / "axe.min.js").read_text()
    with Chromium(width=width, height=800, dark=dark) as page:
        page.visit(shop.origin)
        page.wait_for("document.querySelector('tocsin-inbox').tocsin?.state.phase === 'connected'")
        page.evaluate(f"{axe}; true")
        assert violations(page) == []
        page.evaluate(f"{ROOT_OF_INBOX}.querySelector('.bell').click()")
        page.wait_for(f"{ROOT_OF_INBOX}.querySelectorAll('.item').length === 2")
        page.wait_for(f"{ROOT_OF_INBOX}.getAnimations({{subtree: true}}).length === 0")
        assert violations(page) == []
        page.evaluate(f"{ROOT_OF_INBOX}.querySelector('.gear').click()")
        page.wait_for(f"{ROOT_OF_INBOX}.querySelector('.preferences input') !== null")
        assert violations(page) == []


def violations(page: Chromium) -> list[str]:
    script = (
        "(await axe.run(document)).violations.map("
        "({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`)"
    )
    found: list[str] = page.evaluate(script)
    return found
