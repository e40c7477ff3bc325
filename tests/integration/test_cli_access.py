"""The command line at a daemon that wants a password, TLS and a client's certificate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
import yaml

from integration.daemon_process import DaemonProcess
from tls_material import Authority

_PASSWORD = "correct horse battery staple"
_HASH = bcrypt.hashpw(_PASSWORD.encode(), bcrypt.gensalt(4)).decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates, the daemon's web configuration and the file with the password."""
    path = tmp_path_factory.mktemp("access")
    authority = Authority(path)
    authority.issue("server", "127.0.0.1")
    authority.issue("client", "operator.example")
    tls = {"cert_file": "server.pem", "key_file": "server.key", "client_ca_file": "ca.pem",
           "client_auth_type": "RequireAndVerifyClientCert"}  # fmt: skip
    (path / "web.yml").write_text(
        yaml.safe_dump({"tls_server_config": tls, "basic_auth_users": {"alice": _HASH}})
    )
    (path / "password").write_text(_PASSWORD + "\n")
    (path / "wrong").write_text("wrong\n")
    return path


@pytest.fixture(scope="module")
def daemon(folder: Path) -> Iterator[DaemonProcess]:
    """One that measures nothing and lets in only whom it knows."""
    settings = {"probes": {"enabled": False}, "web": {"config_file": "web.yml"}}
    with DaemonProcess(folder, settings) as running:
        yield running


def _status(daemon: DaemonProcess, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "toposcope", "status", "--format", "json", "--url", daemon.url, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def _files(folder: Path, password: str = "password") -> list[str]:
    return [
        "--user", "alice", "--password-file", str(folder / password), "--ca-file", str(folder / "ca.pem"),
        "--cert-file", str(folder / "client.pem"), "--key-file", str(folder / "client.key"),
    ]  # fmt: skip


def test_files_let_the_command_line_in(daemon: DaemonProcess, folder: Path) -> None:
    answer = _status(daemon, *_files(folder))
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["source"] == daemon.url
    assert _PASSWORD not in answer.stdout + answer.stderr


def test_the_environment_does_as_well(daemon: DaemonProcess, folder: Path) -> None:
    answer = _status(
        daemon, TOPOSCOPE_USER="alice", TOPOSCOPE_PASSWORD=_PASSWORD, TOPOSCOPE_CA_FILE=str(folder / "ca.pem"),
        TOPOSCOPE_CERT_FILE=str(folder / "client.pem"), TOPOSCOPE_KEY_FILE=str(folder / "client.key"),
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr


def test_who_is_not_let_in_is_told_what_is_missing(daemon: DaemonProcess, folder: Path) -> None:
    files = _files(folder)
    for options, status, expected in (
        (_files(folder, "wrong"), 1, "name and password are needed (401)"),
        (files[4:], 1, "name and password are needed (401)"),
        (files[:6], 1, "can't be reached"),
        (files[:4], 1, "certificate verify failed"),
        (files[:2], 2, "--user and --password-file go together"),
        (_files(folder, "missing"), 2, "can't be read: No such file or directory"),
        ([*files[:8], "--key-file", str(folder / "server.key")], 2, "the TLS files can't be used"),
    ):
        answer = _status(daemon, *options)
        assert (answer.returncode, expected in answer.stderr) == (status, True), (options, answer.stderr)
        assert "Traceback" not in answer.stderr
        assert _PASSWORD not in answer.stdout + answer.stderr


def test_a_password_in_the_address_is_refused(daemon: DaemonProcess) -> None:
    answer = _status(daemon, "--url", daemon.url.replace("://", "://alice:secret@"))
    assert answer.returncode == 2
    assert "doesn't belong into the address" in answer.stderr
    assert "secret" not in answer.stderr


def test_a_proxy_is_not_asked_about_this_host(daemon: DaemonProcess, folder: Path) -> None:
    answer = _status(
        daemon, *_files(folder), HTTPS_PROXY="http://127.0.0.1:1", https_proxy="http://127.0.0.1:1"
    )
    assert answer.returncode == 0, answer.stderr
