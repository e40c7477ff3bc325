"""The fleet's pure parts, and its client against a server that misbehaves."""

from __future__ import annotations

import base64
import http.server
import json
import shutil
import ssl
import subprocess
import threading
from dataclasses import replace
from typing import ClassVar

import pytest
from click.testing import CliRunner

from generators import replays
from toposcope.advise.facts import Evidence
from toposcope.advise.recommend import recommend
from toposcope.advise.request import Request
from toposcope.cli import root
from toposcope.cli.fleet import parse_time
from toposcope.errors import DaemonError, UsageError
from toposcope.fleet import compare
from toposcope.fleet.client import Access, Client
from toposcope.fleet.hosts import Host, Level, Shape, load_hosts
from toposcope.fleet.rank import machine_of, matrix_of, rank


def host(name, value=100.0, *, model="Epyc", width=0.02, relation="cross_package", fingerprint="f"):
    level = Level(value, value * (1 - width), value * (1 + width))
    return Host(name, "toposcope", model, fingerprint, "live", {relation: level})


def test_an_outlier_needs_distance_and_peers():
    peers = [host(f"h{n}", 100 + n % 3) for n in range(9)]
    assert compare.outliers(peers) == []
    (found,) = compare.outliers([*peers, host("slow", 130)])
    assert (found.instance, found.peers) == ("slow", 10)
    assert found.ratio == pytest.approx(1.29, abs=0.01)
    (fast,) = compare.outliers([*peers, host("fast", 70)])
    assert fast.instance == "fast"
    assert compare.outliers([host("a", 100), host("b", 100), host("c", 200)]) == []
    assert compare.too_few([host("a"), host("b", model="Xeon")]) == ["Epyc", "Xeon"]


def test_wide_peers_make_no_outlier():
    peers = [host(f"h{n}", 100 + 12 * n) for n in range(10)]
    assert compare.outliers([*peers, host("more", 230)]) == []


def test_hosts_without_a_model_are_no_peers_of_each_other():
    assert compare.outliers([host(f"h{n}", 100 if n else 300, model="") for n in range(9)]) == []


def test_changes():
    before = [host("same"), host("slower"), host("gone"), host("moved"), host("noisy", width=0.3)]
    now = [host("same", 101), host("slower", 140), host("new"), host("moved", fingerprint="g"),
           host("noisy", 130, width=0.3)]  # fmt: skip
    found = {(each.instance, each.what): each for each in compare.changes(before, now)}
    assert found.keys() == {
        ("slower", "cross_package"),
        ("gone", "host"),
        ("new", "host"),
        ("moved", "fingerprint"),
    }
    assert found["slower", "cross_package"].ratio == pytest.approx(1.4)
    assert compare.changes(before, now)[0].instance == "slower"


def shape_of(model: replays.Model) -> Shape:
    machine = replays.machine(model)
    l3 = {cpu: cpus[0] for cpus in machine.cache_partition(3) for cpu in cpus}
    core = {cpu: cpus[0] for cpus in machine.cores for cpu in cpus}
    rows = tuple(
        {"cpu": str(cpu), "core": str(core[cpu]), "l3": str(l3[cpu]), "node": str(machine.node_of(cpu)),
         "package": str(machine.package_of(cpu))}
        for cpu in machine.online_cpus
    )  # fmt: skip
    return Shape(rows, {(0, 8): 50.0})


def test_a_machine_is_rebuilt_from_its_metrics():
    machine, original = machine_of(shape_of(replays.BIG_384)), replays.machine(replays.BIG_384)
    for name in ("online_cpus", "packages", "cores"):
        assert getattr(machine, name) == getattr(original, name)
    assert machine.cache_partition(3) == original.cache_partition(3)
    assert [(node.id, node.cpus) for node in machine.numa_nodes] == [
        (n.id, n.cpus) for n in original.numa_nodes
    ]


