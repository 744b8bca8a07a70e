"""Exporting task weights for a joint finetuning in any trainer.

    loss weights            L(θ) = Σ_t alpha_t · (mean loss of task t)
    sampling proportions    p_t = alpha_t / Σ alpha: draw the task of each example with probability p_t

Both have the same expected gradient up to the factor Σ alpha, whatever the data sizes. With sizes `n_t` the
third equivalent is a repeat factor on the concatenated data, `r_t = p_t · N / n_t`, `N = Σ n_t`: how often an
example of task `t` is seen while each example of plain concatenation is seen once; and a fourth a weight on the loss of
every example of the concatenated data, `alpha_t · N / n_t`. Code for a plain loop and for the Trainer of transformers
comes with them (`exports/snippets.py`).
Shapes: `T` tasks.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from paretomerge.checkpoints.atomic import write_text
from paretomerge.checkpoints.paths import user_path
from paretomerge.errors import InputError, WeightsError
from paretomerge.exports.snippets import snippets_for
from paretomerge.types import Weights, require_tasks

USAGE = (
    "loss_weights: multiply the mean loss of each task by its weight and add them up.",
    "sampling_proportions: or, draw the task of each training example with these probabilities, and leave the "
    "losses alone.",
)
USAGE_SIZES = (
    "repeat_factors: or, concatenate the data and see each example of a task this many times per epoch.",
    "example_weights: or, concatenate the data and multiply the loss of every example of a task by this.",
)
USAGE_END = (
    "Use one of them, not several: together they would apply the weights twice.",
    "snippets: code for a plain loop, and for the Trainer of transformers with weights or with sampling.",
)


def export_task_weights(
    path: str | os.PathLike[str],
    weights: Weights | Mapping[str, float],
    sizes: Mapping[str, int] | None = None,
) -> Path:
    """Write one weighting as YAML (`.yaml`, `.yml`) or JSON (`.json`), with a short usage text and code to train with.

    Args:
        path: the file to write; an existing one is replaced.
        weights: task to `alpha_t >= 0`, at least one of them positive.
        sizes: task to its number of training examples; adds repeat factors and weights of examples.

    Raises:
        WeightsError: impossible weights or sizes, or a task without a size.
        InputError: an unknown kind of file.
        StorageError: the disk refused.
    """
    target = user_path(path)
    content, snippets = _content(weights, sizes), snippets_for(target.name)
    usage = [*USAGE, *(USAGE_SIZES if sizes is not None else ()), *USAGE_END]
    if target.suffix in (".yaml", ".yml"):
        comment = "".join(f"# {line}\n" for line in ("Task weights from paretomerge.", *usage))
        numbers = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        return write_text(target, comment + numbers + _code_as_yaml(snippets))
    if target.suffix == ".json":
        whole = {"usage": usage, **content, "snippets": snippets}
        return write_text(target, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    raise InputError(f"{target}: task weights are written as .yaml, .yml or .json: give one of these suffixes")


def _content(weights: Weights | Mapping[str, float], sizes: Mapping[str, int] | None) -> dict[str, object]:
    tasks = weights.tasks if isinstance(weights, Weights) else tuple(weights)
    alpha = Weights.of(weights, tasks, on_simplex=False).as_mapping()
    total = sum(alpha.values())
    if not total > 0:
        raise WeightsError("all task weights are zero: at least one must be positive")
    proportions = {task: value / total for task, value in alpha.items()}
    content: dict[str, object] = {"loss_weights": alpha, "sampling_proportions": proportions}
    if sizes is not None:
        _require_sizes(sizes, tasks)
        examples = sum(sizes.values())
        content["sizes"] = {task: int(sizes[task]) for task in tasks}
        content["repeat_factors"] = {task: proportions[task] * examples / sizes[task] for task in tasks}
        content["example_weights"] = {task: alpha[task] * examples / sizes[task] for task in tasks}
    return content


def _code_as_yaml(snippets: Mapping[str, str]) -> str:
    """As literal blocks, which are read again line by line."""
    blocks = []
    for name, text in snippets.items():
        lines = "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())
        blocks.append(f"  {name}: |\n{lines}")
    return "snippets:\n" + "".join(blocks)


def _require_sizes(sizes: Mapping[str, int], tasks: tuple[str, ...]) -> None:
    require_tasks(list(sizes), tasks)
    for task, size in sizes.items():
        if isinstance(size, bool) or not math.isfinite(size) or size <= 0 or size != int(size):
            raise WeightsError(f"task {task!r} has {size!r} training examples: sizes are positive whole numbers")
