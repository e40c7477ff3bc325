"""`toposcope serve` in replay, as a process: what it says, and what it leaves alone."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from generators import replays
from integration.prometheus_server import daemon
from toposcope.matrix import format_csv, parse_csv


def get(address: str, path: str):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        return answer.read()


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("replay")


@pytest.fixture(scope="module")
def address(directory):
    path = directory / "matrix.csv"
    path.write_text(format_csv(replays.matrix(replays.TWO_SOCKETS)))
    with daemon(directory, "replayed", "--matrix", str(path)) as running:
        yield running


@pytest.mark.parametrize(
    "path", ["topology", "probes", "results", "matrix/cacheline_cas", "events", "status"]
)
def test_every_document_says_replay(address, path):
    assert json.loads(get(address, f"/api/v1/{path}"))["mode"] == "replay"


def test_a_matrix_alone_comes_back_as_it_was_given(address):
    text = get(address, "/api/v1/matrix/cacheline_cas?format=csv").decode()
    given = format_csv(replays.matrix(replays.TWO_SOCKETS))
    assert parse_csv(text, name="served") == parse_csv(given, name="given")
    (doubt,) = json.loads(get(address, "/api/v1/topology"))["doubts"]
    assert "only a matrix was given" in doubt


def test_metrics_say_replay_and_one_relation(address):
    text = get(address, "/metrics").decode()
    assert "toposcope_replay 1.0" in text
    assert 'relation="package"' in text
    assert 'relation="cross_package"' not in text  # nothing tells packages


@pytest.mark.parametrize("path", ["/-/reload", "/api/v1/measure"])
def test_nothing_can_be_changed_or_measured(address, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{address}{path}", data=b"{}", timeout=10)
    assert refused.value.code == 403
    refused.value.close()


def test_nothing_is_stored(address, directory):
    get(address, "/metrics")
    assert not (directory / "replayed.store").exists()
