"""A base for finetunes that started from a bare encoder: its weights, and a head that none of them started from.

`AutoModelForSequenceClassification.from_pretrained("encoder")` gives every finetune a head of random numbers. Merging
needs one base with all the tensors of the finetunes. For tensors that the encoder lacks it takes their average,

    θ_0[head] = (1/T) Σ_t θ_t[head],

which is where a merge with equal weights starts from anyway, so that no task is favoured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from paretomerge.checkpoints import Checkpoint, write_checkpoint
from paretomerge.checkpoints.preflight.structure import LEAST_IN_COMMON
from paretomerge.checkpoints.repairs.renaming import find_rules, rename_all
from paretomerge.errors import CheckpointError
from paretomerge.stages.drafting.finetunes import Finetune
from paretomerge.types import TensorSpec

TOKENIZER_FILES = ("tokenizer", "vocab", "merges", "spiece", "sentencepiece", "special_tokens", "added_tokens")


@dataclass(frozen=True, eq=False)
class NewBase:
    """A base that is to be written.

    Args:
        specs: shape and dtype of its tensors, as the finetunes have them.
        taken: name → name in the given base, for the tensors that it has.
        averaged: names of the others, which are the average of the finetunes'.
        base, finetunes: where values are from.
        config: `config.json` of the finetunes.
        side_files: files of the tokenizer.
    """

    specs: Mapping[str, TensorSpec]
    taken: Mapping[str, str]
    averaged: tuple[str, ...]
    base: Checkpoint
    finetunes: Mapping[str, Checkpoint]
    config: Mapping[str, object]
    side_files: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        """Its size on disk."""
        return sum(spec.nbytes for spec in self.specs.values())

    @property
    def reason(self) -> str:
        """Why it is needed and what it is, in a sentence or two."""
        name = self.base.address or (self.base.source.name if self.base.source is not None else "the base")
        if not self.averaged:
            return f"the tensors of {name} have other names than those of the finetunes; it has the values under theirs"
        more = f" and {len(self.averaged) - 4} more" if len(self.averaged) > 4 else ""
        return (
            f"{name} lacks {', '.join(self.averaged[:4])}{more}, which all finetunes have: each got random numbers "
            f"there when it was loaded. The new base takes the finetunes' average for them, and the rest from {name}. "
            "Next time, save one base that has the head and start all finetunes from it: then nothing is averaged"
        )

    def write(self, folder: Path, overwrite: bool = False) -> Path:
        """Write it as a Hugging Face folder.

        Raises:
            CheckpointError: the folder is not empty.
            StorageError: the disk refused.
        """
        return write_checkpoint(
            folder,
            self.specs,
            self._blocks(),
            side_files=self.side_files,
            texts={"config.json": json.dumps(self.config, indent=2) + "\n"},
            metadata={"format": "pt"},
            manifest={
                "made_by": "paretomerge init",
                "base": str(self.base.source),
                "averaged": list(self.averaged),
                "finetunes": {task: str(tune.source) for task, tune in self.finetunes.items()},
            },
            overwrite=overwrite,
        )

    def _blocks(self) -> Iterator[tuple[str, Tensor]]:
        for name, spec in self.specs.items():
            if name in self.taken:
                yield name, self.base[self.taken[name]].to(spec.dtype)
            else:
                heads = [tune[name] for tune in self.finetunes.values()]
                same = heads[0] if not spec.is_mergeable else torch.stack([h.double() for h in heads]).mean(0)
                yield name, same.to(spec.dtype)


def base_with_head(
    base: Checkpoint, finetunes: Mapping[str, Finetune], opened: Mapping[str, Checkpoint]
) -> NewBase | None:
    """The base that has to be written before these finetunes can be merged; `None` where the given one has their head.

    Raises:
        CheckpointError: the finetunes are of another model than the base, or their heads have different shapes.
    """
    first = next(iter(opened.values()))
    renamed = _names_in(base, first)
    taken, lacking = {}, []
    for name in first:
        old = renamed.get(name)
        if old is not None and base.spec(old).shape == first.spec(name).shape:
            taken[name] = old
        else:
            lacking.append(name)
    has_its_names = not lacking and all(name == old for name, old in renamed.items())
    # Tables of another vocabulary are for the pre-flight check to report.
    if has_its_names or any("embed" in name and name in renamed for name in lacking):
        return None
    sizes = {name: first.spec(name).numel for name in first}
    if sum(sizes[name] for name in taken) < LEAST_IN_COMMON * sum(sizes.values()):
        raise CheckpointError(
            f"{base.source} and {first.source} have hardly a tensor in common ({len(taken)} of {len(sizes)}): give the "
            "pretrained model that the finetunes started from as the base"
        )
    _require_same_heads(lacking, opened)
    source = next(iter(finetunes.values()))
    named = next((tune for tune in finetunes.values() if tune.outputs), source)
    labels = {key: named.config[key] for key in ("id2label", "label2id") if key in named.config}
    specs = {name: first.spec(name) for name in first}
    side_files = _tokenizer(base) or next((found for tune in opened.values() if (found := _tokenizer(tune))), ())
    return NewBase(specs, taken, tuple(lacking), base, opened, {**source.config, **labels}, side_files)


def _require_same_heads(names: Sequence[str], opened: Mapping[str, Checkpoint]) -> None:
    (first, one), *others = opened.items()
    for task, other in others:
        for name in names:
            shape = one.spec(name).shape
            if name not in other or other.spec(name).shape != shape:
                seen = list(other.spec(name).shape) if name in other else "not there"
                raise CheckpointError(
                    f"the head tensor {name!r} is {list(shape)} in {first} and {seen} in {task}: heads with other "
                    "classes cannot be merged. Finetune with one head for all tasks, or merge the encoders alone "
                    "(paretomerge merge --private)"
                )


def _names_in(base: Checkpoint, finetune: Checkpoint) -> dict[str, str]:
    """Name in the finetune → name in the base, by prefixes where it was saved from another class."""
    extra = [name for name in base if name not in finetune]
    missing = [name for name in finetune if name not in base]
    rules = find_rules("base", missing, extra, list(base)) if extra and missing else ()
    renamed = rename_all(base, rules, "base") if rules else {name: name for name in base}
    return {name: old for name, old in renamed.items() if name in finetune}


def _tokenizer(checkpoint: Checkpoint) -> tuple[Path, ...]:
    """The files of a tokenizer beside a model."""
    return tuple(file for file in checkpoint.side_files if file.name.startswith(TOKENIZER_FILES))
