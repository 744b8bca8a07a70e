"""What `adapter_config.json` of peft says about a LoRA adapter, and which of its options can be applied exactly.

LoRA (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021) replaces a weight `W` by
`W + s·B·A` with `s = α / r`. rsLoRA (Kalajdzievski, "A Rank Stabilization Scaling Factor for Fine-Tuning with
LoRA", 2023) has `s = α / √r`. `rank_pattern` and `alpha_pattern` give some modules an `r` or `α` of their own.

Options that change what an adapter means are refused unless they are known here: peft keeps adding some, and
one that is overlooked gives wrong weights without any error.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.errors import CheckpointError

CONFIG = "adapter_config.json"

APPLIED = (
    *("peft_type", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "bias"),
    *("use_dora", "modules_to_save", "base_model_name_or_path", "init_lora_weights"),
)
WITHOUT_EFFECT = (  # on the weights after training
    *("task_type", "revision", "inference_mode", "lora_dropout", "peft_version", "auto_mapping", "runtime_config"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "megatron_core"),
    *("eva_config", "loftq_config", "corda_config", "lora_ga_config", "qalora_group_size", "ensure_weight_tying"),
    *("velora_config",),  # compresses what the backward pass keeps
)
REFUSED = {
    "layer_replication": "layers of the base are used several times, so the result is another architecture",
    "lora_bias": "it also changes biases by a bias of B",
    "trainable_token_indices": "it also retrains single rows of the embedding",
    "target_parameters": "it changes parameters such as fused experts, which are not weights of linear layers",
    "use_qalora": "it was trained on pooled inputs of a quantised base",
    "use_bdlora": "its matrices are block-diagonal",
    "alora_invocation_tokens": "it is active for some tokens only",
    "arrow_config": "it chooses among adapters for every token",
    "kasa_config": "it changes the base as well",
    "monteclora_config": "its matrices are random variables",
    "megatron_config": "its matrices are split over machines",
}
PLAIN_INITIALISATIONS = (True, False, None, "gaussian", "eva", "orthogonal", "mica")
"""`init_lora_weights` that leave the base as it is; pissa, olora, corda, loftq and lora_ga subtract from it."""

_ESCAPED = re.compile(r"\\.|\[(?:\\.|[^\\\]])*\]", re.DOTALL)  # single characters and sets of them
_REPEATED = re.compile(r"[*+{]")
_NESTED = re.compile(r"\)[*+{]")
_REFERENCE = re.compile(r"\\[1-9]|\(\?P=|\(\?\(")  # to what a group has matched
MOST_FREE_PARTS = 8
MOST_STEPS = 1e9
LARGEST_ALPHA = 1e30  # what is larger overflows in float32

MERGE_WITH_PEFT = "merge it with peft instead (PeftModel.from_pretrained, merge_and_unload, save_pretrained)"


@dataclass(frozen=True)
class AdapterConfig:
    """The settings of one adapter that its weights depend on.

    Fields:
        folder: where it was read.
        rank, alpha: `r` and `α` of modules that no pattern names.
        rank_pattern, alpha_pattern: regular expression on the end of a module's name to `r` or `α`.
        stabilised: whether `s = α / √r` (rsLoRA).
        transposed: whether weights are stored as `[inputs, outputs]` (`fan_in_fan_out`, Conv1D of GPT-2), where
            their shape does not show it.
        magnitudes: whether `lora_magnitude_vector` belongs to each target (DoRA).
        replaced: names of modules that are saved whole (`modules_to_save`).
        base: name or path of the base, as written.
    """

    folder: Path
    rank: int
    alpha: float
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    stabilised: bool
    transposed: bool
    magnitudes: bool
    replaced: tuple[str, ...]
    base: str | None

    def rank_of(self, module: str) -> int:
        """`r` of a module, by its name in the model that the adapter was trained on."""
        return _matching(self.rank_pattern, module, self.rank)

    def require_quick(self, modules: Iterable[str]) -> None:
        """Raise `CheckpointError` for patterns that could keep the search for a module's rank busy forever.

        A search tries every way to share out the letters among the parts of a pattern that may be of any length: with
        `u` of them, and the dot before it, about `n^(u + 1) / (u + 1)!` ways for a name of `n` letters. Where such a
        part lies within another, their number doubles with every letter.
        """
        lengths = [len(module) for module in modules]
        steps = 0.0
        for expression in (*self.rank_pattern, *self.alpha_pattern):
            bare = _ESCAPED.sub("", expression)
            free = len(_REPEATED.findall(bare)) + 1
            steps += sum(length**free / math.factorial(free) for length in lengths)
            if _NESTED.search(bare) or _REFERENCE.search(expression) or free > MOST_FREE_PARTS or steps > MOST_STEPS:
                raise CheckpointError(
                    f"{self.folder / CONFIG}: the pattern {_short(expression)} could take forever to search for: write "
                    "the names of the modules instead"
                )

    def scale_of(self, module: str) -> float:
        """`s` of a module: `α / r`, or `α / √r` for rsLoRA."""
        rank, alpha = self.rank_of(module), _matching(self.alpha_pattern, module, self.alpha)
        return alpha / math.sqrt(rank) if self.stabilised else alpha / rank


def read_adapter_config(folder: Path) -> AdapterConfig:
    """Read `adapter_config.json`.

    Raises:
        CheckpointError: not such a file, not LoRA, or with an option that cannot be applied exactly.
        StorageError: the disk refused to read.
    """
    return parse_adapter_config(folder, read_adapter_json(folder))


def parse_adapter_config(folder: Path, found: Mapping[str, Any]) -> AdapterConfig:
    """The same from its content; `folder` is for messages.

    Raises:
        CheckpointError: as `read_adapter_config`.
    """
    _require_supported(folder, found)
    try:
        ranks = {str(key): int(value) for key, value in (found.get("rank_pattern") or {}).items()}
        alphas = {str(key): float(value) for key, value in (found.get("alpha_pattern") or {}).items()}
        alpha = float(found["lora_alpha"])
        if min(int(found["r"]), *ranks.values(), 1) < 1 or not all(
            abs(number) <= LARGEST_ALPHA for number in (alpha, *alphas.values())
        ):
            raise ValueError
        return AdapterConfig(
            folder=folder,
            rank=int(found["r"]),
            alpha=alpha,
            rank_pattern=ranks,
            alpha_pattern=alphas,
            stabilised=bool(found.get("use_rslora")),
            transposed=bool(found.get("fan_in_fan_out")),
            magnitudes=bool(found.get("use_dora")),
            replaced=_texts(found.get("modules_to_save") or ()),
            base="".join(_texts(found.get("base_model_name_or_path") or "")) or None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{folder / CONFIG}: 'r', 'lora_alpha' or a pattern is missing or not a positive number, or a name is not "
            "text: copy the folder again"
        ) from error


def read_adapter_json(folder: Path) -> dict[str, Any]:
    """The JSON object in `adapter_config.json`, as it is.

    Raises:
        CheckpointError: not a JSON object.
        StorageError: the disk refused to read.
    """
    with storage_errors(folder / CONFIG, "read"):
        raw = (folder / CONFIG).read_bytes()
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CheckpointError(f"{folder / CONFIG}: not a JSON object: copy or download the adapter again")
    return found


def _require_supported(folder: Path, found: Mapping[str, Any]) -> None:
    kind = found.get("peft_type")
    if kind != "LORA":
        raise CheckpointError(
            f"{folder}: an adapter of the kind {kind!r}, only LORA can be applied here: {MERGE_WITH_PEFT}"
        )
    initial = found.get("init_lora_weights", True)
    if (initial.lower() if isinstance(initial, str) else initial) not in PLAIN_INITIALISATIONS:
        raise CheckpointError(
            f"{folder}: the adapter started from {initial!r}, which changes the base too, so it does not fit the base "
            "as it was: save it with save_pretrained(folder, path_initial_model_for_weight_conversion=...), which "
            f"makes it a plain LoRA adapter, or {MERGE_WITH_PEFT}"
        )
    for key, value in found.items():
        if not value or key in APPLIED or key in WITHOUT_EFFECT:
            continue
        why = REFUSED.get(key, "an option this version does not know")
        raise CheckpointError(f"{folder}: the adapter has {key} = {_short(value)}: {why}; {MERGE_WITH_PEFT}")


def _texts(value: object) -> tuple[str, ...]:
    """One text, or a list of them."""
    found = (value,) if isinstance(value, str) else tuple(value)  # type: ignore[arg-type]
    if not all(isinstance(text, str) for text in found):
        raise TypeError
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]} …"


def _matching(pattern: Mapping[str, Any], module: str, default: Any) -> Any:
    """The value of the first expression that matches the end of the name, from its start or after a dot."""
    for expression, value in pattern.items():
        try:
            if re.match(rf"(.*\.)?({expression})$", module):
                return value
        except re.error as error:
            raise CheckpointError(f"the pattern {expression!r} of the adapter is not a regular expression") from error
    return default
