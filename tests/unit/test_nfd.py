"""Labels for Kubernetes: valid, few, with an expiry, and put into place at once."""

from __future__ import annotations

import re

import pytest

from generators import replays
from generators.views import full_view, replayed_view
from toposcope import nfd
from toposcope.errors import ToposcopeError


def labels(text):
    return dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))


def test_labels_say_what_the_machine_is_and_what_sharing_costs():
    found = labels(nfd.feature_text(full_view(), 1_800_000_000.0))
    assert found["toposcope-packages"] == "2"
    assert found["toposcope-l3-domains"] == "2"
    assert found["toposcope-nodes"] == "2"
    assert found["toposcope-placement"] == "stable"
    assert found["toposcope-mode"] == "live"
    assert found["toposcope-cross-package-ns"] == "110"


def test_the_file_expires():
    first = nfd.feature_text(full_view(), 1_800_000_000.0).splitlines()[0]
    assert first == "# +expiry-time=2027-01-15T09:00:00Z"
    assert nfd.LIFETIME_S > 2 * nfd.RENEWAL_INTERVAL_S


def test_names_and_values_are_what_kubernetes_takes():
    for name, value in labels(nfd.feature_text(replayed_view(replays.BIG_384), 0)).items():
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name)
        assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", value)


def test_small_changes_change_no_label():
    one, other = (labels(nfd.feature_text(replayed_view(replays.TWO_SOCKETS, factors={"cross_package": factor}), 0))
                  for factor in (1.0, 1.004))  # fmt: skip
    assert one == other


def test_the_file_appears_whole_and_alone(tmp_path):
    for text in ("toposcope-a=1\n", "toposcope-a=2\n"):
        nfd.write_features(tmp_path, text)
        assert (tmp_path / nfd.FILE_NAME).read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == [nfd.FILE_NAME]
    assert (tmp_path / nfd.FILE_NAME).stat().st_mode & 0o777 == 0o644


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ToposcopeError, match="no-such-folder: the feature file can't be written"):
        nfd.write_features(tmp_path / "no-such-folder", "")
