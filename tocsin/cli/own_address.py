"""The address at which a server is reached from its own machine.

Apart from `reaching`, which imports the client: a node that says where it is needs none.
"""

from __future__ import annotations

from typing import Final

from tocsin.cli.trouble import Trouble
from tocsin.settings import Settings

_REACHED_AS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that mean all interfaces, and one of those."""


def url_of(settings: Settings, port: int | None = None) -> str:
    """Where to reach a server of *settings* from its own machine; *port* is the one that it got.

    Raises `Trouble` where the settings leave the port open.
    """
    port = settings.port if port is None else port
    if port == 0:
        remedy = "name the server with --url; it prints its address when it starts"
        raise Trouble("The settings leave the port open (`port` is 0)", remedy)
    host = _REACHED_AS.get(settings.host[0], settings.host[0]).strip("[]")
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
