"""The model card of a merged checkpoint: how it was made, what it scored, how to load it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from paretomerge.checkpoints import Checkpoint
from paretomerge.checkpoints.writing.writer import tool_version
from paretomerge.types import FrontPoint, Objective

ORIGIN_MEANING = {
    "predicted": "predicted by a surrogate, not measured",
    "merged": "measured on this merged model",
    "trained": "measured on a jointly finetuned model with these task weights, not on this merge",
}


@dataclass(frozen=True)
class ModelCard:
    """What a card says beside the scores.

    Args:
        name: the title.
        method: the name of the merge rule.
        settings: the settings of the method, plain JSON values.
        finetunes: task to the name under which its finetune is known.
        digests: input name (a task, or `"base"`) to the digest of its parameters.
        objectives: direction and unit of the scores, for the table.
        base: the name under which the base model is known; by default the name of its folder.
        license: the licence identifier of the result, if it is known.
        notes: free text, Markdown.
    """

    name: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    finetunes: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    objectives: tuple[Objective, ...] = ()
    base: str = ""
    license: str = ""
    notes: str = ""


def render_card(card: ModelCard, base: Checkpoint, point: FrontPoint | None) -> str:
    """The card as Markdown with the YAML header that model hubs read."""
    sections = [_header(card, base), f"# {card.name}", _made_by(card, base), _weights(card, point)]
    if point is not None and point.values:
        sections.append(_scores(card, point))
    sections.append(_loading(base))
    if card.notes:
        sections.append(card.notes.strip())
    return "\n\n".join(sections) + "\n"


def base_name(card: ModelCard, base: Checkpoint) -> str:
    """How the base is called: never the path of this machine."""
    return card.base or (base.source.name if base.source is not None else "a model in memory")


def _header(card: ModelCard, base: Checkpoint) -> str:
    fields: dict[str, Any] = {"tags": ["merge", "paretomerge"]}
    if card.base:
        fields["base_model"] = card.base
    if card.license:
        fields["license"] = card.license
    if _config(base):
        fields["library_name"] = "transformers"
    return f"---\n{yaml.safe_dump(fields, sort_keys=True, allow_unicode=True)}---"


def _made_by(card: ModelCard, base: Checkpoint) -> str:
    lines = [
        f"Merged from finetunes of `{base_name(card, base)}` with paretomerge {tool_version()}.",
        "",
        f"- method: `{card.method}`",
    ]
    lines += [f"- {key}: `{value}`" for key, value in card.settings.items()]
    return "\n".join(lines)


def _weights(card: ModelCard, point: FrontPoint | None) -> str:
    weights = point.weights if point is not None else {}
    tasks = list(dict.fromkeys([*weights, *card.finetunes]))
    rows = ["## Tasks", "", "| task | weight | finetune |", "|---|---|---|"]
    for task in tasks:
        weight = f"{weights[task]:.6g}" if task in weights else "–"
        rows.append(f"| {_cell(task)} | {weight} | {_cell(card.finetunes.get(task, '–'))} |")
    return "\n".join(rows) if tasks else "No task weights were recorded."


def _scores(card: ModelCard, point: FrontPoint) -> str:
    known = {objective.name: objective for objective in card.objectives}
    rows = ["## Scores", "", f"These values were {ORIGIN_MEANING[point.origin]} (origin: `{point.origin}`).", ""]
    rows += ["| objective | value | standard deviation | better |", "|---|---|---|---|"]
    for name, value in point.values.items():
        objective = known.get(name)
        unit = f" {objective.unit}" if objective and objective.unit else ""
        better = {"minimise": "lower", "maximise": "higher"}[objective.direction] if objective else "–"
        deviation = f"{point.stdev[name]:.2g}{unit}" if name in point.stdev else "–"
        rows.append(f"| {_cell(name)} | {value:.6g}{unit} | {deviation} | {better} |")
    return "\n".join(rows)


def _loading(base: Checkpoint) -> str:
    config = _config(base)
    if not config:
        code = 'from paretomerge.checkpoints import open_checkpoint\n\nparams = open_checkpoint("path/to/this/folder")'
    else:
        architectures = config.get("architectures")
        first = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
        cls = first if first.isidentifier() else "AutoModel"
        code = f'from transformers import {cls}\n\nmodel = {cls}.from_pretrained("path/to/this/folder")'
    return f"## Loading\n\n```python\n{code}\n```\n\nHow it was made is recorded in `paretomerge.json`."


def _config(base: Checkpoint) -> dict[str, Any]:
    for file in base.side_files:
        if Path(file).name == "config.json":
            try:
                config = json.loads(Path(file).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                return {}
            return config if isinstance(config, dict) else {}
    return {}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
