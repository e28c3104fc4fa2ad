"""A page in headless Chromium, over the DevTools protocol: what it logs and asks the network for, sizes, pictures, print."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Any

from websockets.sync.client import ClientConnection, connect

_SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)
_PATIENCE_SECONDS = 90


def find_chromium() -> str | None:
    return which("chromium") or which("chromium-browser")


@dataclass
class Page:
    """One tab. `problems`: exceptions, console messages and log entries; `requests`: every URL that was asked for."""

    connection: ClientConnection
    session: str
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _number: int = 0

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self.connection.send(json.dumps({"id": self._number, "sessionId": self.session, "method": method, "params": params}))
        while True:
            message = json.loads(self.connection.recv(timeout=_PATIENCE_SECONDS))
            if message.get("id") == self._number:
                assert "error" not in message, message["error"]
                result: dict[str, Any] = message["result"]
                return result
            self._note(message.get("method"), message.get("params", {}))

    def _note(self, event: str | None, params: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.problems.append(params["exceptionDetails"].get("exception", {}).get("description") or str(params["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled":
            self.problems.append(" ".join(str(part.get("value", part)) for part in params["args"]))
        elif event == "Log.entryAdded":
            self.problems.append(params["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def evaluate(self, expression: str) -> Any:
        """The value of an expression; a promise is awaited."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def open(self, path: Path, until: str) -> None:
        """Load a file and wait until an expression holds."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=path.absolute().as_uri())
        self.wait(until)

    def wait(self, until: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self.evaluate(until):
            assert time.monotonic() < deadline, f"never true: {until}; {self.problems}"
            time.sleep(0.05)

    def resize(self, width: int, height: int = 800, *, mobile: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def prefer(self, scheme: str) -> None:
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path: Path) -> None:
        """The whole page, as long as it is."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(found["data"]))

    def pdf(self, path: Path) -> None:
        found = self.call("Page.printToPDF", preferCSSPageSize=True)
        path.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def chromium(program: str, profile: Path) -> Iterator[Page]:
    """A tab of a Chromium of its own, with an empty profile; gone afterwards."""
    log = profile.with_name(f"{profile.name}.log")
    with log.open("wb") as stderr:
        process = subprocess.Popen([program, *_SWITCHES, f"--user-data-dir={profile}", "about:blank"], stderr=stderr)
    try:
        port, address = _endpoint(profile / "DevToolsActivePort", process, log)
        with connect(f"ws://127.0.0.1:{port}{address}", max_size=None, open_timeout=_PATIENCE_SECONDS, proxy=None) as connection:
            yield _tab(connection)
    finally:
        process.terminate()
        process.wait(_PATIENCE_SECONDS)


def _endpoint(file: Path, process: subprocess.Popen[bytes], log: Path) -> tuple[str, str]:
    """Chromium writes its port and address into the profile once it listens."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not file.exists() or file.read_text().count("\n") < 1:
        assert process.poll() is None, f"chromium ended: {log.read_text(errors='replace')[-500:]}"
        assert time.monotonic() < deadline, "chromium does not listen"
        time.sleep(0.05)
    port, address = file.read_text().splitlines()[:2]
    return port, address


def _tab(connection: ClientConnection) -> Page:
    def call(number: int, method: str, **params: Any) -> dict[str, Any]:
        connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(connection.recv(timeout=_PATIENCE_SECONDS))
            if message.get("id") == number:
                result: dict[str, Any] = message["result"]
                return result

    target = call(-1, "Target.createTarget", url="about:blank")["targetId"]
    return Page(connection, call(-2, "Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
