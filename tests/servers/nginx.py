"""A real nginx for tests: the one on PATH, or else the distribution's package (see `haproxy`).

A test says what its nginx is like in the words of nginx's own configuration, so that what passes
here can be copied from. Everything is synchronous, as in `tests.servers.postgres`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.haproxy import START_TIMEOUT, find_binary
from tests.servers.postgres import free_port

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
"""In `http`: an upgrade is passed on as one, and all else over connections that are kept."""
WEBSOCKETS_LOCATION = """
proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;
proxy_set_header Host $http_host;
"""
"""In `location`, with `WEBSOCKETS_HTTP`; `upstream="keepalive 8;"` goes with them."""


class Nginx:
    """Before *nodes* (`host:port`); a context manager. The rest are fragments of its configuration.

    *http*, *upstream*, *server* and *location* are put into the blocks of those names.
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
        self.port = free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="tocsin-nginx-"))
        self.log = self._directory / "log"
        self._configuration = self._directory / "nginx.conf"
        self._configuration.write_text(
            CONFIGURATION.format(
                directory=self._directory,
                port=self.port,
                nodes=" ".join(f"server {node};" for node in nodes),
                http=http,
                upstream=upstream,
                server=server,
                location=location,
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Start, and return when it takes connections; the nodes need not be there."""
        assert self._process is None, "this nginx is running already"
        command = [self._binary, "-p", str(self._directory), "-c", str(self._configuration)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                # It must not outlive a test process that is killed: see `haproxy`.
                ["sh", "-c", GUARD, "guard", *command, "-e", "stderr"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"nginx did not start. The end of its log:\n{text}")
            time.sleep(0.02)  # waits for: the port, which can only be polled
        return self

    def close(self) -> None:
        """End at once, with all connections, and remove everything."""
        if self._process is not None:
            # The group: the shell, nginx and what waits for the end of input.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None
        shutil.rmtree(self._directory, ignore_errors=True)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


GUARD = """
exec 3<&0
"$@" </dev/null &
nginx=$!
(cat <&3 >/dev/null; kill -KILL $nginx) 2>/dev/null &
wait $nginx
"""
