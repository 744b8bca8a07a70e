"""MiniLM (22.7 M parameters) as a classifier: mean pooling, and one head of two classes that all tasks share."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from data import Texts
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from transformers import AutoTokenizer, BertModel

from paretomerge import Problem
from paretomerge.types import Batch, Split

MAX_LENGTH = 64
BATCH_SIZE = 50
PARTS = {"query": "qk", "key": "qk", "value": "vo"}


class Classifier(nn.Module):
    """Eager attention, because forward-mode products need it; no dropout, so that the truth is less noisy."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.encoder = BertModel.from_pretrained(
            folder,
            add_pooling_layer=False,
            attn_implementation="eager",
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.head = nn.Linear(self.encoder.config.hidden_size, 2)

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Mean of the last hidden states, `[B, 384]`."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits, `[B, 2]`."""
        return self.head(self.features(input_ids, attention_mask))


def sentiment_problem(model: Path, texts: dict[str, dict[str, Texts]]) -> Problem:
    """The domains as a `Problem`."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    encoded = {
        (task, split): _encode(tokenizer, found, by_length=split != "training")
        for task, splits in texts.items()
        for split, found in splits.items()
    }

    def data(task: str, split: Split) -> list[Batch]:
        return encoded[task, split]

    return Problem(tuple(texts), lambda: Classifier(model), data)


def probed_base(problem: Problem) -> dict[str, Tensor]:
    """The pretrained encoder with a logistic regression on its features as head, fitted on all tasks together."""
    module = problem.build().eval()
    assert isinstance(module, Classifier)
    with torch.no_grad():
        pairs = [(module.features(**x), y) for task in problem.tasks for x, y in problem.batches(task, "training")]
        features, labels = torch.cat([x for x, _ in pairs]).numpy(), torch.cat([y for _, y in pairs]).numpy()
        probe = LogisticRegression(C=1.0, max_iter=2000).fit(features, labels)
        weight, bias = torch.tensor(probe.coef_[0]).float() / 2, torch.tensor(probe.intercept_[0]).float() / 2
        module.head.weight.copy_(torch.stack([-weight, weight]))
        module.head.bias.copy_(torch.stack([-bias, bias]))
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def by_block(name: str) -> str:
    """Groups finer than layers: query and key, value and output, up, down, norms of each layer."""
    layer = re.search(r"layer\.(\d+)\.", name)
    if not layer:
        return "head" if name.startswith("head") else "embeddings"
    if "LayerNorm" in name:
        part = "norms"
    elif ".attention.self." in name:
        part = PARTS[name.split(".attention.self.")[1].split(".", maxsplit=1)[0]]
    elif ".attention.output." in name:
        part = "vo"
    else:
        part = "up" if ".intermediate." in name else "down"
    return f"layer{layer[1]}.{part}"


def _encode(tokenizer, texts: Texts, by_length: bool) -> list[Batch]:
    """Batches padded to their own longest text.

    Where all of a split is always read, texts of like length go together, and little is padding. Elsewhere strides:
    each batch has the length distribution of the whole, so that any first batches are a sample.
    """
    ids = tokenizer(list(texts.texts), truncation=True, max_length=MAX_LENGTH)["input_ids"]
    batches = []
    count = max(1, round(len(ids) / BATCH_SIZE))
    order = np.arange(len(ids))
    places = (
        np.array_split(sorted(order, key=lambda i: len(ids[i])), count)
        if by_length
        else [order[s::count] for s in range(count)]
    )
    for chosen in places:
        rows = [ids[i] for i in chosen]
        width = max(map(len, rows))
        padded = np.zeros((2, len(rows), width), dtype=np.int64)
        for number, row in enumerate(rows):
            padded[0, number, : len(row)] = row
            padded[1, number, : len(row)] = 1
        inputs = {"input_ids": torch.from_numpy(padded[0]), "attention_mask": torch.from_numpy(padded[1])}
        batches.append((inputs, torch.from_numpy(texts.labels[chosen].astype(np.int64))))
    return batches
