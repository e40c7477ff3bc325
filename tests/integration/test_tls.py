"""TLS, client certificates and passwords, asked of a real daemon by a real client."""

from __future__ import annotations

import base64
import http.client
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from integration.daemon_process import DaemonProcess
from tls_material import Authority, Pair

_PASSWORD = "correct horse battery staple"
_HASH = bcrypt.hashpw(_PASSWORD.encode(), bcrypt.gensalt(8)).decode()
_HEADER = {"Authorization": "Basic " + base64.b64encode(f"alice:{_PASSWORD}".encode()).decode()}


@contextmanager
def _daemon(folder: Path, web: dict[str, Any]) -> Iterator[DaemonProcess]:
    (folder / "web.yml").write_text(yaml.safe_dump(web))
    settings = {"probes": {"enabled": False}, "web": {"config_file": "web.yml", "max_connections": 20}}
    with DaemonProcess(folder, settings) as daemon:
        yield daemon


def _trusting(authority: Authority, pair: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.cert))
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    return context


def _get(
    daemon: DaemonProcess,
    tls: ssl.SSLContext | None,
    headers: dict[str, str] | None = None,
    path: str = "/metrics",
) -> tuple[int, bytes, dict[str, str]]:
    address = urllib.parse.urlsplit(daemon.url)
    assert address.hostname
    if tls is None:
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    else:
        connection = http.client.HTTPSConnection(address.hostname, address.port, timeout=10, context=tls)
    with closing(connection):
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}


def _is_refused(daemon: DaemonProcess, tls: ssl.SSLContext | None) -> bool:
    """TLS 1.3 tells a client only at its first read that its certificate was not taken."""
    try:
        _get(daemon, tls)
    except (OSError, http.client.HTTPException):
        return True
    return False


