"""A Traefik of our own: the one on PATH, because Debian has no package of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence

from servers.program import Program


def is_there() -> bool:
    return shutil.which("traefik") is not None


class Traefik(Program):
    """Configured by a file of its `file` provider, *dynamic*; `websecure` listens on *port*."""

    def __init__(self, dynamic: str, port: int) -> None:
        super().__init__("Traefik", port, scheme="https")
        (self.directory / "dynamic.yml").write_text(dynamic)
        self._configuration = self.directory / "traefik.yml"
        static = {
            "entryPoints": {"websecure": {"address": f"127.0.0.1:{port}"}},
            "providers": {"file": {"filename": str(self.directory / "dynamic.yml")}},
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        }
        # JSON is valid YAML.
        self._configuration.write_text(json.dumps(static))

    def command(self) -> Sequence[str]:
        return ["traefik", f"--configFile={self._configuration}"]
