"""The evaluator of a recipe that is a command: models are written for it as an export writes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from paretomerge.checkpoints import Checkpoint, write_checkpoint
from paretomerge.evaluation import CommandEvaluator
from paretomerge.exports import complete_side_files
from paretomerge.recipes import CommandSection
from paretomerge.types import Params, Split

_LARGEST_SOURCE = 50_000_000
"""Bytes of a file named in a command above which only size and time of change tell it."""


@dataclass(frozen=True, eq=False)
class WriteModel:
    """`(params, folder)`: a Hugging Face folder with the side files of the base, as `export` writes it.

    What no merge touches (counters, masks) is the base's.
    """

    base: Checkpoint
    side_files: tuple[Path, ...]

    def __call__(self, params: Params, folder: Path) -> Path:
        """Write.

        Raises:
            CheckpointError: parameters of another architecture.
            StorageError: the disk refused.
        """
        specs = {name: self.base.spec(name) for name in self.base}
        return write_checkpoint(folder, specs, self._blocks(params), side_files=self.side_files)

    def _blocks(self, params: Params) -> Iterator[tuple[str, Tensor]]:
        for name in params:
            yield name, params[name]
        for name in self.base:
            if name not in params and not self.base.spec(name).is_mergeable:
                yield name, self.base[name]


def command_evaluator(
    section: CommandSection, split: Split, base: Checkpoint, finetunes: Mapping[str, Checkpoint]
) -> CommandEvaluator:
    """The evaluator of a section.

    Raises:
        InputError: a program that is not there.
    """
    files, _ = complete_side_files(base, finetunes)
    folder = None if section.folder is None else Path(section.folder)
    return CommandEvaluator(section.words, WriteModel(base, files), split, section.timeout, section.retries, folder)


def command_digest(section: CommandSection, split: Split) -> str:
    """What scores of a command depend on besides the model: its words, and the files that these name.

    What the program reads or imports besides is not seen: name it in the command, or change the words.
    """
    words = [str(word) for word in section.words]
    digest = hashlib.sha256(json.dumps([words, split if uses_split(section) else ""]).encode())
    folder = Path(section.folder or ".")
    for word in words:
        # A file may follow an equals sign (`--data=rows.csv`), and `sh -c` has a whole line in one word.
        for part in word.replace("=", " ").split() if section.shell else {word, word.rpartition("=")[2]}:
            digest.update(_content(folder / part))
    return digest.hexdigest()


def uses_split(section: CommandSection) -> bool:
    """Whether the command is told which split it scores."""
    return any("{split}" in word or "PARETOMERGE_SPLIT" in word for word in section.words)


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            return b""
        if path.stat().st_size > _LARGEST_SOURCE:
            return f"{path.stat().st_size} {path.stat().st_mtime_ns}".encode()
        return hashlib.sha256(path.read_bytes()).digest()
    except (OSError, ValueError):
        return b""
