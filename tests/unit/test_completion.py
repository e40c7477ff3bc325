"""Shell completion works although commands are imported only when they are called."""

from __future__ import annotations

import sys

import pytest

from toposcope import cli


def _complete(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[tuple[str, str]]:
    """What the shell is offered for the last of the words, as (kind, value)."""
    monkeypatch.setattr(sys, "argv", ["toposcope"])
    monkeypatch.setattr(sys.modules["__main__"], "__package__", None)  # as started by its name
    monkeypatch.setenv("_TOPOSCOPE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    offers = (line.partition(",") for line in capsys.readouterr().out.splitlines())
    return [(kind, value) for kind, _, value in offers if kind]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("toposcope me", ["measure"]),
        ("toposcope check", ["check-config"]),
        ("toposcope fleet ra", ["rank"]),
        ("toposcope measure --vi", ["--visits"]),
        ("toposcope topology --format s", ["svg"]),
        ("toposcope nosuch", []),
    ],
)
def test_commands_options_and_values_are_completed(
    words: str, expected: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [value for _, value in _complete(words, monkeypatch, capsys)] == expected


def test_every_command_is_offered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offered = {value for _, value in _complete("toposcope ", monkeypatch, capsys)}
    assert {"serve", "topology", "measure", "recommend", "doctor"} <= offered
    assert not [name for name in offered if name.startswith("_")]