def test_costs_come_from_domains_and_else_from_relations():
    model = replays.TWO_SOCKETS
    machine = replays.machine(model)
    known = Host("h", "j", "m", "f", "live", {"smt": Level(7, 7, 7), "package": Level(20, 20, 20)})
    matrix = matrix_of(machine, machine.online_cpus, known, shape_of(model))
    assert matrix.value(0, 16) == 7  # siblings
    assert matrix.value(0, 1) == 20
    assert matrix.value(0, 8) == 50  # another L3 domain
    assert matrix_of(machine, machine.online_cpus, known, Shape((), {})).value(0, 8) is None


def test_ranking_puts_the_cheaper_first_and_the_unable_last():
    model = replays.TWO_SOCKETS

    def of(name, cost):
        return Host(name, "j", "m", "f", "live", {"smt": Level(7, 7, 7), "package": Level(cost, cost, cost)})  # fmt: skip

    hosts = [of("dear", 40), of("cheap", 20), of("undescribed", 1), Host("empty", "j", "m", "f", "live", {})]
    shapes = {("j", name): shape_of(model) for name in ("dear", "cheap", "empty")}
    ranked = rank(Request(4, exact=True, smt="avoid"), hosts, shapes)
    assert [each.instance for each in ranked[:2]] == ["cheap", "dear"]
    assert {each.instance for each in ranked[2:]} == {"undescribed", "empty"}
    assert ranked[0].cost_ns == pytest.approx(20)
    assert all(each.reason for each in ranked[2:])
    (crowded,) = rank(Request(4096, exact=True), hosts[:1], shapes)
    assert crowded.reason


@pytest.mark.parametrize("sharing", ["shared", "pipeline", "isolated"])
@pytest.mark.parametrize("smt", ["auto", "avoid", "allow"])
@pytest.mark.parametrize("model", [replays.TWO_SOCKETS, replays.Model("x", l3_domains_per_package=4, cores_per_l3=4)],
                         ids=["one L3 a package", "four"])  # fmt: skip
def test_the_short_search_finds_what_recommend_finds(model, smt, sharing):
    # Where an L3 domain is all of a package, its relation has the wider name.
    costs = {"package": model.latency_ns["l3"]} | model.latency_ns
    levels = {relation: Level(cost, cost, cost) for relation, cost in costs.items()}
    host = Host("h", "j", "m", "f", "live", levels)
    shape = replace(shape_of(model), domain_pairs_ns={})
    machine = machine_of(shape)
    matrix = matrix_of(machine, machine.online_cpus, host, shape)
    for workers in (2, 6, 12):
        request = Request(workers, sharing=sharing, smt=smt, exact=True)
        (ranked,) = rank(request, [host], {("j", "h"): shape})
        advised = recommend(request, Evidence(machine, matrix=matrix)).placements[0]
        assert len(ranked.cpus) == workers
        assert (ranked.cost_ns is None) == (sharing == "isolated")
        if ranked.cost_ns is not None:
            assert ranked.cost_ns == pytest.approx(advised.cost_ns, rel=0.01)


@pytest.mark.parametrize(("text", "expected"), [("7d", 1e9 - 7 * 86_400), ("90m", 1e9 - 5400), ("2001-09-09", 999_993_600),
                                                ("2001-09-09T01:46:40Z", 1e9), ("2001-09-09T03:46:40+02:00", 1e9)])  # fmt: skip
def test_times(text, expected):
    assert parse_time(text, 1e9) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "7", "7y", "٧d", "2001-13-01"])
def test_times_that_are_none(text):
    with pytest.raises(UsageError, match="is no time"):
        parse_time(text, 1e9)


class _Handler(http.server.BaseHTTPRequestHandler):
    answer = (200, b"{}", {})
    seen: ClassVar[dict[str, str]] = {}

    def do_POST(self):
        type(self).seen = dict(self.headers)
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body, headers = self.answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    running = http.server.HTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


def answering(status, body, **headers):
    _Handler.answer = (status, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)


EMPTY = {"status": "success", "data": {"resultType": "vector", "result": []}}


