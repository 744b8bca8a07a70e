"""MiniLM with a head for each task.

The heads are the rows of one wide layer. Which of them an example is for travels with its inputs, as columns of the
wide layer counted from 1: a batch of one task has as many outputs as the task has classes, and a batch of several
tasks as many as the largest of them, where columns 0 fill up and have no probability.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.sentiment_example import MAX_LENGTH, Classifier
from benchmarks.suite.settings.text_splits import Divided
from paretomerge import Problem
from paretomerge.problems.batches import Encoded, make_batches
from paretomerge.types import Batch, Params, Split

CLASSES = "decoder_classes"
"""The name of the input with the columns. When batches are joined, inputs that are named like this have a length of
their own, are filled up with 0, and are not cut with the texts."""
IMPOSSIBLE = -1e9
BATCH_SIZE = 50
PROBED = 500
"""Examples per task that heads of the base are fitted to."""


class Heads(Classifier):
    """One wide layer, of which every example sees its task's rows."""

    def __init__(self, folder: Path, outputs: int) -> None:
        """With as many outputs as all tasks have classes together."""
        super().__init__(folder)
        self.head = nn.Linear(self.encoder.config.hidden_size, outputs)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, decoder_classes: Tensor) -> Tensor:
        """Logits of each example's classes, `[B, C]`."""
        wide = self.head(self.features(input_ids, attention_mask)).float()
        none = torch.full_like(wide[:, :1], IMPOSSIBLE)
        return torch.cat([none, wide], dim=1).gather(1, decoder_classes)


def heads_problem(model: Path, classes: Mapping[str, int], texts: Mapping[str, Mapping[str, Divided]]) -> Problem:
    """Tasks with `classes[task]` classes each."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    columns = columns_of(classes)
    batches = {
        (task, split): _batches(tokenizer, found, columns[task], by_length=split != "training")
        for task, splits in texts.items()
        for split, found in splits.items()
    }

    def data(task: str, split: Split) -> list[Batch]:
        return batches[task, split]

    return Problem(tuple(classes), lambda: Heads(model, sum(classes.values())), data)


def columns_of(classes: Mapping[str, int]) -> dict[str, Tensor]:
    """Task → its outputs in the wide layer, counted from 1."""
    ends = np.cumsum(list(classes.values())).tolist()
    return {
        task: torch.arange(end - count + 1, end + 1) for (task, count), end in zip(classes.items(), ends, strict=True)
    }


def probed_heads(problem: Problem, classes: Mapping[str, int]) -> Params:
    """The pretrained encoder; heads are logistic regressions on its features of each task's training texts."""
    from sklearn.linear_model import LogisticRegression

    module: Any = problem.build().eval()
    with torch.no_grad():
        for task, columns in columns_of(classes).items():
            rows = columns - 1
            module.head.weight[rows], module.head.bias[rows] = 0.0, 0.0
            features, labels = _features(module, problem.batches(task, "training"))
            probe = LogisticRegression(C=1.0, max_iter=2000).fit(features, labels)
            weight, bias = torch.tensor(probe.coef_).float(), torch.tensor(probe.intercept_).float()
            if len(weight) == 1:  # of two classes scikit-learn keeps the difference
                weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
            module.head.bias[rows] = bias.min()  # of classes that none of the examples has
            module.head.weight[rows[probe.classes_]], module.head.bias[rows[probe.classes_]] = weight, bias
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _features(module: Heads, batches: list[Batch]) -> tuple[np.ndarray, np.ndarray]:
    """`[n, 384]` and labels `[n]` of the first examples."""
    pairs = []
    for inputs, labels in batches[: max(1, PROBED // BATCH_SIZE)]:
        pairs.append((module.features(inputs["input_ids"], inputs["attention_mask"]), labels))
    return torch.cat([x for x, _ in pairs]).numpy(), torch.cat([y for _, y in pairs]).numpy()


def _batches(tokenizer: Any, found: Divided, columns: Tensor, by_length: bool) -> list[Batch]:
    """Texts cut to `MAX_LENGTH` tokens, in batches padded to their own longest."""
    tokens = tokenizer(list(found.texts), truncation=True, max_length=MAX_LENGTH)["input_ids"]
    batches = make_batches(Encoded(tokens, list(found.labels)), BATCH_SIZE, tokenizer.pad_token_id, by_length=by_length)
    return [({**inputs, CLASSES: columns.expand(len(labels), -1)}, labels) for inputs, labels in batches]
