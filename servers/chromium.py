"""A Chromium of our own: opened on pages, asked what is on them, and looked at.

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
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

NAMES = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]
PATIENCE = 60.0
"""Seconds to wait for the browser or a page: the machine may be busy."""
KEYS = {
    "Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, ""), " ": (32, " "), "End": (35, ""),
    "Home": (36, ""), "ArrowUp": (38, ""), "ArrowDown": (40, ""), "Delete": (46, ""),
}  # fmt: skip
"""Keys that `Page.press` presses: the code of each in Windows, and the text that it writes."""


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


class Browser:
    """One browser, which opens pages; a context manager.

    Each `Profile` has storage of its own, and the tabs of one share it, as they do for a person.
    """

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="tocsin-chromium-"))
        self._process = subprocess.Popen(
            [
                *(find_browser(), "--headless", "--no-sandbox", "--disable-gpu"),
                *("--remote-debugging-port=0", "--hide-scrollbars", "--remote-allow-origins=*"),
                *(f"--user-data-dir={self._directory}", "--enable-precise-memory-info"),
                *("--disable-background-timer-throttling", "about:blank"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._tools: Tools | None = None
        try:
            self._address, path = self._wait_for_port()
            self._tools = Tools(self._address + path)
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
        if self._tools is not None:
            self._tools.close()
        # The whole group: Debian's program is a script, which would end without the browser.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)
        shutil.rmtree(self._directory, ignore_errors=True)

    def new_profile(self) -> Profile:
        """A profile with nothing in its storage."""
        assert self._tools is not None
        made = self._tools.ask("Target.createBrowserContext")
        return Profile(self._tools, self._address, made["browserContextId"])

    def _wait_for_port(self) -> tuple[str, str]:
        port_file = self._directory / "DevToolsActivePort"
        deadline = time.monotonic() + PATIENCE
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert self._process.poll() is None, "the browser ended"
            assert time.monotonic() < deadline, "the browser does not start"
            time.sleep(0.05)  # waits for: the browser's start
        port, path = port_file.read_text().split()[:2]
        return f"ws://127.0.0.1:{port}", path


class Profile:
    """A person's storage, and the tabs that share it; a context manager that closes them all."""

    def __init__(self, tools: Tools, address: str, name: str) -> None:
        self._tools = tools
        self._address = address
        self._name = name
        self.pages: list[Page] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def open(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        """A tab without a page in it."""
        options = {"url": "about:blank", "browserContextId": self._name}
        target = self._tools.ask("Target.createTarget", **options)["targetId"]
        tools = Tools(f"{self._address}/devtools/page/{target}")
        self.pages.append(Page(tools, width=width, height=height, dark=dark))
        return self.pages[-1]

    def close(self) -> None:
        """Close all tabs, and forget what they have stored."""
        for each in self.pages:
            each.tools.close()
        self._tools.ask("Target.disposeBrowserContext", browserContextId=self._name)


class Tools:
    """A connection to the developer tools of the browser, or of a page of it."""

    def __init__(self, url: str) -> None:
        self._socket: ClientConnection = connect(url, proxy=None, max_size=None, legacy=True)
        self._numbers = itertools.count(1)
        self.told: Callable[[str, Any], None] = lambda event, parameters: None
        """Called with each event that comes while an answer is waited for."""

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to *method*. Raises `AssertionError` if the browser refuses it."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv(PATIENCE))
            if said.get("id") == number:
                assert "error" not in said, (method, said)
                result: dict[str, Any] = said["result"]
                return result
            self.told(said.get("method", ""), said.get("params", {}))

    def close(self) -> None:
        """Close the connection; the page stays."""
        self._socket.close()


class Page:
    """A tab."""

    def __init__(self, tools: Tools, *, width: int, height: int, dark: bool) -> None:
        self.tools = tools
        self.complaints: list[str] = []
        """Errors that the page has logged, among them refusals of its content security policy."""
        self.frames_sent: list[dict[str, Any]] = []
        """What the page has sent over its WebSockets."""
        tools.told = self._note
        for domain in ("Page", "Runtime", "Log", "Network"):
            tools.ask(f"{domain}.enable")
        self.look(width=width, height=height, dark=dark)

    def look(self, *, width: int, height: int, dark: bool) -> None:
        """Have a screen of *width* and *height* CSS pixels, in a light or a dark scheme."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tools.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.tools.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def visit(self, url: str) -> None:
        """Open *url*, and wait until the page is loaded. Raises as `wait_for`."""
        before = self.evaluate("performance.timeOrigin")
        opened = self.tools.ask("Page.navigate", url=url)
        anew = f"performance.timeOrigin !== {before} && " if "loaderId" in opened else ""
        self.wait_for(f"{anew}document.readyState === 'complete'")

    def close(self) -> None:
        """Close the tab, as a person does."""
        self.tools.ask("Page.close")

    def evaluate(self, script: str) -> Any:
        """The value of *script*; of a promise, the value that it resolves to.

        Raises `AssertionError` if the script throws.
        """
        answer = self.tools.ask(
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

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a *key*, one of `KEYS`, as a person does: the browser acts on it by itself."""
        code, text = KEYS[key]
        name = "Space" if key == " " else key
        pressed = {"key": key, "code": name, "windowsVirtualKeyCode": code, "modifiers": 8 * shift}
        written = {"text": text} if text else {}
        self.tools.ask("Input.dispatchKeyEvent", type="keyDown", **pressed, **written)
        self.tools.ask("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def write(self, text: str) -> None:
        """Write *text* into what has the focus."""
        self.tools.ask("Input.insertText", text=text)

    def screenshot(self, path: Path) -> None:
        """Write the visible part of the page to *path*, as PNG."""
        path.write_bytes(base64.b64decode(self.tools.ask("Page.captureScreenshot")["data"]))

    def _note(self, event: str, said: Any) -> None:
        match event, said:
            case "Log.entryAdded", {"entry": {"level": "error"} as entry}:
                self.complaints.append(f"{entry['text']} {entry.get('url', '')}")
            case "Runtime.exceptionThrown", {"exceptionDetails": details}:
                self.complaints.append(str(details))
            case "Network.webSocketFrameSent", {"response": {"opcode": 1, "payloadData": text}}:
                self.frames_sent.append(json.loads(text))
            case _:
                pass


class Chromium(Page):
    """One browser with one page; a context manager."""

    def __init__(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        self._browser = Browser()
        try:
            page = self._browser.new_profile().open(width=width, height=height, dark=dark)
        except BaseException:
            self._browser.close()
            raise
        super().__init__(page.tools, width=width, height=height, dark=dark)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill the browser with all of its processes, and remove its directory."""
        self.tools.close()
        self._browser.close()
