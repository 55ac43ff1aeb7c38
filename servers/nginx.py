"""An nginx of our own: the one on PATH, or else the distribution's package (see `program`).

A test configures its nginx in nginx's own language, so that an operator can copy a configuration
that passes. Everything is synchronous, as in `servers.postgres`.
"""

from __future__ import annotations

from collections.abc import Sequence

from servers.machine import free_port
from servers.program import Program, find_binary

CONFIGURATION = """
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr info;
events {{ worker_connections 1024; }}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {http}
    upstream nodes {{
        {nodes}
        {upstream}
    }}
    server {{
        listen 127.0.0.1:{port};
        {server}
        location / {{
            proxy_pass http://nodes;
            {location}
        }}
    }}
}}
"""

WEBSOCKETS_HTTP = "map $http_upgrade $connection_upgrade { default upgrade; '' ''; }"
"""For the block `http`: upgrades are passed on, all other requests go over kept connections."""
WEBSOCKETS_LOCATION = """
proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;
proxy_set_header Host $http_host;
"""
"""For the block `location`, with `WEBSOCKETS_HTTP`; both need `upstream="keepalive 8;"`."""


class Nginx(Program):
    """A proxy before *nodes* (`host:port`), which need not run yet.

    *http*, *upstream*, *server* and *location* are directives for the blocks of those names.
    """

    def __init__(
        self,
        nodes: Sequence[str],
        *,
        http: str = "",
        upstream: str = "",
        server: str = "",
        location: str = "",
    ) -> None:
        self._binary = find_binary("nginx", "nginx-light")
        super().__init__("nginx", free_port())
        self._configuration = self.directory / "nginx.conf"
        self._configuration.write_text(
            CONFIGURATION.format(
                directory=self.directory,
                port=self.port,
                nodes=" ".join(f"server {node};" for node in nodes),
                http=http,
                upstream=upstream,
                server=server,
                location=location,
            )
        )

    def command(self) -> Sequence[str]:
        directory, configuration = str(self.directory), str(self._configuration)
        return [self._binary, "-p", directory, "-c", configuration, "-e", "stderr"]
