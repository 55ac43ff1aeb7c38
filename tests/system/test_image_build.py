"""The image as `buildah` builds it, on a base of Debian's own packages in the place of Python's.

Registries may be out of reach, so the base is made here: Debian, its Python, and the authorities
that this machine trusts, under the name that the Dockerfile asks for. Only root can do that.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from servers.machine import free_port
from servers.node import PATIENCE, ROOT, wait_until
from servers.program import find_binary
from servers.tokens import SECRET
from tests.test_image import is_ready, said

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a system in a directory"),
]

TAG = "localhost/tocsin:built"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
MINUTE = 60.0


class Builder:
    """`buildah` with a store of its own in *directory*, and without namespaces of its own."""

    def __init__(self, directory: Path) -> None:
        self._command = [
            find_binary("buildah"),
            *("--root", str(directory / "store"), "--runroot", str(directory / "run")),
            *("--storage-driver", "vfs"),
        ]
        self._environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}

    def __call__(self, *arguments: str, timeout: float = 10 * MINUTE) -> str:
        """Run it with *arguments* for *timeout* seconds at most; returns what it printed."""
        done = subprocess.run(
            [*self._command, *arguments],
            env=self._environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run it with *arguments*, and do not wait for its end."""
        return subprocess.Popen(
            [*self._command, *arguments],
            env=self._environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )


def debian(directory: Path) -> None:
    """Make a Debian with a Python in *directory*, from where this machine has its packages."""
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)"]
    listed = subprocess.run(targets, capture_output=True, text=True, check=True).stdout
    pairs = [line.split() for line in listed.splitlines()]
    mirror, release = next(pair for pair in pairs if "-" not in pair[1])
    command = [find_binary("debootstrap"), "--variant=minbase", "--include=python3-venv"]
    command += [release, str(directory), mirror]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=15 * MINUTE)


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    directory = tmp_path_factory.mktemp("image")
    build = Builder(directory)
    debian(directory / "debian")
    base = build("from", "scratch")
    build("copy", base, str(directory / "debian"), "/")
    build("copy", base, AUTHORITIES, "/etc/ssl/certs/")
    build("run", base, "--", "ln", "-sf", "python3", "/usr/bin/python")
    build("config", "--env", f"PIP_CERT={AUTHORITIES}", base)
    [of, *_] = {rest.split()[0] for rest in [said("FROM")]}
    build("commit", "--rm", base, f"docker.io/library/{of}")
    build("bud", "--pull-never", "--format", "docker", "--tag", TAG, ".")
    yield build
    build("rm", "--all")
    shutil.rmtree(directory, ignore_errors=True)


def test_the_image_serves_as_its_user_is_healthy_and_makes_keys(builder):
    container, port = builder("from", "--pull-never", TAG), free_port()
    url = f"http://127.0.0.1:{port}"
    settings = ["--env", f"TOCSIN_PORT={port}", "--env", f"TOCSIN_JWT_SECRET={SECRET}"]
    known = json.loads(builder("inspect", TAG))["Docker"]["config"]
    program = [*known["Entrypoint"], *known["Cmd"]]
    # On this machine alone: a test opens no door to others.
    program[-1] = "127.0.0.1"

    server = builder.start("run", *settings, container, "--", *program)
    try:
        wait_until(
            lambda: server.poll() is not None or is_ready(url),
            patience=PATIENCE,
            what="the server in the container",
        )
        health = builder("run", *settings, container, "--", *known["Healthcheck"]["Test"][1:])
        key = builder("run", container, "--", "tocsin", "key", "create", "--scope", "notify")
        post = httpx.post(
            f"{url}/v1/notifications",
            headers={"Authorization": f"Bearer {key.splitlines()[-1]}"},
            json={"to": {"users": ["ada"]}, "title": "Hello"},
            timeout=PATIENCE,
        )
        user = builder("run", container, "--", "id", "-u")
    finally:
        server.terminate()
        told = server.communicate(timeout=PATIENCE)[0]

    assert health == ""
    assert post.status_code == 201, told[-2000:]
    assert user == "10001"
