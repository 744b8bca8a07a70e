"""The small files beside the weights, completed: configuration, generation settings, tokenizer, preprocessor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from paretomerge.checkpoints import Checkpoint

KINDS: dict[str, tuple[str, ...]] = {
    "configuration": ("config.json",),
    "generation configuration": ("generation_config.json",),
    "tokenizer": (
        *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json"),
        *("added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model"),
        *("chat_template.jinja", "chat_template.json"),
    ),
    "preprocessor": ("preprocessor_config.json", "processor_config.json", "image_processor_config.json"),
}
"""What transformers reads, by what it is for; the files of one kind belong together."""


def complete_side_files(
    base: Checkpoint, finetunes: Mapping[str, Checkpoint]
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The base's side files; of the kinds that it lacks, those of the first finetune that has them.

    Returns:
        The files, and a sentence for every kind that is not from the base.
    """
    files = list(base.side_files)
    said = []
    for kind, names in KINDS.items():
        if any(file.name in names for file in files):
            continue
        for task, finetune in finetunes.items():
            found = [file for file in finetune.side_files if file.name in names]
            if found:
                files += found
                listed = ", ".join(file.name for file in found)
                said.append(f"the base has no {kind}: {listed} is that of the finetune of {task!r}")
                break
    return tuple(files), tuple(said)


def is_tokenizer_file(file: Path) -> bool:
    """Whether a file belongs to the tokenizer: all that an adapter's folder needs beside its configuration."""
    return file.name in KINDS["tokenizer"]
