"""Where a training runs: one process on one device, or several that accelerate has launched.

Every process takes its part of each step. By default it holds the whole model, and gradients are added over the
processes once per step, after the last pass: plain data parallelism without a wrapper around the module, so a process
may lack a task, or any example at all, and `loss_fn` sees the module that was built. Where the launcher asks for FSDP
every process holds a part of the model, see `training.sharding`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from paretomerge.errors import MissingExtraError, RecipeError, TrainingError

FSDP = "ACCELERATE_USE_FSDP"
"""How accelerate's launcher asks for models of which every process holds a part."""

REFUSED = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM")
"""How it asks for engines that bring optimizers and models of their own."""

MPI_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")

BUCKET = 1 << 24
"""Entries that are added over the processes at once."""


class Placement(Protocol):
    """A device, and what processes tell each other.

    Law (tested): `sum` and `gather` give every process the same.
    """

    device: torch.device
    processes: int
    process: int
    sharded: bool
    """Whether every process holds a part of the model only."""

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the processes."""
        ...

    def gather(self, tensor: Tensor) -> Tensor:
        """One row per process, `[processes, ...]`."""
        ...

    def wait(self) -> None:
        """Until every process is here."""
        ...


class SinglePlacement:
    """One process on one device."""

    processes = 1
    process = 0
    sharded = False

    def __init__(self, device: str = "cpu") -> None:
        """Raises `RecipeError` for a device that torch does not have here."""
        self.device = _device(device)

    def sum(self, tensor: Tensor) -> Tensor:
        """The tensor itself."""
        return tensor

    def gather(self, tensor: Tensor) -> Tensor:
        """One row."""
        return tensor[None]

    def wait(self) -> None:
        """Nobody to wait for."""


class AcceleratePlacement:
    """The processes that `accelerate launch` or `torchrun` started, and the devices they were given."""

    def __init__(self, device: str = "auto") -> None:
        """Join the others.

        Raises:
            MissingExtraError: accelerate is not installed.
            TrainingError: the launcher asks for another engine than FSDP.
            RecipeError: the recipe asks for another device than the launcher.
        """
        try:
            from accelerate import PartialState
        except ImportError as error:
            raise MissingExtraError.of("accelerate", "hf") from error
        on_cpu = device == "cpu" or _is_true("ACCELERATE_USE_CPU")
        state = PartialState(cpu=on_cpu)
        kind = state.distributed_type.name
        refused = next((name for name in REFUSED if _is_true(name)), None)
        if refused or not (kind in ("NO", "FSDP") or kind.startswith("MULTI_")):
            raise TrainingError(
                f"accelerate was asked for {(refused or kind).removeprefix('ACCELERATE_USE_')}, which brings an engine "
                "of its own. Launch with `accelerate launch --multi_gpu` where every process can hold the whole model, "
                "and with `accelerate launch --use_fsdp` where none can"
            )
        self.sharded = _is_true(FSDP)
        self.device, self.processes, self.process = state.device, state.num_processes, state.process_index
        if device not in ("auto", self.device.type, str(self.device)):
            raise RecipeError(f"the recipe asks for device {device!r}, but this process was launched on {self.device}")

    def sum(self, tensor: Tensor) -> Tensor:
        """`all_reduce`."""
        from accelerate.utils import reduce

        return self._spoken(reduce, tensor.to(self.device), "sum").to(tensor.device)

    def gather(self, tensor: Tensor) -> Tensor:
        """`all_gather`."""
        from accelerate.utils import gather

        found = self._spoken(gather, tensor[None].to(self.device))
        return found.to(tensor.device)

    def wait(self) -> None:
        """A barrier."""
        from accelerate import PartialState

        if self.processes > 1:
            self._spoken(PartialState().wait_for_everyone)

    def _spoken(self, call: Any, *arguments: Any) -> Any:
        """What a call gives that all processes make; another process that is gone becomes a `TrainingError`."""
        try:
            return call(*arguments)
        except RuntimeError as error:
            raise TrainingError(
                f"process {self.process} of {self.processes} lost the others: {error}. See the first error that any "
                "of them printed; the same command continues from the last training checkpoint"
            ) from error


def placement_of(device: str) -> Placement:
    """The processes of the launcher if there was one, else this process on `device`."""
    if _launched() > 1 or (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return AcceleratePlacement(device)
    return SinglePlacement("cpu" if device == "auto" and _is_true("ACCELERATE_USE_CPU") else device)


def launcher_notes(precision: str) -> list[str]:
    """What a launcher was asked for and does not get, in words."""
    wanted = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower()
    notes = []
    if wanted not in ("no", "") and wanted != {"bfloat16": "bf16", "float16": "fp16"}.get(precision):
        notes.append(f"the launcher asks for {wanted}, the recipe for {precision}: the recipe decides")
    if _is_true(FSDP):
        notes += _sharding_notes()
    # accelerate sets the address for several processes, but starts one on CPUs unless there is an MPI host file.
    alone = "WORLD_SIZE" not in os.environ and "MASTER_ADDR" in os.environ and _is_true("ACCELERATE_USE_CPU")
    if alone and _launched() == 1:
        notes.append(
            "accelerate started one process only, as `--cpu` does without MPI: for N processes on CPUs use "
            "`ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes N ...`"
        )
    return notes


def _sharding_notes() -> list[str]:
    """What was asked of FSDP and is not done."""
    if _launched() == 1:
        return ["the launcher asks for FSDP and started one process, which holds the whole model"]
    ignored = [name for name in ("FSDP_OFFLOAD_PARAMS", "FSDP_ACTIVATION_CHECKPOINTING_OFFLOAD") if _is_true(name)]
    if os.environ.get("FSDP_AUTO_WRAP_POLICY", "").upper() == "SIZE_BASED_WRAP":
        ignored.append("FSDP_AUTO_WRAP_POLICY")
    return [f"the launcher asks for {name}, which is not done here" for name in ignored]


def sum_gradients(parameters: Sequence[Tensor], placement: Placement) -> None:
    """Add the gradients over the processes, in place; one that no process has stays absent.

    Reduced precision is added in float32.
    """
    if placement.processes == 1 or not parameters:
        return
    own = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
    reached = placement.sum(own).tolist()
    for bucket in _buckets([parameter for parameter, count in zip(parameters, reached, strict=True) if count]):
        for parameter in bucket:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in bucket if parameter.grad is not None]
        dtype = torch.promote_types(gradients[0].dtype, torch.float32)
        total = placement.sum(torch.cat([gradient.to(dtype).flatten() for gradient in gradients]))
        for gradient, summed in zip(gradients, total.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))


def share_from_first(tensors: Sequence[Tensor], placement: Placement) -> None:
    """Overwrite tensors, in place, by those of the first process."""
    if placement.processes > 1:
        for tensor in tensors:
            sent = tensor if placement.process == 0 else torch.zeros_like(tensor)
            tensor.copy_(placement.sum(sent.to(torch.int32) if tensor.dtype == torch.bool else sent))


def _buckets(parameters: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Parameters of one dtype, about `BUCKET` entries together."""
    waiting: list[Tensor] = []
    for parameter in parameters:
        full = sum(p.numel() for p in waiting) + parameter.numel() > BUCKET
        if waiting and (full or waiting[0].dtype != parameter.dtype):
            yield waiting
            waiting = []
        waiting.append(parameter)
    if waiting:
        yield waiting


def _device(name: str) -> torch.device:
    """Raises `RecipeError` for a device that is not there."""
    if name == "auto":
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        # Apple's GPUs know no float64: they are used when asked for by name.
        return found if found is not None and found.type != "mps" else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    # torch has no one exception for it: assertions, runtime errors and missing backends all occur.
    except Exception as error:
        raise RecipeError(
            f"training.device: {name!r} cannot be used here ({str(error)[:80]}): give 'cpu', or 'auto' for what "
            "there is"
        ) from error
    return device


def _launched() -> int:
    """How many processes a launcher started; what MPI says counts where accelerate started MPI."""
    by_accelerate = "ACCELERATE_MIXED_PRECISION" in os.environ
    for name in ("WORLD_SIZE", *(MPI_SIZES if by_accelerate else ())):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 1


def _is_true(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true", "yes", "y", "on")
