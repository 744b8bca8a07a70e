"""The YAML header of a model card: what model hubs read of it, and show beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from paretomerge.types import FrontPoint, Objective

PIPELINES = {
    "ForSequenceClassification": "text-classification",
    "ForCausalLM": "text-generation",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "ForImageClassification": "image-classification",
    "LMHeadModel": "text-generation",
}
"""The end of an architecture's name to the hub's name of its job."""


def hub_header(
    name: str,
    base: str,
    license: str,
    objectives: Sequence[Objective],
    config: Mapping[str, Any],
    point: FrontPoint | None,
    *,
    adapter: bool = False,
) -> str:
    """The header, between its two lines of dashes.

    Measured scores are listed as `model-index` where the architecture says what the model's job is; predicted ones, and
    those of another model, are not results of this one.
    """
    fields: dict[str, Any] = {"tags": ["merge", "paretomerge", *(["lora"] if adapter else [])]}
    if "/" in base:  # a name on a hub; anything else would be a dead link there
        fields["base_model"] = base
        fields["base_model_relation"] = "adapter" if adapter else "merge"
    if license:
        fields["license"] = license
    if config:
        fields["library_name"] = "peft" if adapter else "transformers"
    pipeline = pipeline_of(config)
    if pipeline:
        fields["pipeline_tag"] = pipeline
    metrics = list(dict.fromkeys(_metric(objective) for objective in objectives))
    if metrics and point is not None and point.origin == "merged":
        fields["metrics"] = metrics
        if pipeline:
            fields["model-index"] = [{"name": name, "results": _results(pipeline, objectives, point)}]
    return f"---\n{yaml.safe_dump(fields, sort_keys=True, allow_unicode=True)}---"


def pipeline_of(config: Mapping[str, Any]) -> str | None:
    """What a model with this configuration does, in the hub's words; `None` where its architecture does not say."""
    named = config.get("architectures")
    first = str(named[0]) if isinstance(named, list) and named else ""
    return next((job for end, job in PIPELINES.items() if first.endswith(end)), None)


def _results(pipeline: str, objectives: Sequence[Objective], point: FrontPoint) -> list[dict[str, Any]]:
    """One entry for every task, with its metrics."""
    by_task: dict[str, list[dict[str, Any]]] = {}
    for objective in objectives:
        if objective.name in point.values:
            metric = {"type": _metric(objective), "name": objective.name, "value": point.values[objective.name]}
            by_task.setdefault(objective.task, []).append(metric)
    return [
        {"task": {"type": pipeline}, "dataset": {"name": task, "type": task}, "metrics": metrics}
        for task, metrics in by_task.items()
    ]


def _metric(objective: Objective) -> str:
    return objective.metric or objective.name
