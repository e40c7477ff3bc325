"""A real daemon as a child process, on a free loopback port, with a store of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import msgspec
import yaml

START_LIMIT_S = 30.0


class DaemonProcess:
    """Started by the constructor, ended by `stop` (SIGTERM) or `kill`; also a context manager."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any] | None = None,
        arguments: tuple[str, ...] = (),
        *,
        program: tuple[str, ...] = ("-m", "toposcope"),
    ) -> None:
        """`program` is what Python runs: the daemon, or something that changes it first."""
        self.config_file = folder / "config.yaml"
        settings: dict[str, Any] = {
            "web": {"listen_address": "127.0.0.1:0"},
            "store": {"directory": str(folder / "store")},
        }
        for section, values in (config or {}).items():
            settings.setdefault(section, {}).update(values)
        self.config_file.write_text(yaml.safe_dump(settings))
        self._log = folder / f"log-{time.monotonic_ns()}"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, "serve", "--config", str(self.config_file), *arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        self.url = ""

    def __enter__(self) -> Self:
        try:
            self.wait_until_served()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()

    def wait_until_served(self) -> None:
        end_s = time.monotonic() + START_LIMIT_S
        while time.monotonic() < end_s:
            if found := re.search(r"serves (https?://\S+)", self.log()):
                self.url = found.group(1)
                return
            assert self.process.poll() is None, self.log()
            time.sleep(0.02)
        raise AssertionError(f"not served after {START_LIMIT_S} s: {self.log()}")

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, bytes]:
        request = urllib.request.Request(self.url + path, headers=headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def json(self, path: str) -> Any:
        status, body = self.get(path)
        assert status == 200, (status, body)
        return msgspec.json.decode(body)

    def wait_for(self, path: str, wanted: Any, limit_s: float = 30.0) -> Any:
        """Ask again and again until `wanted(document)` holds; the document."""
        end_s = time.monotonic() + limit_s
        while True:
            document = self.json(path)
            if wanted(document):
                return document
            assert time.monotonic() < end_s, (
                f"{path} did not come to be as wanted: {str(document)[:2000]}\n{self.log()}"
            )
            time.sleep(0.1)

    def stop(self) -> float:
        """SIGTERM; seconds until the process had ended."""
        begin_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0, self.log()
        return time.monotonic() - begin_s

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)
