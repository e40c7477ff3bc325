"""What the daemon and the command line give away, held against what docs/security.md lists.

A run with marked environment, folders and requests; then everything that came out is searched for the marks and
for what identifies this host.
"""

from __future__ import annotations

import base64
import http.client
import os
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from integration.daemon_process import DaemonProcess
from tls_material import Authority

_SECRET = "correct-horse-battery-staple"
_PATHS = (
    "/", "/metrics", "/-/healthy", "/-/ready", "/openapi.json", "/api/v1/topology", "/api/v1/probes", "/api/v1/results",
    "/api/v1/matrix/cacheline_cas", "/api/v1/matrix/cacheline_cas?format=csv", "/api/v1/report", "/api/v1/audit",
    "/api/v1/status", "/api/v1/events", "/api/v1/recommend?workers=2", "/api/v1/results?at=0",
    "/page/live", "/page/measured", "/page/topology.svg", "/page/heatmap/cacheline_cas",
)  # fmt: skip
# Refusals of every kind: not there, bad query, wrong method, not enabled, foreign host, too large, no HTTP.
_REFUSED = (
    ("GET", f"/{_SECRET}", {}), ("GET", "/../../etc/passwd", {}), ("GET", f"/api/v1/matrix/{_SECRET}", {}),
    ("GET", "/api/v1/results/nothing", {}), ("GET", f"/api/v1/events?limit={_SECRET}", {}), ("PUT", "/metrics", {}),
    ("POST", "/-/reload", {}), ("POST", "/api/v1/measure", {}), ("GET", "/metrics", {"Host": f"{_SECRET}.example"}),
    ("POST", "/api/v1/recommend", {"Content-Length": "99999999"}), ("GET", "/api/v1/recommend?workers=x", {}),
)  # fmt: skip


