"""What is in a release, for machines: a software bill of materials, as CycloneDX 1.6.

Made of the lock file alone, so it says what was tested, and is the same bytes each time. A release
of a package has a hash for each of its files; whichever is installed has one of them.
(https://cyclonedx.org/docs/1.6/json/)
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

_PINNED: Final = re.compile(
    r"^([A-Za-z0-9._-]+)==([^\s;\\]+)([^\n\\]*(?:\\\n[^\n\\]*)*)", re.MULTILINE
)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NAMES: Final = uuid.UUID("7f0d7cfc-13f5-5b0e-8d6b-5d0a5a3c1f10")
"""The namespace of serial numbers, drawn once."""


class Locked(NamedTuple):
    """A package in a lock file: *name*, *version*, and the SHA-256 of its files."""

    name: str
    version: str
    hashes: tuple[str, ...]

    @property
    def purl(self) -> str:
        """Its package URL (https://github.com/package-url/purl-spec)."""
        name = re.sub(r"[-_.]+", "-", self.name).lower()
        return f"pkg:pypi/{name}@{self.version}"


def locked(text: str) -> Iterator[Locked]:
    """The packages of a lock file's *text*."""
    for found in _PINNED.finditer(text):
        yield Locked(found[1], found[2], tuple(_HASH.findall(found[3])))


def bill_of_materials(name: str, version: str, lock: str, at: int) -> str:
    """The bill of the package *name*, with all that *lock* pins; *at* is in Unix seconds."""
    packages = sorted(locked(lock))
    subject = Locked(name, version, ())
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMES, f'{subject.purl} {lock}')}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": _component(subject, "application"),
        },
        "components": [_component(each, "library") for each in packages],
        "dependencies": [
            {"ref": subject.purl, "dependsOn": [each.purl for each in packages]},
            *({"ref": each.purl} for each in packages),
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def _component(package: Locked, kind: str) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": kind,
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
    }
    if package.hashes:
        component["hashes"] = [{"alg": "SHA-256", "content": each} for each in package.hashes]
    return component
