"""All kinds of hostile inputs, with how many of each the whole search tries."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.hostile import checkpoint_kinds, run_kinds
from tests.hostile.contract import SECRET_WORD, BrokenPromiseError, outcome_of

Use = Callable[[], object]


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Args:
        title: for people.
        make: writes an input into a folder, and gives back its use.
        count: how many the whole search tries.
    """

    title: str
    make: Callable[[random.Random, Path], Use]
    count: int


KINDS: dict[str, Kind] = {
    "safetensors": Kind("safetensors files", checkpoint_kinds.safetensors, 3000),
    "index": Kind("index of shards", checkpoint_kinds.index, 1500),
    "pickle": Kind("pickled checkpoints", checkpoint_kinds.torch_pickle, 1500),
    "optimizer": Kind("optimizer states", checkpoint_kinds.optimizer_state, 300),
    "gguf": Kind("GGUF files", checkpoint_kinds.gguf, 1500),
    "adapter": Kind("LoRA adapters", checkpoint_kinds.adapter, 1000),
    "side_files": Kind("configurations, tokenizers, links", checkpoint_kinds.side_files, 600),
    "posterior": Kind("posterior files", checkpoint_kinds.posterior, 1500),
    "recipe": Kind("recipes", run_kinds.recipe, 1500),
    "mergekit": Kind("mergekit configurations", run_kinds.mergekit, 1000),
    "journal": Kind("journals", run_kinds.journal, 800),
    "run_folder": Kind("run folders", run_kinds.run_folder, 200),
    "manifest": Kind("manifests", run_kinds.manifest, 500),
    "training": Kind("training checkpoints", run_kinds.training_state, 300),
    "scores": Kind("scores of evaluators", run_kinds.scores, 800),
    "printed": Kind("output of commands", run_kinds.printed, 800),
    "words": Kind("words on the command line", run_kinds.words, 1500),
}


def prepare(folder: Path) -> Path:
    """A folder for inputs, beside files that none of them may read."""
    secret = folder / SECRET_WORD
    secret.mkdir(parents=True, exist_ok=True)
    (secret / "tokenizer.json").write_text("{}", encoding="utf-8")
    (secret / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    return folder


def try_inputs(name: str, count: int, folder: Path, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """Try `count` inputs of a kind; how many were accepted and refused, and what went wrong with which."""
    prepare(folder)
    found: Counter[str] = Counter()
    broken = []
    for number in range(count):
        place = folder / "input"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        generator = random.Random(f"{name}|{seed}|{number}")
        use = KINDS[name].make(generator, place)
        try:
            found[outcome_of(use, place)] += 1
        except BrokenPromiseError as error:
            found["broken"] += 1
            broken.append(f"{name} {number}: {error}")
    return found, broken