def test_secrets_are_sent_from_files(server, tmp_path):
    answering(200, EMPTY)
    (tmp_path / "password").write_text("p:w\n")
    Client(Access(server, user="u", password_file=tmp_path / "password")).query("up")
    assert _Handler.seen["Authorization"] == "Basic " + base64.b64encode(b"u:p:w").decode()
    Client(Access(server, bearer_token_file=tmp_path / "password")).query("up")
    assert _Handler.seen["Authorization"] == "Bearer p:w"


def test_a_redirect_is_not_followed(server, tmp_path):
    (tmp_path / "token").write_text("secret")
    answering(302, b"", Location="http://127.0.0.1:1/")
    with pytest.raises(DaemonError, match="answered 302"):
        Client(Access(server, bearer_token_file=tmp_path / "token")).query("up")


@pytest.mark.parametrize(("status", "body", "message"), [
    (400, {"status": "error", "error": "parse error"}, "answered 400: parse error"),
    (503, b"<html>", "answered 503: Service Unavailable"),
    (200, b"not json", "doesn't answer as Prometheus does"),
    (200, {"status": "success", "data": {"resultType": "vector", "result": [{"metric": 1}]}}, "doesn't answer as"),
])  # fmt: skip
def test_what_a_server_may_do_wrong(server, status, body, message):
    answering(status, body)
    with pytest.raises(DaemonError, match=message):
        Client(Access(server)).query("up")


def test_a_server_without_hosts_says_so(server):
    answering(200, EMPTY)
    with pytest.raises(DaemonError, match="knows no host"):
        load_hosts(Client(Access(server)))


@pytest.mark.parametrize("access", [
    Access("ftp://x"), Access("127.0.0.1:9090"), Access("http://u:p@x"), Access("http://x", user="u"),
    Access("https://x", ca_file="/nonexistent"),
])  # fmt: skip
def test_access_that_makes_no_sense(access):
    with pytest.raises(UsageError):
        Client(access)


def test_a_server_that_is_not_there():
    with pytest.raises(DaemonError, match="can't be reached"):
        Client(Access("http://127.0.0.1:1", timeout_s=2)).query("up")


def test_the_command_needs_a_server():
    answer = CliRunner().invoke(root, ["fleet", "outliers"])
    assert answer.exit_code == 2
    assert "--prometheus" in answer.output


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(certificate, key) of 127.0.0.1, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    directory = tmp_path_factory.mktemp("tls")
    files = directory / "cert.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=toposcope test",
               "-addext", "subjectAltName=IP:127.0.0.1", "-out", str(files[0]), "-keyout", str(files[1])]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return files


class _QuietServer(http.server.HTTPServer):
    def handle_error(self, request, client_address):
        """A client that distrusts us ends the handshake; that is what is tested."""


@pytest.fixture
def guarded_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.load_verify_locations(certificate[0])
    context.verify_mode = ssl.CERT_REQUIRED
    running = _QuietServer(("127.0.0.1", 0), _Handler)
    running.socket = context.wrap_socket(running.socket, server_side=True)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


def test_tls_with_our_authority_and_a_client_certificate(guarded_server, certificate):
    answering(200, EMPTY)
    cert, key = certificate
    with_client = {"client_certificate_file": cert, "client_key_file": key}
    assert Client(Access(guarded_server, ca_file=cert, **with_client)).query("up") == []
    assert Client(Access(guarded_server, skip_verification=True, **with_client)).query("up") == []


@pytest.mark.parametrize("missing", ["ca_file", "client_certificate_file"])
def test_tls_is_refused_where_one_side_is_not_trusted(guarded_server, certificate, missing):
    cert, key = certificate
    access = {"ca_file": cert, "client_certificate_file": cert, "client_key_file": key}
    access[missing] = None
    with pytest.raises(DaemonError, match="can't be reached"):
        Client(Access(guarded_server, **access, timeout_s=5)).query("up")