def test_tls_with_a_password_and_headers(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("server", "127.0.0.1")
    web = {
        "tls_server_config": {"cert_file": "server.pem", "key_file": "server.key"},
        "http_server_config": {
            "headers": {"Strict-Transport-Security": "max-age=60", "X-Frame-Options": "deny"}
        },
        "basic_auth_users": {"alice": _HASH},
    }
    with _daemon(tmp_path, web) as daemon:
        assert daemon.url.startswith("https://")
        status, body, headers = _get(daemon, _trusting(authority), _HEADER)
        assert (status, b"toposcope_build_info" in body or b"toposcope_" in body) == (200, True)
        assert headers["strict-transport-security"] == "max-age=60"
        assert headers["x-frame-options"] == "deny"
        for wrong in ({}, {"Authorization": "Basic YWxpY2U6eA=="}, {"Authorization": "Bearer x"}):
            for path in ("/metrics", "/", "/-/healthy", "/api/v1/topology", "/nothing"):
                status, body, headers = _get(daemon, _trusting(authority), wrong, path)
                assert (status, headers["www-authenticate"]) == (401, "Basic")
                assert b"toposcope_" not in body
        assert _is_refused(daemon, ssl.create_default_context())  # a client that knows no such authority
        assert _is_refused(daemon, None)  # plain HTTP at the TLS port
        assert _HASH not in daemon.log()
        assert _PASSWORD not in daemon.log()
        assert "Traceback" not in daemon.log()
        assert daemon.stop() < 2.0


def test_only_clients_with_a_signed_certificate_of_a_listed_name_are_let_in(tmp_path: Path) -> None:
    authority, foreign = Authority(tmp_path), Authority(tmp_path, "foreign")
    authority.issue("server", "127.0.0.1")
    listed, unlisted = (
        authority.issue("scraper", "scraper.example"),
        authority.issue("other", "other.example"),
    )
    tls = {
        "cert_file": "server.pem", "key_file": "server.key", "client_ca_file": "ca.pem",
        "client_auth_type": "RequireAndVerifyClientCert", "client_allowed_sans": ["scraper.example"],
    }  # fmt: skip
    with _daemon(tmp_path, {"tls_server_config": tls}) as daemon:
        assert _get(daemon, _trusting(authority, listed))[0] == 200
        assert _is_refused(daemon, _trusting(authority))
        assert _is_refused(daemon, _trusting(authority, unlisted))
        assert _is_refused(daemon, _trusting(authority, foreign.issue("forged", "scraper.example")))
        assert _get(daemon, _trusting(authority, listed))[0] == 200
        assert "Traceback" not in daemon.log()


def test_a_password_alone_protects_plain_http(tmp_path: Path) -> None:
    with _daemon(tmp_path, {"basic_auth_users": {"alice": _HASH}}) as daemon:
        assert daemon.url.startswith("http://")
        assert _get(daemon, None)[0] == 401
        assert _get(daemon, None, _HEADER)[0] == 200
        assert _get(daemon, None, _HEADER | {"Host": "attacker.example"})[0] == 421


def test_old_versions_of_tls_are_not_spoken(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("server", "127.0.0.1")
    web = {"tls_server_config": {"cert_file": "server.pem", "key_file": "server.key", "min_version": "TLS13"}}
    with _daemon(tmp_path, web) as daemon:
        old = _trusting(authority)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert _is_refused(daemon, old)
        assert _get(daemon, _trusting(authority))[0] == 200


def test_a_renewed_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("server", "127.0.0.1")
    with _daemon(
        tmp_path, {"tls_server_config": {"cert_file": "server.pem", "key_file": "server.key"}}
    ) as daemon:
        address = urllib.parse.urlsplit(daemon.url)
        assert address.hostname
        assert address.port

        def served() -> str:
            return ssl.get_server_certificate((str(address.hostname), int(address.port or 0)))

        first = served()
        authority.issue("server", "127.0.0.1")
        end_s = time.monotonic() + 30
        while served() == first:
            assert time.monotonic() < end_s, daemon.log()
            time.sleep(0.5)
        assert _get(daemon, _trusting(authority))[0] == 200


def test_handshakes_that_never_end_delay_nobody_and_are_closed(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("server", "127.0.0.1")
    with _daemon(
        tmp_path, {"tls_server_config": {"cert_file": "server.pem", "key_file": "server.key"}}
    ) as daemon:
        address = urllib.parse.urlsplit(daemon.url)
        silent = [socket.create_connection((address.hostname, address.port)) for _ in range(100)]
        for each in silent[::2]:
            each.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        for _ in range(5):
            begin_s = time.monotonic()
            assert _get(daemon, _trusting(authority))[0] == 200
            assert time.monotonic() - begin_s < 2.0
        silent[0].settimeout(20)
        assert silent[0].recv(1) == b""
        end_s = time.monotonic() + 10
        while len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir())) > 40:
            assert time.monotonic() < end_s
            time.sleep(0.2)
        for each in silent:
            each.close()


def test_a_bad_web_configuration_stops_the_start_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text("basic_auth_users: {alice: plain-text}")
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump(
            {
                "web": {"listen_address": "127.0.0.1:0", "config_file": "web.yml"},
                "store": {"directory": str(tmp_path / "store")},
            }
        )
    )
    for command in (("serve", "--config"), ("check-config",)):
        answer = subprocess.run([sys.executable, "-m", "toposcope", *command, str(tmp_path / "config.yaml")],
                                capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        assert answer.returncode == 2, answer.stderr
        assert "basic_auth_users.alice: is not a bcrypt hash" in answer.stderr
        assert "plain-text" not in answer.stderr
        assert "Traceback" not in answer.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_the_file_that_the_daemon_serves_with_is_one_that_promtool_takes(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("server", "127.0.0.1")
    web = {
        "tls_server_config": {"cert_file": "server.pem", "key_file": "server.key", "client_ca_file": "ca.pem",
                              "client_auth_type": "RequireAndVerifyClientCert"},
        "basic_auth_users": {"alice": _HASH},
    }  # fmt: skip
    client = authority.issue("client", "client.example")
    with _daemon(tmp_path, web) as daemon:
        subprocess.run(
            ["promtool", "check", "web-config", str(tmp_path / "web.yml")], check=True, capture_output=True
        )
        assert _get(daemon, _trusting(authority, client), _HEADER)[0] == 200
        assert _get(daemon, _trusting(authority, client))[0] == 401
