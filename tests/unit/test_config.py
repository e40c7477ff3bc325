"""Configuration: the reference file says what the code does, and every error is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from toposcope import config
from toposcope.errors import ConfigError

_REFERENCE = Path(__file__).resolve().parents[2] / "config.yaml"


def test_the_reference_file_holds_every_key_with_its_default() -> None:
    loaded = config.load(_REFERENCE)
    default = config.Config()
    assert loaded.web == default.web
    assert loaded.store == default.store
    assert loaded.probes == default.probes
    assert loaded.runtime == default.runtime
    assert loaded.audit == default.audit
    assert loaded.log == default.log
    document = yaml.safe_load(_REFERENCE.read_text())
    sections = {"web": config.Web, "store": config.Store, "runtime": config.Runtime,
                "audit": config.Audit, "log": config.Log}  # fmt: skip
    for name, kind in sections.items():
        assert set(document[name]) == set(kind.__struct_fields__), name
    assert set(config.ProbeLimits.__struct_fields__) <= set(document["probes"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web: {listen_address: 5}", "c.yaml: web.listen_address: 5 is not allowed, only text"),
        ("web: {listen_addres: x}", "c.yaml: web.listen_addres: is not a known key"),
        ("probes: {budget_ratio: 2}", "c.yaml: probes.budget_ratio: 2 is not allowed, only a number from 0.0001 to 1"),
        ("probes: {budget_ratio: .nan}", "c.yaml: probes.budget_ratio: nan is not allowed, only a number from"),
        ("probes: {nonsense: {}}", "c.yaml: probes.nonsense: is not a known key"),
        ("probes: {cacheline_cas: {interval_s: 0}}", "c.yaml: probes.cacheline_cas.interval_s: 0 is not allowed"),
        ("probes: {cacheline_cas: [1]}", "c.yaml: probes.cacheline_cas: has to hold keys and values, not [1]"),
        ("audit: {interval_s: 1}", "c.yaml: audit.interval_s: 1 is not allowed, only a number from 10 to 86400"),
        ("audit: {processes_max: 0}", "c.yaml: audit.processes_max: 0 is not allowed, only a whole number from 1 to 200"),
        ("log: {level: loud}", "c.yaml: log.level: 'loud' is not allowed, only debug, error, info, warning"),
        ("log: 0", "c.yaml: log: has to hold keys and values, not 0"),
        ("web: {allowed_hosts: [a, 2]}", "c.yaml: web.allowed_hosts[1]: 2 is not allowed, only a list whose items are text"),
        ("web: {listen_address: ':99999'}", "c.yaml: web.listen_address: ':99999' is not HOST:PORT"),
        ("- 1", "c.yaml: has to hold keys and values, not a list"),
        ("web: [", "c.yaml: line 1 column 7 is not valid YAML: "),
        ("web: {}\nweb: {}", "c.yaml: line 2 column 1 is not valid YAML: key 'web' stands twice"),
        ("a: !!python/object:os.system x", "c.yaml: line 1 column 4 is not valid YAML: "),
    ],
)  # fmt: skip
def test_a_bad_file_gives_one_sentence(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(text.encode(), "c.yaml")
    assert caught.value.message.startswith(expected)
    assert "\n" not in caught.value.message
    assert caught.value.exit_status == 2


def test_a_misspelt_key_comes_with_a_hint() -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(b"web: {listen_addres: x}", "c.yaml")
    assert caught.value.hint == "did you mean web.listen_address?"


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_any_bytes_are_a_config_or_one_error(content: bytes) -> None:
    try:
        config.parse(content, "c.yaml")
    except ConfigError as error:
        assert "\n" not in error.message


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    ["web", "store", "probes", "log", "runtime", "level", "listen_address", "cacheline_cas"]
)


@given(st.dictionaries(_KEYS, st.dictionaries(_KEYS, _VALUES, max_size=3) | _VALUES, max_size=3))
def test_any_document_is_a_config_or_one_error(document: dict[str, object]) -> None:
    try:
        config.parse(yaml.safe_dump(document).encode(), "c.yaml")
    except ConfigError as error:
        assert "\n" not in error.message


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "HOME": "/h"}, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/toposcope"),
        ({"HOME": "/h"}, "/h/.local/state/toposcope"),
    ],
)
def test_the_store_lies_where_the_service_manager_says_else_in_the_home(
    environment: dict[str, str], expected: str
) -> None:
    assert config.store_directory(config.Config(), environment) == Path(expected)


def test_addresses_split_into_host_and_port() -> None:
    assert config.split_address("[::1]:9847") == ("::1", 9847)
    assert config.split_address("localhost:0") == ("localhost", 0)
