"""Finetuning on tasks with a label per token, whose texts have different lengths."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from paretomerge.training import ExamplePool, TrainingRecipe, finetune, weighted_loss
from paretomerge.types import Batch, Problem, Split


class _Causal(nn.Module):
    """A table of next tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.next = nn.Embedding(6, 6, dtype=torch.float64)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.next(input_ids) * attention_mask[..., None]


def _data(task: str, split: Split) -> list[Batch]:
    """`up` counts upwards in short texts, `down` downwards in long and short ones."""
    step, widths = (1, (3, 3)) if task == "up" else (-1, (6, 2))
    batches: list[Batch] = []
    for width in widths:
        tokens = (torch.arange(4)[:, None] + step * torch.arange(width)) % 6
        batches.append(({"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}, tokens))
    return batches


PROBLEM = Problem(("up", "down"), _Causal, _data, "causal")


def test_a_joint_batch_of_texts_weighs_each_text_alike() -> None:
    """Padding of one task's texts to the other's changes nothing."""
    module = _Causal()
    alpha = {"up": 0.3, "down": 0.7}
    pools = {task: ExamplePool(PROBLEM.batches(task, "training"), 0) for task in alpha}
    found = float(weighted_loss(module, pools, alpha, {"up": 8, "down": 8}, "causal").detach())
    expected = 0.0
    for task, weight in alpha.items():
        for inputs, tokens in _data(task, "training"):
            log_p = module.next(inputs["input_ids"]).log_softmax(-1).detach()
            for b in range(4):
                each = [-float(log_p[b, i, tokens[b, i + 1]]) for i in range(tokens.shape[1] - 1)]
                expected += weight / 8 * sum(each) / len(each)
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_corner_learns_its_own_next_token() -> None:
    start = {"next.weight": torch.zeros(6, 6, dtype=torch.float64)}
    recipe = TrainingRecipe(steps=60, examples_per_task=4, learning_rate=0.2)
    for task, step in (("up", 1), ("down", -1)):
        weights = {name: float(name == task) for name in PROBLEM.tasks}
        table = finetune(PROBLEM, start, weights, recipe).params["next.weight"]
        assert table[:3].argmax(-1).tolist() == [(token + step) % 6 for token in range(3)]
