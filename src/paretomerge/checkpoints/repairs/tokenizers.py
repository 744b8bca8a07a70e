"""Making the vocabularies of base and finetunes one: what `--tokenizer base` and `--tokenizer union` do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.checkpoints.checkpoint import Checkpoint
from paretomerge.checkpoints.findings import Finding
from paretomerge.checkpoints.repairs.token_rows import RowPlan, TokenTensors, plan_rows
from paretomerge.checkpoints.repairs.vocabulary import (
    TOKENIZER_FILES,
    Vocabulary,
    embedding_rows,
    has_token_rows,
    read_vocabulary,
)
from paretomerge.checkpoints.views import NamedTensors, view_like
from paretomerge.errors import AlignmentError, CheckpointError

TokenizerChoice = Literal["base", "union"]

FURTHEST_APPENDED = 0.5
"""Without vocabularies, rows are taken to be appended only if the rows before them are those of the base: closer than
this relative to the base's. Finetunes are usually below 0.1; rows of other tokens are at about √2."""


@dataclass(frozen=True, eq=False)
class OneVocabulary:
    """Base and finetunes whose embeddings have the same rows, and the files that a merged model needs with them."""

    base: Checkpoint
    finetunes: dict[str, Checkpoint]
    side_files: tuple[Path, ...]
    texts: dict[str, str] = field(default_factory=dict)
    notes: tuple[Finding, ...] = ()


def unify_vocabularies(base: Checkpoint, finetunes: Mapping[str, Checkpoint], choice: TokenizerChoice) -> OneVocabulary:
    """Give all embeddings the rows of one vocabulary.

    Args:
        base: the base.
        finetunes: task → finetune, with the base's names.
        choice: `"base"`, the base's vocabulary; `"union"`, that of the model whose vocabulary contains all others.

    Raises:
        AlignmentError: vocabularies that are needed and cannot be read, do not fit their embedding, or have no union.
        StorageError: the disk refused to read.
    """
    counts = {"": _rows_of(base, "the base"), **{task: _rows_of(tune, task) for task, tune in finetunes.items()}}
    models = {"": base, **finetunes}
    known = {name: _vocabulary_of(model, counts[name], name) for name, model in models.items()}
    notes: list[Finding] = []
    for name, vocabulary in known.items():
        if vocabulary is None and known[""] is not None and counts[name] == counts[""]:
            known[name] = known[""]  # weights without a tokenizer: as many rows, so the same tokens
    readable = {name: vocabulary for name, vocabulary in known.items() if vocabulary is not None}
    if len(readable) < len(models):
        if choice == "union":
            raise _unreadable([name for name in models if name not in readable], "union")
        plans = _plans_by_number(base, finetunes, counts, notes)
        widest = ""
    else:
        widest = _widest(readable) if choice == "union" else ""
        own, others = plan_rows(
            readable[widest].rows,
            counts[widest],
            (readable[""].rows, counts[""]),
            {task: (readable[task].rows, counts[task]) for task in finetunes},
        )
        plans = {"": own, **others}
        for name in models:  # one that fits already keeps its padding too
            if counts[name] == counts[widest] and readable[name].rows == readable[widest].rows:
                del plans[name]
    files = _side_files(base, models[widest])
    changed = {
        name: _with_rows(model, counts[name], plans.get(name), base, finetunes, files) for name, model in models.items()
    }
    texts = _config_texts(files, counts[""], counts[widest])
    kept = tuple(file for file in files if file.name not in texts)
    return OneVocabulary(changed.pop(""), changed, kept, texts, tuple(notes))


def change_vocabulary_size(config: Any, before: int, after: int) -> Any:
    """The same configuration with another `vocab_size`, also in its parts (`text_config`)."""
    if not isinstance(config, dict):
        return config
    return {
        key: after if key == "vocab_size" and value == before else change_vocabulary_size(value, before, after)
        for key, value in config.items()
    }


def _rows_of(model: Checkpoint, who: str) -> int:
    rows = embedding_rows(model)
    if rows is None:
        raise AlignmentError(
            f"--tokenizer: no token embedding found in {who!r}: none of its tensors has one of the usual names "
            "(embed_tokens.weight, word_embeddings.weight, wte.weight, shared.weight …)"
        )
    return rows


def _vocabulary_of(model: Checkpoint, rows: int, task: str) -> Vocabulary | None:
    try:
        vocabulary = read_vocabulary(model.side_files)
    except CheckpointError as error:
        raise AlignmentError(f"--tokenizer: {error}") from error
    if vocabulary is not None and vocabulary.needed > rows:
        raise AlignmentError(
            f"--tokenizer: {task or 'base'}: {vocabulary.file.name} has tokens up to row {vocabulary.needed - 1}, but "
            f"the embedding has {rows} rows: the tokenizer belongs to another model, or the embedding was not resized"
        )
    return vocabulary


