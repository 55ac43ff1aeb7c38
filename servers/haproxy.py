"""A HAProxy of our own: the one on PATH, or the distribution's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from servers.program import Program, find_binary

CONFIGURATION = Path(__file__).parent.parent / "cluster" / "haproxy.cfg"


class HAProxy(Program):
    """A balancer before *nodes* (`host:port`), listening on *port*; the nodes need not run yet.

    Configured by `cluster/haproxy.cfg`, or by another file, whose *scheme* may be `https`.
    """

    def __init__(
        self,
        nodes: Sequence[str],
        port: int,
        *,
        configuration: Path = CONFIGURATION,
        scheme: str = "http",
    ) -> None:
        self._binary = find_binary("haproxy")
        super().__init__("HAProxy", port, scheme=scheme)
        self._configuration = configuration
        self._nodes = {f"NODE_{number}": node for number, node in enumerate(nodes, 1)}

    def command(self) -> Sequence[str]:
        # -db: in the foreground.
        return [self._binary, "-db", "-f", str(self._configuration)]

    def environment(self) -> Mapping[str, str]:
        return {"PATH": os.defpath, "BIND": f"127.0.0.1:{self.port}", **self._nodes}
