"""What a pass through a model does, counted by running it on tensors without values.

The module is built on PyTorch's meta device: shapes go through all its operations, but nothing is computed and no
parameter takes memory. So a model of any size can be counted in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import flop_registry

from paretomerge.planning.work import Work
from paretomerge.types import Batch, call_module

BATCHES = 6
"""At most so many batches of a task are counted, evenly spread: their lengths differ."""


@dataclass(frozen=True)
class Passes:
    """One example, on average, on its way through a model.

    Args:
        forward: its share of a forward pass.
        gradient: its share of a forward and a backward pass.
        activations: bytes that the forward pass leaves for the backward pass.
        outputs: how many numbers the model answers with, such as positions × vocabulary.
        positions: how many rows go through each weight matrix, such as tokens.
        batch: examples per batch.
        dtype: of the parameters while they compute.
        traced: whether operations were counted, or follow from the sizes of matrices.
    """

    forward: Work
    gradient: Work
    activations: float
    outputs: float
    positions: float
    batch: float
    dtype: str = "float32"
    traced: bool = True


class Tally(TorchDispatchMode):
    """Counts what runs inside; `made` is the bytes of all new tensors."""

    def __init__(self) -> None:
        """Nothing yet."""
        super().__init__()
        self.work, self.made = Work(), 0.0

    def __torch_dispatch__(
        self, function: Any, types: Any, given: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and count it; views cost nothing."""
        named = named or {}
        if function is torch.ops.aten._local_scalar_dense.default and given[0].device.type == "meta":
            # A module that looks at a value, nearly always whether a mask hides anything: a tensor without values
            # hides nothing.
            return True if given[0].dtype == torch.bool else 1
        found = function(*given, **named)
        if any(each.alias_info is not None and not each.alias_info.is_write for each in function._schema.returns):
            return found
        made = sum(_bytes(tensor) for tensor in _tensors(found))
        counter = flop_registry.get(function._overloadpacket)
        if counter is None:
            read = sum(_bytes(tensor) for tensor in _tensors((given, named)))
            self.work += Work(traffic=made + read, operations=1)
        else:
            self.work += Work(flops=counter(*given, **named, out_val=found), operations=1)
        self.made += made
        return found


def trace_passes(module: nn.Module, batches: Sequence[Batch], sizes: Sequence[int]) -> Passes:
    """Count the passes of a module over some batches, given on the meta device.

    Args:
        module: on the meta device.
        batches: inputs and targets; moved there.
        sizes: examples of every batch.

    Raises:
        Exception: whatever a module raises that needs values.
    """
    examples = sum(sizes)
    forward, gradient, made, outputs, positions = Work(), Work(), 0.0, 0.0, 0.0
    for inputs, _ in batches:
        moved = tree_map(lambda value: value.to("meta") if isinstance(value, Tensor) else value, inputs)
        with torch.no_grad(), Tally() as tally:
            answer = call_module(module.eval(), moved)
        forward += tally.work
        outputs += answer.numel()
        positions += positions_of(moved)
        with Tally() as tally:
            answer = call_module(module.eval(), moved)
            made += tally.made
            answer.float().logsumexp(-1).mean().backward()
        gradient += tally.work
        module.zero_grad(set_to_none=True)
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    share = 1 / examples
    return Passes(
        forward * share,
        gradient * share,
        made * share,
        outputs * share,
        positions * share,
        examples / len(batches),
        str(dtype).removeprefix("torch."),
    )


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """The module that `build` makes, without memory for its parameters."""
    with torch.device("meta"):
        module = build()
    return module.to("meta")


def spread(items: Sequence[Any], count: int = BATCHES) -> list[Any]:
    """At most `count` items, evenly spread.

    >>> spread([0, 1, 2, 3, 4, 5, 6], 3)
    [0, 3, 6]
    """
    if len(items) <= count:
        return list(items)
    return [items[round(number * (len(items) - 1) / (count - 1))] for number in range(count)]


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def positions_of(inputs: Any) -> int:
    """Rows of a batch that go through a weight: tokens where inputs are token numbers, else examples."""
    first = next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs
    return first.numel() if not first.is_floating_point() else len(first)
