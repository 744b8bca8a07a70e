"""What an adapter of a merge can hold: the layers that the tasks' adapters change, and what they train whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from paretomerge.checkpoints import Checkpoint
from paretomerge.checkpoints.adapters.config import read_adapter_json
from paretomerge.checkpoints.adapters.low_rank import AdapterTensors, LowRank
from paretomerge.checkpoints.adapters.names import PEFT_PREFIX, bare_name, module_of
from paretomerge.checkpoints.checkpoint import TensorSource
from paretomerge.errors import CheckpointError
from paretomerge.exports.factors import Factors

BIASES = ("none", "lora_only", "all")


@dataclass(frozen=True, eq=False)
class Target:
    """One weight that adapters change.

    Args:
        module: its name in the model that the adapters were trained on.
        transposed: whether the weight is stored as `[inputs, outputs]`.
        embedding: whether it is one, which peft saves under other names.
        shape: of the weight.
        parts: task to the source of its matrices; `None` where its change is not of low rank (DoRA).
    """

    module: str
    transposed: bool
    embedding: bool
    shape: tuple[int, ...]
    parts: Mapping[str, tuple[AdapterTensors, LowRank] | None] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """How many numbers one of the ranks takes: outputs and inputs."""
        rows, columns = self.shape[0], _size(self.shape[1:])
        return rows + columns

    def matrix(self, tensor: Tensor) -> Tensor:
        """A tensor of the weight's shape as `[outputs, inputs]`, float64."""
        flat = tensor.to(torch.float64).reshape(self.shape[0], -1)
        return flat.T if self.transposed else flat

    def factors(self) -> list[Factors] | None:
        """The tasks' own changes; `None` if one of them is not of low rank."""
        found = []
        for part in self.parts.values():
            if part is None:
                return None
            source, low_rank = part
            up = source.adapter.read(low_rank.up).to(torch.float64).flatten(1)
            found.append(Factors(low_rank.scale * up, source.adapter.read(low_rank.down).to(torch.float64).flatten(1)))
        return found

    def named(self, factors: Factors, dtype: torch.dtype) -> dict[str, Tensor]:
        """The two matrices as peft saves them."""
        down, up = factors.down.to(dtype).contiguous(), factors.up.to(dtype).contiguous()
        if len(self.shape) > 2:  # a convolution: A has the kernel, B is one of size 1
            down = down.reshape(factors.rank, *self.shape[1:])
            up = up.reshape(*up.shape, *(1 for _ in self.shape[2:]))
        where = f"{PEFT_PREFIX}{self.module}." if self.module else PEFT_PREFIX
        if self.embedding:
            return {f"{where}lora_embedding_A": down, f"{where}lora_embedding_B": up}
        return {f"{where}lora_A.weight": down, f"{where}lora_B.weight": up}


@dataclass(frozen=True, eq=False)
class AdapterPlan:
    """Names of the base's tensors to what an adapter does with them; all others stay as in the base.

    Args:
        targets: those that matrices change.
        whole: those that are saved whole, to their names in the file.
        configs: what the tasks' `adapter_config.json` say.
    """

    targets: Mapping[str, Target]
    whole: Mapping[str, str]
    configs: Sequence[Mapping[str, Any]]

    def config(self, ranks: Mapping[str, int], base: str) -> dict[str, Any]:
        """`adapter_config.json` for modules of the given ranks: `lora_alpha` is the rank, so that `s = 1`."""
        largest = max(ranks.values(), default=1)
        others = {_exactly(module): rank for module, rank in ranks.items() if rank != largest}
        straight = [target for target in self.targets.values() if len(target.shape) == 2 and not target.embedding]
        biases = [str(config.get("bias") or "none") for config in self.configs]
        return {
            "peft_type": "LORA",
            "task_type": self._agreed("task_type"),
            "base_model_name_or_path": base or self._agreed("base_model_name_or_path"),
            "inference_mode": True,
            "r": largest,
            "lora_alpha": largest,
            "rank_pattern": others,
            "alpha_pattern": others,
            "lora_dropout": 0.0,
            "bias": max(biases, key=lambda bias: BIASES.index(bias) if bias in BIASES else 0, default="none"),
            "fan_in_fan_out": any(target.transposed for target in straight),
            "target_modules": sorted(ranks),
            "modules_to_save": sorted({name for config in self.configs for name in config.get("modules_to_save") or ()})
            or None,
        }

    def _agreed(self, key: str) -> Any:
        """What all tasks' configurations say; `None` if they differ."""
        said = [config.get(key) for config in self.configs]
        return said[0] if said and all(value == said[0] for value in said) else None


def plan_adapter(base: Checkpoint, finetunes: Mapping[str, Checkpoint]) -> AdapterPlan:
    """What the tasks' adapters change.

    Raises:
        CheckpointError: a finetune that is no adapter, or a tensor that is stored transposed in one and not in another.
        StorageError: the disk refused to read a configuration.
    """
    require_adapters(finetunes)
    files = {task: _adapter_file(finetune) for task, finetune in finetunes.items()}
    targets: dict[str, Target] = {}
    whole: dict[str, str] = {}
    for name in base:
        located = {task: finetune.locate(name) for task, finetune in finetunes.items()}
        changing = {
            task: (source, source.changed[inner])
            for task, (source, inner) in located.items()
            if isinstance(source, AdapterTensors) and inner in source.changed
        }
        replaced = [held for task, (source, held) in located.items() if source is files[task]]
        if replaced:  # also where some tasks change it by matrices: whole is exact
            whole[name] = PEFT_PREFIX + bare_name(replaced[0])
        elif changing:
            targets[name] = _target(name, base.spec(name).shape, changing)
    return AdapterPlan(targets, whole, [_read_config(finetune) for finetune in finetunes.values()])


def require_adapters(finetunes: Mapping[str, Checkpoint]) -> None:
    """Raise `CheckpointError` unless every finetune is an adapter."""
    plain = [task for task, finetune in finetunes.items() if not finetune.is_adapter]
    if plain:
        raise CheckpointError(
            f"the finetune of {', '.join(map(repr, plain))} is no adapter but a whole model, so which layers an "
            "adapter of the merge should change is not known: export the checkpoint (without --adapter)"
        )


def _target(name: str, shape: tuple[int, ...], changing: Mapping[str, tuple[AdapterTensors, LowRank]]) -> Target:
    parts = [part for _, part in changing.values()]
    if len({part.transposed for part in parts}) > 1:
        raise CheckpointError(
            f"{name!r} is stored transposed for one adapter and not for another: the adapters were trained on "
            "different models; export the checkpoint instead"
        )
    return Target(
        module=module_of(parts[0].down),
        transposed=parts[0].transposed,
        embedding="lora_embedding" in parts[0].down,
        shape=shape,
        parts={task: None if part.magnitude else (source, part) for task, (source, part) in changing.items()},
    )


def _adapter_file(finetune: Checkpoint) -> TensorSource | None:
    """The file with the adapter's own tensors."""
    sources = (finetune.locate(name)[0] for name in finetune)
    return next((source.adapter for source in sources if isinstance(source, AdapterTensors)), None)


def _read_config(finetune: Checkpoint) -> dict[str, Any]:
    if finetune.source is None:
        return {}
    return read_adapter_json(finetune.source)


def _exactly(module: str) -> str:
    """The regular expression of a module's whole name, as a key of `rank_pattern`."""
    return "^" + module.replace(".", r"\.")


def _size(shape: Sequence[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
