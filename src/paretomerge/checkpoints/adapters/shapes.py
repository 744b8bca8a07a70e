"""Do the matrices of an adapter fit the weights of the base, and which of those are stored transposed?

`A` is `[r, inputs]`, `B` `[outputs, r]`. A linear layer stores `W` as `[outputs, inputs]`, Conv1D of GPT-2 and
embeddings as `[inputs, outputs]`, a convolution as `[outputs, inputs, *kernel]` with `A` `[r, inputs, *kernel]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from paretomerge.checkpoints.adapters.config import MERGE_WITH_PEFT
from paretomerge.errors import CheckpointError


@dataclass(frozen=True)
class TargetShapes:
    """Shapes of `A`, `B` and `W` of one target; whether it is an embedding, and has a magnitude (DoRA)."""

    down: tuple[int, ...]
    up: tuple[int, ...]
    weight: tuple[int, ...]
    embedding: bool
    magnitude: bool

    @property
    def _plain(self) -> tuple[int, ...]:
        """The shape of `B·A`."""
        return (*self.up[:1], *self.down[1:])

    @property
    def _multiply(self) -> bool:
        return len(self.down) >= 2 and len(self.up) >= 2 and self.down[0] == self.up[1] and set(self.up[2:]) <= {1}

    @property
    def may_be_straight(self) -> bool:
        """Whether `W` can be `[outputs, inputs, …]`."""
        return self._multiply and self.weight == self._plain and not self.embedding

    @property
    def may_be_transposed(self) -> bool:
        """Whether `W` can be `[inputs, outputs]`."""
        return self._multiply and len(self.weight) == 2 and self.weight == self._plain[::-1]


def find_transposed(path: Path, shapes: Mapping[str, TargetShapes], said: bool) -> dict[str, bool]:
    """For each target whether its weight is stored as `[inputs, outputs]`.

    A square weight does not show it: it is as the other linear targets of its name are (`c_proj`), else as all
    of them, else as `said`. Shapes come first because peft writes the flag of the layer that it met last.

    Args:
        path: the adapter, for messages.
        shapes: module to its shapes.
        said: `fan_in_fan_out` of the configuration.

    Raises:
        CheckpointError: shapes do not fit, or do not show what the configuration leaves open.
    """
    found, linear = {}, {}
    for module, shape in shapes.items():
        _require_fit(path, module, shape)
        if shape.may_be_straight != shape.may_be_transposed:
            found[module] = shape.may_be_transposed
            if not shape.embedding and len(shape.weight) == 2:  # the others say nothing about linear layers
                linear[module] = shape.may_be_transposed
    return {
        module: found[module] if module in found else _as_the_others(path, module, linear, said) for module in shapes
    }


def _require_fit(path: Path, module: str, shape: TargetShapes) -> None:
    if not shape.may_be_straight and not shape.may_be_transposed:
        raise CheckpointError(
            f"{path}: the matrices of {module!r} have the shapes {list(shape.down)} and {list(shape.up)}, which do not "
            f"fit the weight {list(shape.weight)} of the base: it is another model (give the one that the adapter "
            "was trained on), or a grouped convolution, whose adapter cannot be merged"
        )
    if len(shape.weight) > 2 and shape.magnitude:
        raise CheckpointError(
            f"{path}: {module!r} is a convolution with DoRA, which is not supported: {MERGE_WITH_PEFT}"
        )


def _as_the_others(path: Path, module: str, known: Mapping[str, bool], said: bool) -> bool:
    last = module.rpartition(".")[2]
    alike = {transposed for name, transposed in known.items() if name.rpartition(".")[2] == last}
    shown = alike or set(known.values()) or {said}
    if len(shown) > 1:
        raise CheckpointError(
            f"{path}: the weight of {module!r} is square, and of the other targets some are stored transposed and some "
            f"are not, so nothing says how it is: {MERGE_WITH_PEFT}"
        )
    return next(iter(shown))
