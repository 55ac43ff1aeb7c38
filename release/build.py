"""All parts of a release, in one folder: `./dev release`.

    tocsin-….whl, .tar.gz             the server, for PyPI
    tocsin_client-….whl, .tar.gz      the client, for PyPI
    tocsin-client-….tgz, …-inbox-….tgz   for npm
    tocsin-….tgz                      the chart
    tocsin-….cdx.json                 what the server stands on (SBOM)
    SHA256SUMS                        of all of these

Nothing is published. The same commit gives the same bytes, wherever and whenever it is built, as
long as the tools are those of the lock; so anybody can see that a package is made of this source.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from release.archives import normalise
from release.sbom import bill_of_materials
from release.tree import ROOT, copy_to
from servers.helm import find_helm

SUMS: Final = "SHA256SUMS"
_BUILD: Final = "import sys; from setuptools import build_meta as it; it.build_{}(sys.argv[1])"
_UMASK: Final = 0o022
"""The modes of files are in the packages: they must not be those of the person who builds."""
_NPM: Final = ("client", "inbox")


def build_all(out: Path, at: int) -> None:
    """Write all parts to *out*, which must be empty, as of *at* (Unix seconds)."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory) / "tree"
        copy_to(tree, at)
        for kind in ("sdist", "wheel"):
            build_python(kind, tree, out, at)
        build_npm(tree, out)
        run(find_helm(), "package", tree / "deploy" / "chart", "--destination", out)
        for archive in sorted(out.glob("*.t*gz")):
            normalise(archive, at)
        (out / f"tocsin-{version_in(tree)}.cdx.json").write_text(sbom(tree, at))
    write_sums(out)


def build_python(kind: Literal["sdist", "wheel"], tree: Path, out: Path, at: int) -> None:
    """The packages of that *kind* of server and client, from *tree*, which is written to."""
    clean = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    for project in (tree, tree / "clients" / "python"):
        command = (sys.executable, "-c", _BUILD.format(kind), out.resolve())
        run(*command, cwd=project, env={**clean, "SOURCE_DATE_EPOCH": str(at)})
    for archive in sorted(out.glob("*.tar.gz")):
        normalise(archive, at)


def build_npm(tree: Path, out: Path) -> None:
    """The npm packages, with types that TypeScript has made and checked."""
    browser = tree / "tests" / "browser"
    if not (modules := ROOT / "tests" / "browser" / "node_modules").exists():
        run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=modules.parent)
    browser.joinpath("node_modules").symlink_to(modules)
    place = tree / "build" / "npm"
    run("node", tree / "clients" / "js" / "pack.js", place, modules / ".bin" / "tsc")
    for name in _NPM:
        shutil.copy(ROOT / "LICENSE", place / name)
        run("npm", "pack", "--silent", "--pack-destination", out.resolve(), cwd=place / name)


def sbom(tree: Path, at: int) -> str:
    """The bill of materials of the server in *tree*."""
    lock = (tree / "requirements" / "run.txt").read_text(encoding="utf-8")
    return bill_of_materials("tocsin", version_in(tree), lock, at)


def version_in(tree: Path) -> str:
    """The release that *tree* is."""
    text = (tree / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "([^"]+)"$', text, re.MULTILINE)
    assert found is not None, "pyproject.toml has the version"
    return found[1]


def write_sums(out: Path) -> None:
    """Write the SHA-256 of each file of *out*, as `sha256sum --check` reads them."""
    files = sorted(each for each in out.iterdir() if each.name != SUMS)
    lines = [f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n" for each in files]
    (out / SUMS).write_text("".join(lines))


def run(*command: object, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    """Run *command* quietly; raises `SystemExit` with all that it said if it fails."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=env,
        umask=_UMASK,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
