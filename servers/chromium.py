"""A Chromium of our own: opened on a page, asked what is on it, and looked at.

The tests control it by the protocol of its developer tools. If there is no browser and this process
is root, Debian's package is installed; otherwise an error names the packages to install.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

NAMES = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]
PATIENCE = 30.0


def find_browser() -> str:
    """The path of the browser's program; root installs Debian's package if there is none.

    Raises `AssertionError` if there is none and this process is not root.
    """
    if found := next(filter(None, map(shutil.which, NAMES)), None):
        return found
    assert os.geteuid() == 0, f"install one of {', '.join(NAMES)}: this test needs a browser"
    for command in (["update"], ["install", "-y", "--no-install-recommends", NAMES[0]]):
        subprocess.run(
            ["apt-get", "-qq", *command],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    found = shutil.which(NAMES[0])
    assert found is not None
    return found


class Chromium:
    """One browser with one page; a context manager."""

    def __init__(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="tocsin-chromium-"))
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        """Errors that the page has logged, among them refusals of its content security policy."""
        self._process = subprocess.Popen(
            [
                *(find_browser(), "--headless", "--no-sandbox", "--disable-gpu"),
                *("--remote-debugging-port=0", "--hide-scrollbars", "--remote-allow-origins=*"),
                *(f"--user-data-dir={self._directory}", f"--window-size={width},{height}"),
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._socket: ClientConnection | None = None
        try:
            self._socket = self._connect()
            self._ask("Page.enable")
            self._ask("Runtime.enable")
            self._ask("Log.enable")
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            self._ask("Emulation.setEmulatedMedia", features=[scheme])
            self._ask(
                "Emulation.setDeviceMetricsOverride",
                width=width, height=height, deviceScaleFactor=1, mobile=False,
            )  # fmt: skip
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill the browser with all of its processes, and remove its directory."""
        if self._socket is not None:
            self._socket.close()
        # The whole group: Debian's program is a script, which would end without the browser.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)
        shutil.rmtree(self._directory, ignore_errors=True)

    def visit(self, url: str) -> None:
        """Open *url*, and wait until the page is loaded. Raises as `wait_for`."""
        self._ask("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, script: str) -> Any:
        """The value of *script*; of a promise, the value that it resolves to.

        Raises `AssertionError` if the script throws.
        """
        answer = self._ask(
            "Runtime.evaluate",
            expression=script, awaitPromise=True, returnByValue=True, replMode=True,
        )  # fmt: skip
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> Any:
        """Evaluate *condition* again and again until it is true; its value then.

        Raises `AssertionError` after `PATIENCE` seconds.
        """
        deadline = time.monotonic() + PATIENCE
        while not (answer := self.evaluate(condition)):
            assert time.monotonic() < deadline, f"waited in vain for {condition}"
            time.sleep(0.05)  # waits for: what the page does in its own time
        return answer

    def screenshot(self, path: Path) -> None:
        """Write the visible part of the page to *path*, as PNG."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot")["data"]))

    def _connect(self) -> ClientConnection:
        port_file = self._directory / "DevToolsActivePort"
        deadline = time.monotonic() + PATIENCE
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert self._process.poll() is None, "the browser ended"
            assert time.monotonic() < deadline, "the browser does not start"
            time.sleep(0.05)  # waits for: the browser's start
        port = int(port_file.read_text().split()[0])
        browser = connect(
            f"ws://127.0.0.1:{port}{port_file.read_text().split()[1]}",
            proxy=None, max_size=None, legacy=True,
        )  # fmt: skip
        self._socket = browser
        targets = self._ask("Target.getTargets")["targetInfos"]
        page = next(each["targetId"] for each in targets if each["type"] == "page")
        browser.close()
        return connect(
            f"ws://127.0.0.1:{port}/devtools/page/{page}", proxy=None, max_size=None, legacy=True
        )

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        assert self._socket is not None
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv(PATIENCE))
            if said.get("id") == number:
                assert "error" not in said, said
                result: dict[str, Any] = said["result"]
                return result
            self._note(said)

    def _note(self, said: dict[str, Any]) -> None:
        match said:
            case {"method": "Log.entryAdded", "params": {"entry": {"level": "error"} as entry}}:
                self.complaints.append(f"{entry['text']} {entry.get('url', '')}")
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                self.complaints.append(str(details))
            case _:
                pass
