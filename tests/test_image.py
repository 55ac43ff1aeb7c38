"""What the image has in it, on a machine that builds none.

The Dockerfile's instructions are carried out in a directory that stands for the image's root. Two
things differ: the packages of the lock are lent by this environment, in place of being fetched, and
the user is not made, since that would change this machine. (Compiled files come along, for speed.)
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from servers.machine import free_port
from servers.node import PATIENCE, ROOT, wait_until
from servers.tokens import SECRET
from tocsin import __version__

DOCKERFILE = ROOT / "Dockerfile"
USER = "10001"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, each with what it says, in one line."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines) if word]


def said(word: str) -> str:
    """The last thing that is said with *word*."""
    return [rest for each, rest in instructions() if each == word][-1]


def copied() -> list[tuple[str, str]]:
    """What is copied from the checkout, and to where."""
    sources = [shlex.split(rest) for word, rest in instructions() if word == "COPY"]
    return [(each[0], each[1]) for each in sources if not each[0].startswith("--from=")]


class Image:
    """The image's root in *directory*, and the environment of the programs in it."""

    def __init__(self, directory: Path) -> None:
        self.root = directory
        self.environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def inside(self, text: str) -> str:
        """*text* with the image's paths as they are here."""
        return re.sub(r"/(?=(opt|var/lib|run\.txt)\b)", f"{self.root}/", text)

    def build(self) -> None:
        (self.root / "opt").mkdir()
        for word, rest in instructions():
            if word == "COPY" and not rest.startswith("--from="):
                source, target = shlex.split(rest)
                copy(ROOT / source, Path(self.inside(target)))
            elif word == "ENV":
                for each in shlex.split(rest):
                    name, _, value = each.partition("=")
                    known = value.replace("$PATH", self.environment["PATH"])
                    self.environment[name] = self.inside(known)
            elif word == "RUN" and not rest.startswith("useradd"):
                self.run(["sh", "-c", self.lend_packages(self.inside(rest))])
        Path(self.inside("/var/lib/tocsin")).mkdir(parents=True)

    def lend_packages(self, command: str) -> str:
        ours = Path(httpx.__file__).parent.parent
        lend = f"echo {ours} > $(echo {self.root}/opt/venv/lib/python*/site-packages)/ours.pth"
        command = re.sub(r"\S+/pip install .*--require-hashes -r \S+/run\.txt", lend, command)
        return command.replace("-m venv ", "-m venv --without-pip ")

    def run(self, command: list[str], **options: Any) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command,
            env=self.environment | options.pop("env", {}),
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
            **options,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    image = Image(tmp_path_factory.mktemp("image"))
    image.build()
    return image


def as_its_user() -> list[str]:
    """What stands before a command that is to see itself as the image's user, without rights."""
    command = ["unshare", "--user", f"--map-user={USER}", f"--map-group={USER}"]
    may = shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True)
    return command if may and may.returncode == 0 else []


def test_all_that_is_copied_is_there_and_gets_past_the_ignored():
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for source, _ in copied():
        assert (ROOT / source).exists(), source
        assert f"!{source}" in allowed


def test_the_image_copies_all_of_the_program(image):
    """As a wheel has it: with what is no code, and the client's package."""
    for folder, inside in {
        "tocsin": "tocsin",
        "clients/python/tocsin_client": "tocsin_client",
    }.items():
        here = {path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*.*")}
        there = image.root / "opt/tocsin" / inside
        lacking = {each for each in here if each.suffix != ".pyc" and not (there / each).exists()}
        assert not lacking


def test_its_user_is_not_root_and_has_tocsin_on_the_path_and_nothing_from_where_it_stands(
    image, tmp_path
):
    assert said("USER") == USER
    assert image.environment["PYTHONSAFEPATH"] == "1"
    for name in ("trio.py", "tocsin.py"):
        (tmp_path / name).write_text("raise SystemExit('a stray file')\n")
    version = image.run([*as_its_user(), "tocsin", "--version"], cwd=tmp_path)
    assert version == f"tocsin {__version__}\n"
    where = image.run(["python", "-c", "import tocsin; print(tocsin.__file__)"], cwd=tmp_path)
    assert where.startswith(str(image.root))


def test_it_serves_is_healthy_and_makes_keys(image):
    port = free_port()
    data = image.environment["TOCSIN_DATA"]
    environment = {"TOCSIN_PORT": str(port), "TOCSIN_JWT_SECRET": SECRET}
    command = [*json.loads(said("ENTRYPOINT")), *json.loads(said("CMD"))]
    assert command == ["tocsin", "serve", "--host", "0.0.0.0"]
    # On this machine alone: a test opens no door to others.
    command[-1] = "127.0.0.1"
    health: list[str] = json.loads(said("HEALTHCHECK").partition("CMD ")[2])
    server = subprocess.Popen(
        [*as_its_user(), *command],
        cwd=data,
        env=image.environment | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: is_ready(url), what="the server of the image")
        image.run(health, cwd=data, env=environment)
        made = image.run(["tocsin", "key", "create", "--scope", "notify", "--name", "x"], cwd=data)
        answer = httpx.post(
            f"{url}/v1/notifications",
            headers={"Authorization": f"Bearer {made.split()[-1]}"},
            json={"to": {"users": ["ada"]}, "title": "Hello"},
            timeout=PATIENCE,
        )
        assert answer.status_code == 201
    finally:
        server.terminate()
        assert server.wait(60) == 0


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=PATIENCE).status_code == 200
    except httpx.TransportError:
        return False
