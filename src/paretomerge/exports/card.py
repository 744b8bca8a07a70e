"""The model card of a merged checkpoint: how it was made, what it scored, what that cost, how to load it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paretomerge.checkpoints import Checkpoint
from paretomerge.checkpoints.writing.writer import tool_version
from paretomerge.exports.hub_header import hub_header
from paretomerge.exports.loading import loading_text, read_config
from paretomerge.exports.scores_table import cell, code, gives_up_text, scores_text
from paretomerge.types import FrontPoint, Ledger, Objective


@dataclass(frozen=True)
class ModelCard:
    """What a card says beside the scores.

    Args:
        name: the title.
        method: the name of the merge rule.
        settings: the settings of the method, plain JSON values.
        finetunes: task to the name under which its finetune is known.
        digests: input name (a task, or `"base"`) to the digest of its parameters.
        objectives: direction, unit and bounds of the scores, for the table.
        base: the name under which the base model is known (`organisation/name` of a hub, or a word); by default the
            name of its folder.
        license: the licence identifier of the result, if it is known.
        split: whose examples the scores are of.
        gives_up: objective to how much worse it is than the best on the front, in its unit.
        ledger: what the whole run has cost so far.
        picture: a picture of the front, copied beside the card.
        citations: BibTeX entries of what the method used (see `citations_of`).
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
    split: str = "test"
    gives_up: Mapping[str, float] = field(default_factory=dict)
    ledger: Ledger | None = None
    picture: Path | None = None
    citations: tuple[str, ...] = ()
    notes: str = ""


def render_card(
    card: ModelCard, base: Checkpoint, point: FrontPoint | None, *, adapter: str = "", beforehand: str = ""
) -> str:
    """The card as Markdown with the YAML header that model hubs read.

    Args:
        card: what it says.
        base: the base checkpoint.
        point: the point of the front that was chosen, with its scores.
        adapter: what a low-rank adapter holds; empty for whole weights.
        beforehand: what happened to the model after it was scored, such as rounding: its scores are then no results of
            these very files.
    """
    config = read_config(base.side_files)
    results = None if beforehand else point
    sections = [
        hub_header(card.name, card.base, card.license, card.objectives, config, results, adapter=bool(adapter)),
        f"# {cell(card.name)}",
        _made_by(card, base),
        adapter,
        _weights(card, point),
        scores_text(card.objectives, point, card.split) if point is not None and point.values else "",
        f"Scores are from before {beforehand}." if beforehand and point is not None and point.values else "",
        gives_up_text(card.objectives, card.gives_up),
        f"![The front that this model was chosen from]({card.picture.name})" if card.picture is not None else "",
        loading_text(config, base_name(card, base), adapter=bool(adapter)),
        _cost(card.ledger) if card.ledger is not None else "",
        card.notes.strip(),
        _citations(card.citations) if card.citations else "",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def base_name(card: ModelCard, base: Checkpoint) -> str:
    """How the base is called: never the path of this machine."""
    return card.base or (base.source.name if base.source is not None else "a model in memory")


def _made_by(card: ModelCard, base: Checkpoint) -> str:
    lines = [
        f"Merged from finetunes of {code(base_name(card, base))} with paretomerge {tool_version()}.",
        "",
        f"- method: {code(card.method)}",
    ]
    lines += [f"- {key}: {code(value)}" for key, value in card.settings.items()]
    return "\n".join(lines)


def _weights(card: ModelCard, point: FrontPoint | None) -> str:
    weights = point.weights if point is not None else {}
    tasks = list(dict.fromkeys([*weights, *card.finetunes]))
    rows = ["## Tasks", "", "| task | weight | finetune |", "|---|---|---|"]
    for task in tasks:
        weight = f"{weights[task]:.6g}" if task in weights else "–"
        rows.append(f"| {cell(task)} | {weight} | {cell(card.finetunes.get(task, '–'))} |")
    return "\n".join(rows) if tasks else "No task weights were recorded."


def _cost(ledger: Ledger) -> str:
    counts = [
        (ledger.trainings, "training", "trainings"),
        (ledger.gradient_passes, "gradient pass", "gradient passes"),
        (ledger.evaluations, "evaluation", "evaluations"),
    ]
    parts = [f"{number:,.6g} {one if number == 1 else many}" for number, one, many in counts if number]
    parts.append(f"{ledger.seconds:.0f} s")
    return "## Cost\n\nThe run behind this model, beside the finetunes that it started from: " + ", ".join(parts) + "."


def _citations(entries: tuple[str, ...]) -> str:
    return "## Citations\n\n```bibtex\n" + "\n\n".join(entries) + "\n```"
