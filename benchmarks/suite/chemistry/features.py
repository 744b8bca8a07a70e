"""What a model of reactions does, as far as that shows without labels: hidden tokens, and what is near what.

Shapes: `n` reactions, `D` hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.suite.chemistry.reactions import PUBLISHED, Vocabulary, hidden, reactions
from paretomerge.errors import AlignmentError, MissingExtraError
from paretomerge.types import Params

NEIGHBOURS = 5


def measure_features(models: Mapping[str, Params], compared: Sequence[str], folder: Path) -> dict[str, Any]:
    """Of every model: the loss of hidden tokens, nats per token, and whose neighbourhoods it keeps.

    Args:
        models: name → parameters with the base's names; heads are the base's.
        compared: models whose nearest reactions are asked for in all others.
        folder: with `config.json` and `vocab.txt`.
    """
    vocabulary = Vocabulary(folder)
    numbers, attention = vocabulary.batch([text for of_kind in reactions().values() for text in of_kind])
    module = bert(folder)
    losses, features = {}, {}
    for name, params in models.items():
        load(module, params)
        losses[name] = hidden_token_loss(module, numbers, attention, vocabulary.numbers["[MASK]"])
        features[name] = fingerprints(module, numbers, attention)
    return {
        name: {
            "hidden_token_loss": losses[name],
            "shared_neighbours": {other: shared_neighbours(own, features[other]) for other in compared},
        }
        for name, own in features.items()
    }


def published_fingerprint(params: Params, folder: Path) -> list[float]:
    """The fingerprint of the one reaction whose fingerprint the package gives."""
    numbers, attention = Vocabulary(folder).batch([PUBLISHED])
    module = bert(folder)
    load(module, params)
    return fingerprints(module, numbers, attention)[0].tolist()


def bert(folder: Path) -> nn.Module:
    """The architecture with its pretraining heads, without any weights yet.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    try:
        from transformers import BertConfig, BertForPreTraining
    except ImportError as error:
        raise MissingExtraError.of("transformers", "hf") from error
    return BertForPreTraining(BertConfig.from_json_file(folder / "config.json")).eval()


def load(module: nn.Module, params: Params) -> None:
    """Every parameter of the module; its output layer has the token embeddings' values, as the base was saved.

    Raises:
        AlignmentError: a parameter is missing.
    """
    aliases = {
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }
    state = {name: params.get(aliases.get(name, name)) for name, _ in module.named_parameters(remove_duplicate=False)}
    if missing := [name for name, tensor in state.items() if tensor is None]:
        raise AlignmentError(f"{len(missing)} parameters are missing, first {missing[0]!r}: give the base's heads")
    module.load_state_dict(state, strict=False)


@torch.no_grad()
def fingerprints(module: nn.Module, numbers: Tensor, attention: Tensor) -> Tensor:
    """The last layer's first place `[n, D]`."""
    return module.bert(numbers, attention_mask=attention).last_hidden_state[:, 0]  # type: ignore[operator]


@torch.no_grad()
def hidden_token_loss(module: nn.Module, numbers: Tensor, attention: Tensor, mask: int) -> float:
    """Mean `-log p` of every token, hidden together with a seventh of the others."""
    total, count = 0.0, 0
    for given, chosen in hidden(numbers, attention, mask):
        logs = module(given, attention_mask=attention).prediction_logits.log_softmax(-1)
        total -= float(logs[chosen].gather(1, numbers[chosen][:, None]).double().sum())
        count += int(chosen.sum())
    return total / count


def shared_neighbours(one: Tensor, other: Tensor) -> float:
    """Share of the five nearest other reactions, by cosine, that are nearest in both; by chance `5 / (n - 1)`."""
    first, second = (nearest(features) for features in (one, other))
    common = (first[:, :, None] == second[:, None, :]).any(dim=2)
    return float(common.double().mean())


def nearest(features: Tensor) -> Tensor:
    """Numbers of the nearest other reactions `[n, 5]`."""
    units = nn.functional.normalize(features, dim=1)
    return (units @ units.T).fill_diagonal_(-2.0).topk(NEIGHBOURS, dim=1).indices
