"""Every command line in the README and the documentation exists: verbs, options and arguments."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from benchmarks.suite.settings import DEFINITIONS
from tests.docs.commands import commands_in, inline_commands, parse, unknown_options
from tests.docs.pages import ROOT, Block, blocks, pages

from paretomerge.cli.app import app

CONSOLE = blocks("console")
COMMAND = typer.main.get_command(app)
MAKE = re.compile(r"^\$ make (\S+)", re.MULTILINE)


def test_there_are_commands() -> None:
    """The pages hold many command lines, so they are still found."""
    assert sum(len(commands_in(block.content)) for block in CONSOLE) > 30


@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: block.name)
def test_command_lines_parse(block: Block) -> None:
    """The application accepts every command line that a reader may copy."""
    for words in commands_in(block.content):
        parse(COMMAND, words)


@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: block.name)
def test_lines_with_a_prompt_are_commands(block: Block) -> None:
    """A line after a prompt can be read by a shell, and calls nothing that a reader has not got."""
    known = {
        "paretomerge",
        "make",
        "pip",
        "python",
        "accelerate",
        "lm_eval",
        "mergekit-yaml",
        "git",
        "cd",
        "cat",
        "for",
    }
    for line in block.content.replace("\\\n", " ").split("\n"):
        if line.startswith("$ "):
            words = [word for word in shlex.split(line[2:], comments=True) if "=" not in word.partition("/")[0]]
            assert words[0] in known or words[0].startswith("PARETOMERGE_"), line


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_text_name_verbs_and_options_that_exist(page: Path) -> None:
    """Commands in running text may leave arguments out, but not invent an option."""
    for words in inline_commands(page.read_text(encoding="utf-8")):
        assert not unknown_options(COMMAND, words), " ".join(words)


def test_targets_of_make_exist() -> None:
    """What readers are told to make is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    settings = {f"bench-{name}" for name in DEFINITIONS}
    wanted = {target for block in CONSOLE for target in MAKE.findall(block.content)}
    assert wanted <= targets | settings


@pytest.mark.parametrize(
    "line",
    ["$ paretomerge chose run/", "$ paretomerge choose run/ --kneee", "$ paretomerge choose", "$ paretomerge fit a b"],
)
def test_a_command_line_that_does_not_exist_is_found(line: str) -> None:
    """These tests can fail."""
    with pytest.raises(
        Exception, match=r"no such verb|[Nn]o such option|Missing (argument|parameter)|unexpected extra"
    ):
        parse(COMMAND, commands_in(line)[0])


def test_an_invented_option_in_the_text_is_found() -> None:
    """These tests can fail."""
    [words] = inline_commands("see `paretomerge choose RUN --kneee`")
    assert unknown_options(COMMAND, words) == ["--kneee"]
