"""The names in an adapter's file: which pair of matrices belongs to which tensor of the base.

peft writes `base_model.model.<module>.lora_A.weight`, sometimes with the name of the adapter before `weight`;
`<module>` is a module of the model it was trained on. A base saved from another class of the same model has
another prefix: `bert.encoder…` in a classifier is `encoder…` in the bare encoder. One prefix, the same for all
targets, may be added or removed; anything less clear is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from paretomerge.checkpoints.adapters.config import MERGE_WITH_PEFT
from paretomerge.errors import CheckpointError

PEFT_PREFIX = "base_model.model."
WRAPPER_WORDS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")

OUTPUT_LAYERS = ("lm_head", "embed_out", "decoder", "output_projection")
"""Modules that a checkpoint leaves out when they share the weight of the embedding."""

_PART = re.compile(
    r"^(?:(?P<module>.+)\.)?(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)"
    r"(?:\.(?P<adapter>(?!weight$|bias$)[^.]+))?(?:\.(?P<leaf>weight|bias))?$"
)


@dataclass(frozen=True)
class AdapterNames:
    """What an adapter's file holds; every value is a name in the file.

    Fields:
        down, up: module to `A` `[r, inputs]` and `B` `[outputs, r]`.
        magnitudes: module to the `m` of DoRA.
        embeddings: those modules of `down` that are embeddings.
        whole: name of a tensor in the model to the tensor that replaces it.
    """

    down: dict[str, str] = field(default_factory=dict)
    up: dict[str, str] = field(default_factory=dict)
    magnitudes: dict[str, str] = field(default_factory=dict)
    embeddings: set[str] = field(default_factory=set)
    whole: dict[str, str] = field(default_factory=dict)


def sort_names(path: Path, names: Iterable[str]) -> AdapterNames:
    """Sort the names of an adapter's file by what they are; `path` is for messages.

    Raises:
        CheckpointError: several adapters in one file, a matrix without its partner, or LoRA on a bias.
    """
    found = AdapterNames()
    adapters: set[str] = set()
    for name in names:
        bare = bare_name(name)
        matched = _PART.match(bare)
        if matched is None:
            found.whole[bare.replace(".base_layer.", ".")] = name
            continue
        if matched["leaf"] == "bias":
            raise CheckpointError(f"{path}: {name!r} is a bias of B (lora_bias): {MERGE_WITH_PEFT}")
        adapters.add(matched["adapter"] or "")
        _add(found, matched["module"] or "", matched["part"], name)
    if len(adapters) > 1:
        raise CheckpointError(
            f"{path}: holds several adapters ({', '.join(sorted(map(repr, adapters)))}): save each one alone, with "
            "save_pretrained(folder, selected_adapters=[name])"
        )
    _require_pairs(path, found)
    return found


def bare_name(held: str) -> str:
    """A name in an adapter's file without what peft and wrappers of modules add to it."""
    bare = held.removeprefix(PEFT_PREFIX)
    for word in WRAPPER_WORDS:
        bare = bare.replace(word, "")
    return bare


def module_of(held: str) -> str:
    """The module that a matrix of an adapter's file belongs to.

    >>> module_of("base_model.model.encoder.query.lora_A.weight")
    'encoder.query'
    """
    matched = _PART.match(bare_name(held))
    return (matched["module"] or "") if matched else ""


def _add(found: AdapterNames, module: str, part: str, name: str) -> None:
    if part == "lora_magnitude_vector":
        found.magnitudes[module] = name
        return
    if part.startswith("lora_embedding"):
        found.embeddings.add(module)
    (found.down if part.endswith("A") else found.up)[module] = name


def _require_pairs(path: Path, found: AdapterNames) -> None:
    if not found.down and not found.up and not found.whole:
        raise CheckpointError(f"{path}: holds no tensors: save the adapter again")
    alone = sorted(found.down.keys() ^ found.up.keys()) or sorted(found.magnitudes.keys() - found.down.keys())
    if alone:
        raise CheckpointError(
            f"{path}: {alone[0]!r} has only one of the matrices A and B: the file is incomplete; save it again "
            "(from all machines, if the training was sharded)"
        )


def renaming_to_base(path: Path, modules: Collection[str], held: Collection[str]) -> Callable[[str], str]:
    """How names of the adapter's model become names of the base.

    Args:
        path: the adapter, for messages.
        modules: the modules with matrices; the base must have `<module>.weight` of each after renaming.
        held: the names of the base.

    Raises:
        CheckpointError: the base lacks a target, or several prefixes fit.
    """
    wanted = [f"{module}.weight" if module else "weight" for module in modules]
    known = set(held)
    if all(name in known for name in wanted):
        return _keep
    removed = _removable(wanted, known)
    if removed:
        return lambda name: name.removeprefix(removed)
    added = [
        prefix
        for prefix in sorted(name[: -len(wanted[0])] for name in known if name.endswith(f".{wanted[0]}"))
        if all(prefix + name in known for name in wanted)
    ]
    if len(added) > 1:
        raise CheckpointError(
            f"{path}: the base has its targets under several prefixes ({', '.join(map(repr, added))}), and nothing "
            f"says which one is meant: {MERGE_WITH_PEFT}"
        )
    if added:
        return lambda name: added[0] + name if added[0] + name in known else name
    raise CheckpointError(_lacking(path, wanted, known))


def _keep(name: str) -> str:
    return name


def _removable(wanted: list[str], known: set[str]) -> str:
    """The leading words of all targets without which the base has them all; empty if there are none."""
    words = wanted[0].split(".")
    for count in range(1, len(words) - 1):
        prefix = ".".join(words[:count]) + "."
        if all(name.startswith(prefix) and name.removeprefix(prefix) in known for name in wanted):
            return prefix
    return ""


def _lacking(path: Path, wanted: list[str], known: set[str]) -> str:
    missing = [name for name in wanted if name not in known]
    if all(name.split(".")[-2:][0] in OUTPUT_LAYERS for name in missing):
        return (
            f"{path}: the adapter changes {missing[0]!r}, which the base has not: its output layer is tied to the "
            "embedding. Save the base with the output layer of its own (tie_word_embeddings=False), and give that"
        )
    close = get_close_matches(missing[0], known, n=1, cutoff=0.6)
    return (
        f"{path}: the base lacks {len(missing)} of the {len(wanted)} tensors that the adapter changes, for example "
        f"{missing[0]!r}{f' (the nearest is {close[0]!r})' if close else ''}: it is another model; give the base that "
        "the adapter was trained on"
    )
