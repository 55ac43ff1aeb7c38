"""A Caddy of our own: the one on PATH, or the distribution's package (see `program`)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from servers.program import Program, find_binary


class Caddy(Program):
    """Configured by a Caddyfile, *sites*, which listens on *port* with TLS."""

    def __init__(self, sites: str, port: int) -> None:
        self._binary = find_binary("caddy")
        super().__init__("Caddy", port, scheme="https")
        self._configuration = self.directory / "Caddyfile"
        # Off, because their ports are fixed: a second Caddy on the machine could not have them.
        self._configuration.write_text(
            f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{sites}"
        )

    def command(self) -> Sequence[str]:
        file = str(self._configuration)
        return [self._binary, "run", "--adapter", "caddyfile", "--config", file]

    def environment(self) -> Mapping[str, str]:
        # Caddy keeps certificates in its home; this one is removed with the directory.
        here = str(self.directory)
        return {**os.environ, "HOME": here, "XDG_DATA_HOME": here, "XDG_CONFIG_HOME": here}
