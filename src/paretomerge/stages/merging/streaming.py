"""A merge from disk to disk: read ahead, merge block by block, write behind.

The memory is that of a few blocks whatever the size of the models: at most

    (inputs read per block + K + 2) × the largest tensor in float32  +  300 MB

where a posterior with a precision for every element counts as two inputs, a Kronecker posterior as its weight and its
factors, and one of low rank as `2·(R + 2)`, since it is summed in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from paretomerge.checkpoints import Checkpoint, CheckpointWriter, Prefetch, WriteBehind
from paretomerge.errors import InputError
from paretomerge.merging import Inputs, MergeRule, merge_blocks
from paretomerge.posteriors import LowRank, Mixture, Posterior, Product
from paretomerge.types import Params, TensorSpec, spec_of

READERS = 2
SLACK = 48 << 20  # bytes read ahead, and bytes that wait to be written, that even the smallest model may take

Advance = Callable[[int, int], None]
"""`advance(done, total)`: bytes of the merged models so far."""


@dataclass(frozen=True)
class Budget:
    """Bytes: what is read ahead, and what waits to be written."""

    reading: int
    writing: int

    @classmethod
    def of(cls, views: Sequence[Params], specs: Mapping[str, TensorSpec], count: int) -> Budget:
        """The largest block and some room: many small blocks are read ahead and written behind, the largest alone."""
        read = [view for view in views if isinstance(view, Checkpoint)]
        block = max((sum(spec_of(view, name).nbytes for view in read if name in view) for name in specs), default=0)
        output = count * max((spec.nbytes for spec in specs.values()), default=0)
        return cls(block + SLACK, output + SLACK)


def stream_merge(
    inputs: Inputs,
    weights: Any,
    rule: MergeRule,
    writers: Sequence[CheckpointWriter],
    specs: Mapping[str, TensorSpec],
    device: torch.device | str = "cpu",
    advance: Advance = lambda done, total: None,
) -> None:
    """Merge `K` models in one sweep over the inputs, and write each with its own writer.

    Args:
        inputs: from `collect_inputs`; what they hold as a `Checkpoint` is read ahead.
        weights: `K` weightings.
        rule: the merge rule.
        writers: `K`, entered; the caller commits them.
        specs: of the tensors that are written.
        device: where it is computed.
        advance: called after each tensor.

    Raises:
        CheckpointError: a merged tensor is not finite, or does not fit the dtype that is written.
        StorageError: a disk refused, or a source changed while it was read.
        WeightsError, PosteriorError: as `merge`.
    """
    budget = Budget.of(inputs.params, specs, len(writers))
    total = sum(spec.nbytes for spec in specs.values())
    done = 0
    target = require_device(device)
    with (
        Prefetch(budget.reading, READERS, target) as prefetch,
        WriteBehind(writers, specs, budget.writing, target) as out,
    ):
        wanted = _wanted(inputs, rule)
        viewed = inputs.map_params(lambda params: prefetch.view(params, wanted(params)))
        blocks = merge_blocks(viewed, weights, rule, out)
        prefetch.start(list(inputs.specs))
        for name, merged in blocks:
            out.put(name, merged)
            prefetch.release(name)
            done += specs[name].nbytes
            advance(done, total)
        out.finish()


def require_device(device: torch.device | str) -> torch.device:
    """The device, if this machine has it.

    Raises:
        InputError: an unknown device, or one that is not there.
    """
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"unknown device {str(device)!r}: give cpu, cuda, or cuda:0 and so on") from error
    if chosen.type not in ("cpu", "cuda"):
        raise InputError(f"device {str(device)!r}: merging runs on cpu or cuda")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {str(device)!r}: PyTorch sees {torch.cuda.device_count()} CUDA devices here. Install a CUDA build "
            "of PyTorch, or leave --device out"
        )
    return chosen


def _swept_again(inputs: Inputs) -> set[int]:
    """The sets of parameters that a merge goes through several times: reading ahead would hold all of them."""
    found: set[int] = set()

    def note(params: Params) -> Params:
        found.add(id(params))
        return params

    def visit(posterior: Posterior) -> None:
        if isinstance(posterior, Product):
            for part in posterior.parts.values():
                visit(part)
        elif isinstance(posterior, LowRank | Mixture):
            posterior.map_params(note)

    for posterior in (*inputs.posteriors, *([] if inputs.prior is None else [inputs.prior])):
        visit(posterior)
    return found


def _wanted(inputs: Inputs, rule: MergeRule) -> Callable[[Params], Callable[[str], bool]]:
    """Which names of a set of parameters the merge will ask for: nothing else is read ahead."""
    swept = _swept_again(inputs)
    covered = {name for name, spec in inputs.posteriors[0].specs.items() if spec.is_mergeable}
    reads_base = getattr(rule, "reads_base", True)

    def choose(params: Params) -> Callable[[str], bool]:
        if params is inputs.filler:
            is_task = inputs.base is None
            return lambda name: name not in covered or reads_base or is_task
        if id(params) in swept:
            return lambda name: False
        return lambda name: name in covered

    return choose
