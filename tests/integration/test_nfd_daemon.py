"""The feature file that the daemon keeps for node-feature-discovery."""

from __future__ import annotations

import datetime
from pathlib import Path

from integration.prometheus_server import daemon, wait_until
from toposcope import nfd


def test_the_daemon_keeps_a_feature_file_that_expires(tmp_path: Path) -> None:
    features = tmp_path / "features.d"
    features.mkdir()
    with daemon(tmp_path, "labelled", "--nfd-dir", str(features)):
        wait_until(lambda: list(features.iterdir()), 30, "feature file")
        (path,) = features.iterdir()
        head, *labels = path.read_text().splitlines()
    assert path.name == nfd.FILE_NAME
    expiry = datetime.datetime.fromisoformat(head.removeprefix("# +expiry-time="))
    left = expiry - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(0) < left <= datetime.timedelta(seconds=nfd.LIFETIME_S)
    assert "toposcope-mode=live" in labels
    assert any(label.startswith("toposcope-fingerprint=") for label in labels)
