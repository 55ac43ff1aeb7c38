"""The package for an index: it installs into an empty environment, and serves from there."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import httpx
import pytest

from servers.archives import unpack
from servers.machine import free_port
from servers.node import PATIENCE, wait_until
from tocsin import __version__

ROOT = Path(__file__).parent.parent
LEFT_OUT = {
    *("node_modules", ".git", ".venv", ".hypothesis", "__pycache__", "tocsin-data", "secrets"),
    "build",
}
SECRET = "a secret of the package's tests, long enough"


def run(*command: object, **options: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        list(map(str, command)), text=True, capture_output=True, timeout=280, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpacked: what people get who ask for the source. Made without a network, from a copy,
    because setuptools writes into the tree that it builds.
    """
    place = tmp_path_factory.mktemp("sdist")

    def left_out(_: str, names: list[str]) -> list[str]:
        return [each for each in names if each in LEFT_OUT or re.match(r"\.venv|\..*_cache", each)]

    shutil.copytree(ROOT, place / "tree", ignore=left_out)
    run(
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--sdist",
        "--outdir",
        place,
        cwd=place / "tree",
    )
    [archive] = place.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        unpack(file, place)
    return place / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """From the sdist, as installers make it."""
    run(
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--wheel",
        "--outdir",
        sdist.parent,
        cwd=sdist,
    )
    [wheel] = sdist.parent.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as file:
        return email.message_from_bytes(file.read(f"tocsin-{__version__}.dist-info/METADATA"))


@pytest.fixture(scope="module")
def client_wheel(sdist: Path) -> Path:
    """`tocsin-client`, which the server's command line stands on, from its own source."""
    source = sdist.parent / "client-source"
    shutil.copytree(sdist / "clients" / "python", source)
    build = (sys.executable, "-m", "build", "--no-isolation", "--wheel")
    run(*build, "--outdir", sdist.parent / "client", cwd=source)
    [wheel] = (sdist.parent / "client").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, client_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment of the wheel's own; what it stands on is lent by ours."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    [packages] = environment.glob("lib/python*/site-packages")
    ours = Path(httpx.__file__).parent.parent
    (packages / "ours.pth").write_text(f"{ours}\n")
    programs = environment / "bin"
    # Without the address of an index, and without leave to ask for one: all that the package says
    # it needs has to be in the directory or among what is lent.
    wheels = environment.parent / "wheels"
    wheels.mkdir()
    for each in (wheel, client_wheel):
        shutil.copy(each, wheels)
    install = ("install", "--no-index", "--find-links", wheels, "--quiet", "tocsin")
    run(programs / "python", "-m", "pip", *install)
    return programs


@pytest.fixture
def environ() -> dict[str, str]:
    theirs = {name: text for name, text in os.environ.items() if not re.match("_?TOCSIN_", name)}
    theirs.pop("PYTHONPATH", None)
    return {**theirs, "TOCSIN_JWT_SECRET": SECRET}


@pytest.fixture
def url(installed: Path, environ, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    flags = ("--port", str(port), "--data", str(tmp_path / "data"))
    command = [str(installed / "tocsin"), "serve", *flags]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, env=environ, cwd=tmp_path, stdout=log, stderr=log) as server,
    ):
        try:
            wait_until(lambda: answers(port), what="the installed server")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def answers(port: int) -> bool:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/readyz", verify=False, timeout=PATIENCE)
    except httpx.TransportError:
        return False
    return answer.status_code == 200


def test_the_installed_command_serves_and_posts(installed, environ, url, tmp_path):
    tocsin = installed / "tocsin"
    assert run(tocsin, "--version", env=environ) == f"tocsin {__version__}\n"
    where = ("--url", url)
    run(tocsin, "send", "ada", "Hello", *where, env=environ, cwd=tmp_path)
    listen = ("listen", "ada", "--from-start", "--once", "1", *where)
    assert "Hello" in run(tocsin, *listen, env=environ, cwd=tmp_path)


def test_all_that_is_no_code_is_in_the_wheel(wheel):
    ours = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tocsin").rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".pyo"}
    }
    with zipfile.ZipFile(wheel) as file:
        packed = {name for name in file.namelist() if ".dist-info/" not in name}
    assert packed == ours


def test_the_client_is_a_package_of_its_own(client_wheel):
    """With all of its modules and types, and what it stands on; and of the server nothing."""
    place = ROOT / "clients" / "python" / "tocsin_client"
    ours = {f"tocsin_client/{each.relative_to(place)}" for each in files_in(place)}
    with zipfile.ZipFile(client_wheel) as file:
        names = file.namelist()
        metadata = email.message_from_bytes(
            file.read(f"tocsin_client-{__version__}.dist-info/METADATA")
        )
    assert {name for name in names if ".dist-info/" not in name} == ours
    needs = [re.split("[><=]", each)[0] for each in metadata.get_all("Requires-Dist", [])]
    assert needs == ["anyio", "httpx", "wsproto"]


def test_the_source_holds_what_its_tests_need(sdist):
    """`./dev test` in it runs. Here two quick files run: one that reads every folder, and one that
    imports the product; and every file is there.
    """
    assert os.access(sdist / "dev", os.X_OK)
    environ = {**os.environ, "PYTHONPATH": str(sdist)}
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    quick = ("tests/house/test_rooms.py", "tests/protocol/test_values.py")
    run(*command, *quick, cwd=sdist, env=environ)
    rooms = ("bench", "clients", "cluster", "demo", "release", "servers", "simulation", "tests")
    for directory in (*rooms, "deploy", "docs", "requirements", ".ci"):
        here = {each.relative_to(ROOT) for each in files_in(ROOT / directory)}
        there = {each.relative_to(sdist) for each in files_in(sdist / directory)}
        assert there == here


def files_in(directory: Path) -> list[Path]:
    return [
        path
        for path in directory.rglob("*")
        if path.is_file()
        and not LEFT_OUT & set(path.parts[len(ROOT.parts) :])
        and path.suffix != ".pyc"
    ]


def test_the_links_of_the_page_on_an_index_lead_somewhere(metadata):
    text = str(metadata.get_payload())
    assert text.startswith("# Tocsin")
    assert not re.findall(r"\]\((?!https://)[^)]*\)|<img|!\[", text)
    assert "./dev serve" not in text


def test_the_index_learns_who_what_and_for_which_pythons(metadata):
    assert metadata["Author"] == "Tocsin contributors"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Keywords"]
    assert metadata["Requires-Python"] == "<3.14,>=3.11"
    of_python = "Programming Language :: Python :: 3."
    pythons = [each for each in metadata.get_all("Classifier", []) if each.startswith(of_python)]
    assert [each.removeprefix(of_python) for each in pythons] == ["11", "12", "13"]
    assert all("https://" in each for each in metadata.get_all("Project-URL", []))
