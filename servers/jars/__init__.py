"""Servers in Java, as jars from Maven: each folder has a pinned `pom.xml`.

The jars of a server are copied into `.venv/jars` when a test first asks for them, under a name that
is the digest of the `pom.xml`; so they are fetched again only when that changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
FETCH_TIMEOUT: Final = 300.0
"""Seconds: it takes twenty, on a machine that has nothing of it yet."""


class NoJava(Exception):
    """This machine has no `java` or no `mvn`, so servers in Java cannot be started."""


def jars(name: str) -> Path:
    """The directory with the jars of the server called *name*. Raises `NoJava`, `RuntimeError`."""
    missing = [each for each in ("java", "mvn") if shutil.which(each) is None]
    if missing:
        raise NoJava(f"{name} needs {' and '.join(missing)}, which this machine does not have")
    pom = HERE / name / "pom.xml"
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:16]
    directory = Path(sys.prefix) / "jars" / f"{name}-{digest}"
    directory.parent.mkdir(exist_ok=True)
    with (directory.parent / f"{name}.lock").open("w") as guard:
        # Test processes side by side want the same jars.
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not directory.exists():
            _fetch(pom, directory)
    return directory


def _fetch(pom: Path, directory: Path) -> None:
    partial = directory.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    done = subprocess.run(
        [
            *("mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"),
            *("-DincludeScope=runtime", f"-DoutputDirectory={partial}"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FETCH_TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the jars of {directory.name} cannot be had:\n{done.stdout[-3000:]}")
    # Servers run as nobody, who has to be able to read them.
    for path in (partial, *partial.iterdir()):
        path.chmod(0o755)
    partial.rename(directory)