def _widest(vocabularies: Mapping[str, Vocabulary]) -> str:
    """Whose vocabulary contains all others; the base's where several do."""
    largest = max(vocabularies, key=lambda name: len(vocabularies[name].rows))
    for name, vocabulary in vocabularies.items():
        lacking = [token for token in vocabulary.rows if token not in vocabularies[largest].rows]
        if lacking:
            shown = ", ".join(map(repr, lacking[:5]))
            raise AlignmentError(
                f"--tokenizer union: no vocabulary contains all others: {largest or 'base'!r} has the most tokens, but "
                f"lacks {len(lacking)} of {name or 'base'!r} ({shown}{' …' if len(lacking) > 5 else ''}). A tokenizer "
                "that knows them all would have to be made first; --tokenizer base keeps the base's"
            )
    return largest


def _unreadable(names: list[str], choice: str) -> AlignmentError:
    return AlignmentError(
        f"--tokenizer {choice}: the vocabulary of {', '.join(repr(name or 'base') for name in names)} cannot be read: "
        "there is no tokenizer.json, vocab.json or vocab.txt beside the weights. Which row belongs to which token is "
        "not known; copy the tokenizer's files into the folder"
    )


def _plans_by_number(
    base: Checkpoint, finetunes: Mapping[str, Checkpoint], counts: Mapping[str, int], notes: list[Finding]
) -> dict[str, RowPlan]:
    """The first rows of each finetune, where they are the base's rows and others were appended or cut off."""
    count = counts[""]
    everyone = {str(row): row for row in range(count)}
    models = {task: ({str(row): row for row in range(min(count, counts[task]))}, counts[task]) for task in finetunes}
    for task, tune in finetunes.items():
        if counts[task] == count:
            continue
        distance = _distance_of_first_rows(base, tune, min(count, counts[task]))
        if distance is None or distance > FURTHEST_APPENDED:
            raise _unreadable([task], "base")
        message = (
            f"its vocabulary cannot be read, {counts[task]} rows against {count} of the base: the first "
            f"{min(count, counts[task])} rows are taken to be the same tokens (they are at relative distance "
            f"{distance:.3g}), the others are left out"
        )
        notes.append(Finding("warning", "vocabulary", task, None, message))
    _, others = plan_rows(everyone, count, (everyone, count), models)
    return {task: plan for task, plan in others.items() if counts[task] != count}


def _distance_of_first_rows(base: Checkpoint, tune: Checkpoint, count: int) -> float | None:
    for name in base:
        if name in tune and has_token_rows(name, base.spec(name), embedding_rows(base)):
            first, second = base[name][:count].to(torch.float32), tune[name][:count].to(torch.float32)
            if first.shape != second.shape or not bool(first.any()):
                return None
            return float((second - first).norm() / first.norm())
    return None


def _with_rows(
    model: Checkpoint,
    rows: int,
    plan: RowPlan | None,
    base: Checkpoint,
    others: Mapping[str, Checkpoint],
    files: tuple[Path, ...],
) -> Checkpoint:
    """`model` with the rows of `plan`, or with its own; its tokenizer is that of the merged model."""
    if plan is None:
        return view_like(model, (NamedTensors({name: (model, name) for name in model}),), files)
    names = [name for name in model if has_token_rows(name, model.spec(name), rows)]
    changed = TokenTensors(model, names, plan, base, others)
    held = Checkpoint((changed,))
    where = {name: (held if name in changed.names else model, name) for name in model}
    return view_like(model, (NamedTensors(where),), files)


def _side_files(base: Checkpoint, widest: Checkpoint) -> tuple[Path, ...]:
    """The base's files, with the tokenizer of `widest`."""
    if widest is base:
        return base.side_files
    kept = [file for file in base.side_files if file.name not in TOKENIZER_FILES]
    return (*kept, *(file for file in widest.side_files if file.name in TOKENIZER_FILES))


def _config_texts(files: tuple[Path, ...], before: int, after: int) -> dict[str, str]:
    """`config.json` with the new number of rows, if that changed."""
    for file in files:
        if file.name == "config.json" and before != after:
            with storage_errors(file, "read"):
                try:
                    config = json.loads(file.read_text(encoding="utf-8"))
                except (ValueError, RecursionError) as error:
                    raise CheckpointError(f"{file} cannot be read as JSON: {error}. Copy it again") from error
            return {file.name: json.dumps(change_vocabulary_size(config, before, after), indent=2) + "\n"}
    return {}