def _identifying() -> list[str]:
    """What tells this host from others, as far as it can be read here and is long enough to be searched for."""
    found = [socket.gethostname(), os.environ.get("USER", ""), str(Path.home())]
    files = ["/etc/machine-id", "/proc/sys/kernel/random/boot_id", "/sys/class/dmi/id/product_uuid",
             "/sys/class/dmi/id/product_serial", "/sys/class/dmi/id/board_serial"]  # fmt: skip
    for name in [*files, *map(str, Path("/sys/class/net").glob("*/address"))]:
        try:
            found.append(Path(name).read_text().strip())
        except OSError:
            continue  # not there, or not for us
    found += re.findall(r"(?:root|ip|host|token|password)=(\S+)", Path("/proc/cmdline").read_text())
    return [each for each in found if len(each) > 5 and set(each) > set("0:-")]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DaemonProcess]:
    """A daemon that logs all it can, with secrets in its environment and a telling folder."""
    for name in ("AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "TOPOSCOPE_PASSWORD"):
        monkeypatch.setenv(name, _SECRET)
    folder = tmp_path / "folder-of-customer-x"
    folder.mkdir()
    with DaemonProcess(folder, {"log": {"level": "debug"}, "probes": {"budget_ratio": 0.5}}) as daemon:
        daemon.wait_for("/api/v1/results", lambda document: len(document["results"]) > 3)
        yield daemon


def _raw(daemon: DaemonProcess, method: str, path: str, headers: dict[str, str]) -> bytes:
    address = urllib.parse.urlsplit(daemon.url)
    assert address.hostname
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status >= 400, (method, path, answer.status)
    text = "".join(f"{name}: {value}\n" for name, value in answer.getheaders()).encode() + answer.read()
    connection.close()
    return text


def _toposcope(*words: str) -> bytes:
    done = subprocess.run([sys.executable, "-m", "toposcope", *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _without_what_is_listed(text: str) -> str:
    """docs/security.md lists the paths of the interpreters that are measured; in JSON a slash may be escaped."""
    return text.replace(sys.executable, "").replace(os.path.realpath(sys.executable), "")


def _assert_gives_nothing_away(where: str, content: bytes, marks: list[str]) -> None:
    text = _without_what_is_listed(content.decode("utf-8", "replace"))
    for mark in marks:
        at = text.find(mark)
        assert at < 0, f"{where} gives {mark!r} away: …{text[max(0, at - 150) : at + 150]}…"


def test_answers_refusals_exports_and_captures_give_away_what_is_listed_only(
    run: DaemonProcess, tmp_path: Path
) -> None:
    project = str(Path(__file__).resolve().parents[2])
    marks = [_SECRET, "folder-of-customer-x", project, *_identifying()]
    result = urllib.parse.quote(run.json("/api/v1/results")["results"][0]["id"])
    of_a_result = (f"/api/v1/results/{result}", f"/api/v1/history/{result}", f"/page/history.svg?id={result}")
    for path in (*_PATHS, *of_a_result):
        status, body = run.get(path)
        assert status == 200, path
        _assert_gives_nothing_away(path, body, marks)
    # A refusal may repeat what the client itself sent, and nothing else.
    for method, path, headers in _REFUSED:
        _assert_gives_nothing_away(path, _raw(run, method, path, headers), marks[1:])
    _assert_gives_nothing_away("export", _toposcope("export", "--url", run.url), marks)
    _toposcope("capture", str(tmp_path / "captured"))
    for path in sorted((tmp_path / "captured").rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        _assert_gives_nothing_away(str(path.name), content, marks)


def test_a_log_without_errors_names_no_folder_and_no_secret(run: DaemonProcess) -> None:
    for method, path, headers in _REFUSED:
        _raw(run, method, path, headers)
    run.stop()
    _assert_gives_nothing_away(
        "the log", run.log().encode(), [_SECRET, "folder-of-customer-x", *_identifying()]
    )


def test_a_web_configuration_that_is_bad_gives_none_of_its_values_away(tmp_path: Path) -> None:
    """Neither to who checks it, nor to the log or an event: mistakes wherever a secret may stand (no key is one)."""
    digest = bcrypt.hashpw(_SECRET.encode(), bcrypt.gensalt(6)).decode()
    file = tmp_path / "web.yml"
    bad = (f"basic_auth_users: [{digest}]\n", f"basic_auth_users:\n  alice:{digest}\n",
           f"tls_server_config: {{cert: {_SECRET}}}\n", f"basic_auth_users: {{alice: {_SECRET}}}\n")  # fmt: skip
    said = {}
    main = tmp_path / "main.yaml"
    main.write_text("web: {config_file: web.yml}\n")
    for text in bad:
        file.write_text(text)
        done = subprocess.run([sys.executable, "-m", "toposcope", "check-config", str(main)],
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode != 0, (text, done.stdout)
        assert "web.yml" in done.stdout + done.stderr
        said[text] = done.stdout + done.stderr
    file.write_text(f"basic_auth_users: {{alice: '{digest}'}}\n")
    credentials = base64.b64encode(f"alice:{_SECRET}".encode()).decode()
    settings = {"probes": {"enabled": False}, "web": {"config_file": "web.yml"}, "log": {"level": "debug"}}
    with DaemonProcess(tmp_path, settings) as daemon:
        file.write_text(bad[-1])
        end_s = time.monotonic() + 30
        while "web.yml" not in daemon.log():
            assert time.monotonic() < end_s, daemon.log()
            time.sleep(0.2)
        status, events = daemon.get("/api/v1/events", {"Authorization": f"Basic {credentials}"})
        assert status == 200, "the old settings stay in force"
        said |= {"an event": events.decode(), "a refusal": daemon.get("/api/v1/events")[1].decode()}
        daemon.stop()
    for where, text in (said | {"the log": daemon.log()}).items():
        for mark in (_SECRET, digest, digest[-20:]):
            assert mark not in text, (where, text)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[DaemonProcess, ssl.SSLContext, str]]:
    """A daemon with a key, a password and the audit, beside a busy process with a secret among its arguments."""
    folder = tmp_path / "folder-of-customer-x"
    folder.mkdir()
    authority = Authority(folder)
    authority.issue("server", "127.0.0.1")
    digest = bcrypt.hashpw(_SECRET.encode(), bcrypt.gensalt(6)).decode()
    (folder / "web.yml").write_text(
        f"tls_server_config: {{cert_file: server.pem, key_file: server.key}}\nbasic_auth_users: {{alice: '{digest}'}}\n"
    )
    settings = {
        "web": {"config_file": "web.yml"},
        "audit": {"enabled": True, "interval_s": 10},
        "probes": {"budget_ratio": 0.5},
        "log": {"level": "debug"},
    }
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass", f"--token={_SECRET}"])
    try:
        with DaemonProcess(folder, settings) as daemon:
            yield daemon, ssl.create_default_context(cafile=str(authority.cert)), digest
    finally:
        busy.kill()
        busy.wait()


def _by_tls(daemon: DaemonProcess, context: ssl.SSLContext, path: str, password: str) -> tuple[int, bytes]:
    address = urllib.parse.urlsplit(daemon.url)
    assert address.hostname
    connection = http.client.HTTPSConnection(address.hostname, address.port, timeout=20, context=context)
    credentials = base64.b64encode(f"alice:{password}".encode()).decode()
    connection.request("GET", path, headers={"Authorization": f"Basic {credentials}"} if password else {})
    answer = connection.getresponse()
    text = "".join(f"{name}: {value}\n" for name, value in answer.getheaders()).encode() + answer.read()
    connection.close()
    return answer.status, text


def _await_audit_and_results(daemon: DaemonProcess, context: ssl.SSLContext) -> None:
    end_s = time.monotonic() + 60
    for path, awaited in (("/api/v1/audit", b'"processes_seen"'), ("/api/v1/results", b'"cacheline_cas')):
        while awaited not in _by_tls(daemon, context, path, _SECRET)[1]:
            assert time.monotonic() < end_s, daemon.log()
            time.sleep(0.5)


def test_a_key_a_password_and_processes_that_are_audited_stay_where_they_are(
    guarded: tuple[DaemonProcess, ssl.SSLContext, str],
) -> None:
    daemon, context, digest = guarded
    _await_audit_and_results(daemon, context)
    marks = [_SECRET, digest, digest[-20:], "folder-of-customer-x", "server.key", "PRIVATE KEY", "alice",
             *_identifying()]  # fmt: skip
    for path in _PATHS:
        status, text = _by_tls(daemon, context, path, _SECRET)
        assert status == 200, path
        _assert_gives_nothing_away(path, text, marks)
        for password in ("", "wrong"):
            status, text = _by_tls(daemon, context, path, password)
            assert status == 401, path
            _assert_gives_nothing_away(f"a refusal of {path}", text, marks)
    address = urllib.parse.urlsplit(daemon.url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as plain:
        plain.sendall(f"GET /{_SECRET} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        _assert_gives_nothing_away("plain text on the port of TLS", plain.recv(65_536), marks)
    daemon.stop()
    _assert_gives_nothing_away("the log", daemon.log().encode(), marks)
