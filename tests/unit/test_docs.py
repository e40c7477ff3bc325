"""The documents: links lead somewhere, commands exist, tables are fresh, no machine of ours is named."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import toposcope_probes
from toposcope.cli import root
from toposcope_probes import document

_PROJECT = Path(__file__).resolve().parents[2]
_PAGES = sorted(
    [*_PROJECT.glob("*.md"), *(_PROJECT / "docs").rglob("*.md"), *_PROJECT.glob("[a-z]*/README.md")]
)
_PROBES_PAGE = (_PROJECT / "docs" / "probes.md").read_text()
# Homes of people, and folders of the machines that toposcope was written on.
_MACHINE_PATH = re.compile(r"(?<![\w.}~-])/(?:work/(?:main|shared|\.\w)|root/|home/(?!user\b)\w|tmp/bash)")
_BYTES_MAX = 1 << 20


def _name(path: Path) -> str:
    return str(path.relative_to(_PROJECT))


# -- Links ---------------------------------------------------------------------------------------------


def _links(text: str) -> Iterator[str]:
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(<?([^)\s>]+)", prose):
        if not re.match(r"[a-z]+:", target):
            yield target


def _anchors(text: str) -> set[str]:
    """The anchors that headings have on GitHub: lower case, punctuation gone, blanks as hyphens."""
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _broken(page: Path) -> list[str]:
    broken = []
    for target in _links(page.read_text()):
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and anchor not in _anchors(file.read_text())):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", _PAGES, ids=_name)
def test_relative_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    assert _broken(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A head, ing\n[a](page.md) [b](gone.md) [c](#a-head-ing) [d](page.md#no) <x> [e](https://x)"
    )
    assert _broken(page) == ["gone.md", "page.md#no"]


# -- Commands ------------------------------------------------------------------------------------------


def _commands(text: str) -> Iterator[str]:
    """What code blocks tell people to type that begins with toposcope, without prompt, pipe and comment."""
    for block in re.findall(r"^```(?:console|sh|bash|shell)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            typed = line.strip().removeprefix("$ ").split(" | ")[0]
            if re.match(r"(?:\S*/)?toposcope ", typed):
                yield typed


def _complaint(typed: str) -> str:
    """What click has to say against a command line; nothing is run, and no file is looked for."""
    words = shlex.split(typed, comments=True)[1:]
    command: click.Command = root
    context = click.Context(root, info_name="toposcope")
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0]) if words else None
        if found is None:
            return f"no command: {words[:1]}"
        command, words = found, words[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    try:
        values, rest, _ = command.make_parser(context).parse_args(words)
        for parameter in command.params:
            value = values.get(parameter.name or "")
            if isinstance(parameter.type, click.Path | click.File) or not isinstance(value, str):
                continue
            parameter.type_cast_value(context, value)
    except click.UsageError as error:
        return error.format_message()
    given = {name for name, value in values.items() if isinstance(value, str | tuple) and value}
    missing = [each.name for each in command.params if each.required and each.name not in given]
    return f"missing {missing}, superfluous {rest}" if missing or rest else ""


@pytest.mark.parametrize("page", _PAGES, ids=_name)
def test_commands_in_code_blocks_exist_with_their_options(page: Path) -> None:
    assert {typed: why for typed in _commands(page.read_text()) if (why := _complaint(typed))} == {}


def test_readme_names_commands_that_can_be_checked() -> None:
    assert len(list(_commands((_PROJECT / "README.md").read_text()))) >= 7


@pytest.mark.parametrize(
    "typed",
    [
        "toposcope mesure", "toposcope measure --vists 3", "toposcope topology --format xml", "toposcope infer",
        "toposcope fleet", "toposcope recommend", "toposcope status now", "toposcope measure --visits many",
    ],
)  # fmt: skip
def test_a_wrong_command_is_found(typed: str) -> None:
    assert _complaint(typed)


# -- Probes --------------------------------------------------------------------------------------------


def test_the_table_of_probes_is_fresh() -> None:
    assert document.renewed(_PROBES_PAGE) == _PROBES_PAGE, (
        "run: python -m toposcope_probes.document docs/probes.md"
    )


def test_a_page_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no block"):
        document.renewed("# Probes\n")


@pytest.mark.parametrize("name", [spec.name for spec in toposcope_probes.load_all()])
def test_every_probe_says_what_how_how_it_misleads_and_where_it_comes_from(name: str) -> None:
    (section,) = re.findall(rf"^### {name}\n(.*?)(?=^##|\Z)", _PROBES_PAGE, re.DOTALL | re.MULTILINE)
    for part in ("What", "How", "Misleads", "From"):
        assert f"**{part}.**" in section


# -- Machines ------------------------------------------------------------------------------------------


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    if not (_PROJECT / ".git").exists():
        pytest.skip("which files belong to the project is known in a checkout only")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=_PROJECT, capture_output=True, text=True, check=True
    )
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = _PROJECT / name
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _BYTES_MAX:
            continue
        content = path.read_bytes()
        if b"\0" not in content and (hit := _MACHINE_PATH.search(content.decode("utf-8", "replace"))):
            found.append(f"{name}: {hit[0]}")
    assert found == []


@pytest.mark.parametrize("path", ["root", "home/ada", "work/main", "tmp/bash_jobs.0"])
def test_a_path_of_a_machine_is_found(path: str) -> None:
    assert _MACHINE_PATH.search(f"see /{path}/x")
