"""The reference of the command line, written from the application itself whenever the documentation is built."""

from __future__ import annotations

from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGE = "reference/cli.md"
INTRODUCTION = """# Command line

Written from the application when this site is built; `paretomerge VERB --help` says the same. Every verb is a thin
shell over a public function of [`paretomerge.stages`](api/stages.md). `--json` prints one JSON document on standard
output and nothing else there; warnings and progress go to standard error.

| exit code | means |
|---|---|
| 0 | done |
| 1 | it failed |
| 2 | bad input: the message says what was seen, the likely cause and what to do |
| 130 | interrupted; the same command continues where it stopped |

`PARETOMERGE_DEBUG=1` shows the traceback of an unexpected error.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by mkdocs: adds the page."""
    files.append(File.generated(config, PAGE, content=cli_page()))
    return files


def cli_page() -> str:
    """The whole page, in Markdown."""
    root = root_command()
    parts = [INTRODUCTION, _table("option of all verbs", [p for p in root.params if not p.hidden])]
    parts.append(_overview(root.commands))
    parts.extend(_verb(name, command) for name, command in root.commands.items() if not command.hidden)
    return "\n".join(parts)


def root_command() -> Any:
    """The application as click sees it: `.commands` of verbs, each with `.params`."""
    from paretomerge.cli.app import app

    return typer.main.get_command(app)


def _overview(commands: dict[str, Any]) -> str:
    rows = (
        f"| [`{name}`](#paretomerge-{name}) | {_cell(_summary(command))} |"
        for name, command in commands.items()
        if not command.hidden
    )
    return "\n".join(("| verb | what it does |", "|---|---|", *rows, ""))


def _verb(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    usage = " ".join(["paretomerge", name, *(["[OPTIONS]"] if options else []), *map(_placeholder, arguments)])
    example = (command.epilog or "").removeprefix("Example:").strip()
    parts = [f"## paretomerge {name}", "", _prose(command.help), "", "```text", usage, "```", ""]
    if example:
        parts += ["```console", f"$ {example}", "```", ""]
    if arguments:
        parts.append(_table("argument", arguments))
    if options:
        parts.append(_table("option", options))
    return "\n".join(parts)


def _table(title: str, params: list[Any]) -> str:
    rows = (f"| {_spelled(p)} | {_default(p)} | {_cell(p.help or '')} |" for p in params)
    return "\n".join((f"| {title} | default | |", "|---|---|---|", *rows, ""))


def _spelled(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{_cell(_placeholder(param))}`"
    names = ", ".join([*param.opts, *param.secondary_opts])
    value = "" if param.is_flag else f" {param.metavar or _kind(param)}"
    return f"`{_cell(names + value)}`"


def _kind(param: Any) -> str:
    """INTEGER, FLOAT or TEXT; newer typers keep the type in a place of its own."""
    described = getattr(param, "type_descriptor", None)
    given = param.type.name if described is None else getattr(described.annotation, "__name__", "text")
    return {"int": "INTEGER", "float": "FLOAT", "integer": "INTEGER"}.get(given, "TEXT")


def _placeholder(param: Any) -> str:
    name = param.metavar or param.name.upper()
    return f"{name}..." if param.nargs == -1 and not name.endswith("...") else name


def _default(param: Any) -> str:
    if param.required:
        return "required"
    shown = param.default
    if callable(shown) or shown is None or shown is False or shown in ("", (), []):
        return ""
    return f"`{_cell(str(shown))}`"


def _summary(command: Any) -> str:
    return " ".join((command.help or "").split("\n\n")[0].split())


def _prose(text: str | None) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (text or "").replace("\b", "").split("\n\n"))


def _cell(text: str) -> str:
    """Text that may stand in a cell of a table: one line, no bar that would end it, no tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
