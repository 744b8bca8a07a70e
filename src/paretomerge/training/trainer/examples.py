"""The examples of a trainer as batches of inputs and targets, and the likelihood its model is trained with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.errors import DataError
from paretomerge.training.trainer.parameters import bare_module, base_module, evaluating
from paretomerge.types import Batch, LikelihoodName

_BY_LOSS: dict[str, LikelihoodName] = {
    "ForCausalLM": "causal",
    "ForMaskedLM": "tokens",
    "ForTokenClassification": "tokens",
    "ForSequenceClassification": "categorical",
    "ForImageClassification": "categorical",
    "ForVideoClassification": "categorical",
    "ForAudioClassification": "categorical",
}
"""transformers' own name of a model's loss → likelihood."""


@dataclass(frozen=True, eq=False)
class TrainerExamples:
    """Examples of a data set, put together as the trainer does it.

    Args:
        dataset: by index, or an iterable.
        collate: makes a batch of a list of examples.
        size: examples in a batch.
        columns: what the collator is given of each example, all when `None`.
        labels: what the model calls its targets.
        device: of the model.
        decoder: from labels to the inputs of a decoder, which a model makes of its labels unless they are missing.
    """

    dataset: Any
    collate: Callable[[list[Any]], Mapping[str, Any]]
    size: int
    columns: frozenset[str] | None
    labels: str
    device: torch.device
    decoder: Callable[[Tensor], Tensor] | None = None

    @classmethod
    def of(cls, loader: Any, model: nn.Module, arguments: Any, dataset: Any = None) -> TrainerExamples:
        """Those of `dataset`, or of the trainer's own data, with the collator of its loader.

        Args:
            loader: the trainer's data loader.
            model: the trainer's model.
            arguments: its `TrainingArguments`.
            dataset: other examples.
        """
        module = bare_module(model)
        inner = base_module(module)
        names = list(arguments.label_names or ["labels"])
        columns = None
        if arguments.remove_unused_columns:
            columns = frozenset((*inspect.signature(inner.forward).parameters, "label", "label_ids", *names))
        return cls(
            dataset=loader.dataset if dataset is None else dataset,
            collate=loader.collate_fn,
            size=max(1, arguments.per_device_train_batch_size),
            columns=columns,
            labels=names[0],
            device=next(module.parameters()).device,
            decoder=getattr(inner, "prepare_decoder_input_ids_from_labels", None),
        )

    def collated(self, count: int | None, seed: int = 0) -> Iterator[dict[str, Any]]:
        """Batches of `count` examples (all when `None`) as the model takes them, labels included.

        A random choice without replacement where examples have numbers, else the first ones.
        """
        for chosen in self._chosen(count, seed):
            rows = [self._kept(row) for row in chosen]
            yield {
                name: value.to(self.device) if isinstance(value, Tensor) else value
                for name, value in self.collate(rows).items()
            }

    def batches(self, count: int | None, seed: int = 0) -> Iterator[Batch]:
        """The same as inputs and targets.

        Raises:
            DataError: batches without labels.
        """
        for batch in self.collated(count, seed):
            targets = batch.pop(self.labels, None)
            if targets is None:
                others = f", only {', '.join(map(repr, batch))}" if batch else " and nothing else that the model takes"
                raise DataError(
                    f"the batches have no {self.labels!r}{others}: set label_names in the TrainingArguments, or give a "
                    "labelled dataset"
                )
            if self.decoder is not None and "decoder_input_ids" not in batch:
                batch["decoder_input_ids"] = self.decoder(labels=targets)  # type: ignore[call-arg]
            yield batch, targets

    def _chosen(self, count: int | None, seed: int) -> Iterator[list[Any]]:
        if not hasattr(self.dataset, "__len__"):
            rows = islice(iter(self.dataset), count)
            while part := list(islice(rows, self.size)):
                yield part
            return
        generator = torch.Generator().manual_seed(seed)
        order: Sequence[int] = torch.randperm(len(self.dataset), generator=generator).tolist()[:count]
        for start in range(0, len(order), self.size):
            yield [self.dataset[index] for index in order[start : start + self.size]]

    def _kept(self, row: Any) -> Any:
        if self.columns is None or not isinstance(row, Mapping):
            return row
        return {name: value for name, value in row.items() if name in self.columns}


def likelihood_name(model: nn.Module) -> LikelihoodName:
    """The likelihood that a model of transformers is trained with.

    Raises:
        DataError: it cannot be told, or is none of this package's.
    """
    inner = base_module(model)
    config = getattr(inner, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        name: LikelihoodName | None = "tokens"
    else:
        name = _BY_LOSS.get(str(getattr(inner, "loss_type", None)))
        if name is None and type(inner).__name__.endswith("LMHeadModel"):
            name = "causal"
    problem = getattr(config, "problem_type", None)
    if name == "categorical" and problem == "multi_label_classification":
        name = None
    elif name == "categorical" and (problem == "regression" or getattr(config, "num_labels", 0) == 1):
        name = "gaussian"
    if name is None:
        raise DataError(
            f"the likelihood of a {type(inner).__name__} is not known here: give likelihood='categorical' (one class "
            "per example), 'tokens' or 'causal' (a class per token), or 'gaussian' (half the squared error)"
        )
    return name


def adds_micro_batches(model: nn.Module, batch: Mapping[str, Any]) -> bool:
    """Whether accumulated micro-batches are added up rather than averaged.

    The Trainer leaves the division to every model that takes further keyword arguments, and tells it the number of
    labels in all; some models, such as BERT's classifiers, take it and ignore it.

    Args:
        model: the trainer's model.
        batch: some examples with labels.
    """
    module, inner = bare_module(model), base_module(model)
    forward = inspect.signature(inner.forward).parameters.values()
    takes = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in forward)
    if not getattr(inner, "accepts_loss_kwargs", takes):
        return False
    with evaluating(module), torch.no_grad():
        once, twice = (float(module(**batch, num_items_in_batch=torch.tensor(count)).loss) for count in (1.0, 2.0))
    return abs(once - twice) <= 1e-3 * abs(once)
