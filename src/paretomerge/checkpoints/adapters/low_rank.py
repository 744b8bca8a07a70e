"""A LoRA adapter of peft on a base, read as the model it stands for: `W + s·B·A`, one tensor at a time.

Shapes: `A` `[r, inputs]`, `B` `[outputs, r]`, `W` `[outputs, inputs]`, or `[inputs, outputs]` where it is stored
transposed (Conv1D of GPT-2, embeddings). With DoRA (Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation",
2024) each output `o` is scaled to a length of its own, `m_o · V_o / ‖V_o‖` with `V = W + s·B·A`.

Nothing is merged beforehand, neither on disk nor in memory, and nothing is rounded to the dtype of the base: a
changed tensor is float32, or float64 if the base or the adapter is. Averages of adapters are therefore averages
of the models, `W + Σ_t α_t s_t B_t A_t`, without the cross terms `B_s A_t` that averages of the matrices have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from paretomerge.checkpoints.adapters.config import CONFIG, MERGE_WITH_PEFT, AdapterConfig
from paretomerge.checkpoints.adapters.names import AdapterNames, renaming_to_base, sort_names
from paretomerge.checkpoints.adapters.shapes import TargetShapes, find_transposed
from paretomerge.checkpoints.checkpoint import Checkpoint, TensorSource
from paretomerge.checkpoints.files.safetensors_files import open_safetensors
from paretomerge.checkpoints.files.torch_files import open_torch_shard
from paretomerge.errors import CheckpointError
from paretomerge.types import TensorSpec, compute_dtype

ADAPTER_FILES = ("adapter_model.safetensors", "adapter_model.bin")


@dataclass(frozen=True)
class LowRank:
    """One changed tensor: `W` in its source, the names of `A`, `B` and `m` in the adapter, `s`, and how `W` lies."""

    source: TensorSource
    weight: str
    down: str
    up: str
    magnitude: str | None
    scale: float
    transposed: bool


class AdapterTensors:
    """The tensors of base and adapter together; the adapter's own are read when a changed tensor is."""

    def __init__(
        self, base: Checkpoint, adapter: TensorSource, changed: Mapping[str, LowRank], whole: Mapping[str, str]
    ) -> None:
        """Index; `whole` maps names to the tensors of the adapter that replace or add them."""
        self.base = base
        self.adapter = adapter
        self.changed = dict(changed)
        self.whole = dict(whole)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the base, then those that only the adapter has."""
        return (*self.base, *(name for name in self.whole if name not in self.base))

    def spec(self, name: str) -> TensorSpec:
        """Shape, and the dtype it is computed in (changed) or stored in (all others)."""
        part = self.changed.get(name)
        if part is None:
            return self.adapter.spec(self.whole[name]) if name in self.whole else self.base.spec(name)
        spec = part.source.spec(part.weight)
        others = (self.adapter.spec(matrix).dtype for matrix in (part.down, part.up))
        return TensorSpec(spec.shape, compute_dtype((spec.dtype, *others)))

    def read(self, name: str, buffer: Tensor | None = None) -> Tensor:
        """The values: computed for a changed tensor, else those of the base or the adapter."""
        part = self.changed.get(name)
        if part is None:
            source, inner = self.locate(name)
            return source.read(inner, buffer)
        result = self.spec(name).room(buffer)
        result.copy_(part.source.read(part.weight))
        self._add(result, part)
        return result

    def locate(self, name: str) -> tuple[TensorSource, str]:
        """Itself for a changed tensor; for every other the source that holds it."""
        if name in self.changed:
            return self, name
        return self.adapter.locate(self.whole[name]) if name in self.whole else self.base.locate(name)

    def require_unchanged(self) -> None:
        """Raise `StorageError` if a file of the base or the adapter was replaced since it was opened."""
        sources = {id(source): source for source in (self.base.locate(name)[0] for name in self.base)}
        for source in (self.adapter, *sources.values()):
            check = getattr(source, "require_unchanged", None)
            if check is not None:
                check()

    def _add(self, result: Tensor, part: LowRank) -> None:
        """`W` becomes `W + s·B·A`, and with a magnitude `m_o · V_o / ‖V_o‖`, in place."""
        down = self.adapter.read(part.down).to(result.dtype).flatten(1)
        up = self.adapter.read(part.up).to(result.dtype).flatten(1)
        if part.transposed:
            result.addmm_(down.T, up.T, alpha=part.scale)
        else:
            result.view(result.shape[0], -1).addmm_(up, down, alpha=part.scale)
        if part.magnitude is not None:
            inputs = 0 if part.transposed else 1
            factor = self.adapter.read(part.magnitude).to(result.dtype) / torch.linalg.norm(result, dim=inputs)
            result.mul_(factor.unsqueeze(inputs))


def open_adapter(config: AdapterConfig, base: Checkpoint, side_files: tuple[Path, ...]) -> Checkpoint:
    """Apply the adapter that `config` describes to `base`, lazily.

    Args:
        config: of the folder that holds the adapter.
        base: the model it was trained on.
        side_files: those of the adapter's folder; where it lacks one, that of the base is taken.

    Raises:
        CheckpointError: the adapter does not fit the base, or holds something that cannot be applied exactly.
    """
    path, adapter = _open_file(config.folder)
    names = sort_names(path, adapter.names)
    config.require_quick(names.down)
    _require_magnitudes(path, config, names)
    rename = renaming_to_base(path, names.down, base)
    whole = _whole(path, config, names, {old: rename(old) for old in names.whole}, base, adapter)
    targets = {module: rename(f"{module}.weight" if module else "weight") for module in names.down}
    weights = {m: (adapter, whole[t]) if t in whole else base.locate(t) for m, t in targets.items()}
    shapes = {module: _shapes(module, names, adapter, *weights[module]) for module in targets}
    transposed = find_transposed(path, shapes, config.transposed)
    changed = {
        target: LowRank(
            *weights[module],
            names.down[module],
            names.up[module],
            names.magnitudes.get(module),
            _scale(path, config, module, shapes[module].down[0]),
            transposed[module],
        )
        for module, target in targets.items()
    }
    tensors = AdapterTensors(base, adapter, changed, {k: v for k, v in whole.items() if k not in changed})
    own = {file.name for file in side_files}
    kept = (*side_files, *(file for file in base.side_files if file.name not in own))
    return Checkpoint((tensors,), config.folder, kept, is_adapter=True)


def _open_file(folder: Path) -> tuple[Path, TensorSource]:
    for name in ADAPTER_FILES:
        path = folder / name
        if path.is_file():
            return path, open_safetensors(path) if path.suffix == ".safetensors" else open_torch_shard(path)
    raise CheckpointError(f"{folder}: has {CONFIG} but neither {' nor '.join(ADAPTER_FILES)}: copy the whole folder")


def _require_magnitudes(path: Path, config: AdapterConfig, names: AdapterNames) -> None:
    if set(names.magnitudes) != (set(names.down) if config.magnitudes else set()):
        raise CheckpointError(
            f"{path}: use_dora is {config.magnitudes} in {CONFIG}, but {len(names.magnitudes)} of {len(names.down)} "
            "targets have a lora_magnitude_vector: file and configuration are from different saves; copy both again"
        )


def _shapes(module: str, names: AdapterNames, adapter: TensorSource, source: TensorSource, weight: str) -> TargetShapes:
    return TargetShapes(
        down=adapter.spec(names.down[module]).shape,
        up=adapter.spec(names.up[module]).shape,
        weight=source.spec(weight).shape,
        embedding=module in names.embeddings,
        magnitude=module in names.magnitudes,
    )


def _scale(path: Path, config: AdapterConfig, module: str, rank: int) -> float:
    if rank != config.rank_of(module):
        raise CheckpointError(
            f"{path}: the matrices of {module!r} have rank {rank}, {CONFIG} says {config.rank_of(module)}: file and "
            "configuration are from different saves; copy both again"
        )
    return config.scale_of(module)


def _whole(
    path: Path,
    config: AdapterConfig,
    names: AdapterNames,
    renamed: Mapping[str, str],
    base: Checkpoint,
    adapter: TensorSource,
) -> dict[str, str]:
    """Names in the base (or new ones) to the whole tensors that the adapter's file has for them."""
    found = {}
    for old, new in renamed.items():
        held = names.whole[old]
        if _is_replaced(old, config):
            found[new] = held
        elif new in base:
            shape, expected = adapter.spec(held).shape, base.spec(new).shape
            if shape != expected and (len(shape) != 2 or shape[1:] != expected[1:]):  # a vocabulary may be resized
                raise CheckpointError(
                    f"{path}: {held!r} has shape {list(shape)}, in the base {list(expected)}: it is another model; "
                    "give the base that the adapter was trained on"
                )
            found[new] = held
        elif not _copies_another(held, names, adapter):
            raise CheckpointError(
                f"{path}: holds {held!r}, which is neither a LoRA matrix, nor in the base, nor of a module in "
                f"modules_to_save: {MERGE_WITH_PEFT}"
            )
    return found


def _is_replaced(name: str, config: AdapterConfig) -> bool:
    """Whether a module that the tensor lies in is in `modules_to_save` (peft compares the ends of names)."""
    words = name.split(".")
    modules = (".".join(words[:count]) for count in range(1, len(words)))
    return any(module.endswith(saved) for module in modules for saved in config.replaced)


def _copies_another(held: str, names: AdapterNames, adapter: TensorSource) -> bool:
    """Whether the tensor equals another of the file: a tied output layer, saved beside the embedding."""
    spec = adapter.spec(held)
    twins = [other for other in names.whole.values() if other != held and adapter.spec(other) == spec]
    return len(spec.shape) == 2 and any(torch.equal(adapter.read(held), adapter.read(twin)) for twin in twins)
