"""Command lines in the documentation: found, split into words, and parsed by the application without being run."""

from __future__ import annotations

import re
import shlex
from typing import Any

from paretomerge.cli.speaking import to_front

PROGRAM = "paretomerge"


def commands_in(console: str) -> list[list[str]]:
    """The words of every call of `paretomerge` after a prompt, also through `accelerate launch -m`.

    >>> commands_in("$ paretomerge fit recipe.yaml --estimate  # before it starts\\nsome output")
    [['paretomerge', 'fit', 'recipe.yaml', '--estimate']]
    """
    joined = console.replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in joined.split("\n") if line.startswith("$ ")]
    words = [shlex.split(line, comments=True) for line in lines]
    calls = [call for line in words for call in _split_at_operators(line)]
    return [call[call.index(PROGRAM) :] for call in calls if PROGRAM in call]


def inline_commands(text: str) -> list[list[str]]:
    """The words of code in a line of text that starts with `paretomerge VERB`.

    >>> inline_commands("Say `paretomerge choose RUN --knee`, or `paretomerge`.")
    [['paretomerge', 'choose', 'RUN', '--knee']]
    """
    outside = re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"`(paretomerge [a-z][^`]*)`", outside)
    return [shlex.split(" ".join(command.split())) for command in found]


def parse(root: Any, words: list[str]) -> None:
    """Raise the application's own error when a verb or an option does not exist, or a value is missing."""
    given = to_front(words[1:])
    options = {name: option for option in root.params for name in option.opts}
    while given and given[0].startswith("-"):
        option = options.get(given[0].partition("=")[0])
        assert option is not None, f"no such option before the verb: {given[0]}"
        given = given[1:] if option.is_flag or "=" in given[0] else given[2:]
    if not given:
        return
    assert given[0] in root.commands, f"no such verb: {given[0]}"
    root.commands[given[0]].make_context(given[0], given[1:])


def unknown_options(root: Any, words: list[str]) -> list[str]:
    """Options in a sketch of a command that its verb does not have; arguments may be left out in a sketch."""
    given = words[1:]
    general = {name for option in root.params for name in (*option.opts, *option.secondary_opts)}
    while given and given[0] in general:
        given = given[1:]
    if not given or given[0] not in root.commands:
        return given[:1]
    own = root.commands[given[0]].params
    known = {"--help", *(name for option in own for name in (*option.opts, *option.secondary_opts)), *general}
    return [word for word in given[1:] if word.startswith("--") and word.partition("=")[0] not in known]


def _split_at_operators(words: list[str]) -> list[list[str]]:
    calls: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", "||", "|", ";"):
            calls.append([])
        elif word not in (">", "2>"):
            calls[-1].append(word)
    return calls
