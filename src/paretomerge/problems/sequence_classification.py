"""`Problem`s of a Hugging Face classifier: one class per text, all tasks with the same head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike

from paretomerge.errors import DataError
from paretomerge.problems.batches import Encoded
from paretomerge.problems.labels import Labels, read_labels
from paretomerge.problems.models import BuildModel, read_model
from paretomerge.problems.split_batches import SplitBatches, require_sizes
from paretomerge.problems.splits import Source, Splitting, read_splits
from paretomerge.problems.tables import Table
from paretomerge.problems.tokens import Tokens
from paretomerge.types import Problem


def sequence_classification_problem(
    model: str | PathLike[str],
    data: Mapping[str, Source],
    *,
    text: str = "text",
    text_pair: str | None = None,
    label: str = "label",
    labels: Sequence[str | int] | None = None,
    max_length: int = 128,
    batch_size: int = 32,
    examples: int | None = None,
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
    split_seed: int = 0,
) -> Problem:
    """A problem of classifying texts, from a model's folder and rows of examples.

    Labels are the head's own names (`label2id` in the model's configuration), class indices, or, where the head has
    no names, the labels of all tasks in sorted order. Rows and labels are read and checked now, texts are tokenized
    when a split is first used.

    Args:
        model: the folder of the base, with `config.json` and tokenizer. Its weights are not read.
        data: task → a folder with `training`, `validation` and `test`, each `.jsonl`, `.json`, `.csv`, `.tsv`,
            `.parquet` (or parts of such) or a data set that `save_to_disk` wrote; one of these alone, which is shared
            out; rows (mappings of columns to values) in memory; or split → file or rows.
        text: the column of the text.
        text_pair: the column of a second text, for pairs.
        label: the column of the label.
        labels: names of the outputs in their order, where the configuration has none or others.
        max_length: tokens of a text at most; longer ones are cut, with a warning.
        batch_size: texts per batch of curvature and evaluation.
        examples: of every task and split at most, a random sample; all when `None`.
        shares: of training, validation and test where a task comes as one file. Texts that occur twice stay together.
        split_seed: of the shares and of the order of examples.

    Raises:
        DataError: missing columns, broken files, labels that are not the head's, texts that are none.
        CheckpointError: no such model, or one without a classifier's head.
        MissingExtraError: transformers is not installed (when the problem is first used).
    """
    require_sizes(max_length=max_length, batch_size=batch_size)
    folder = read_model(model)
    folder.require("SequenceClassification")
    how = Splitting(tuple(shares), split_seed, examples)  # type: ignore[arg-type]
    tables = {task: read_splits(task, source, text, "text", how) for task, source in data.items()}
    every = [table for splits in tables.values() for table in splits.values()]
    meant = read_labels(tables, label, folder.head, labels)
    for table in every:
        table.texts(text, "text")
        if text_pair is not None:
            table.texts(text_pair, "text_pair")
    encode = _LabelledTexts(text, text_pair, meant, Tokens(folder, max_length))
    texts = SplitBatches(tables, encode, folder.padding, batch_size)
    return Problem(tuple(data), BuildModel(folder.path.absolute(), "SequenceClassification"), texts)


@dataclass(frozen=True, eq=False)
class _LabelledTexts:
    """Texts with a label each, encoded."""

    text: str
    text_pair: str | None
    labels: Labels
    tokens: Tokens

    def __call__(self, table: Table, source: str) -> Encoded:
        pairs = table.texts(self.text_pair, "text_pair") if self.text_pair is not None else None
        rows, segments = self.tokens.whole(table.texts(self.text, "text"), pairs, source)
        for number, row in enumerate(rows):
            if not row:
                raise DataError(f"{table.place(number)}: the tokenizer makes no token of {self.text!r}: remove the row")
        return Encoded(rows, self.labels.outputs(table), segments)
