"""What two processes train of which each holds a part: `python -m tests.training.sharded_processes FOLDER`.

Every scenario is a function that a single process can run too. Results go to FOLDER/<process>.pt; with `--all` also
those of `two_processes`, in which models are held whole.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from tests.cases import CASES, Case, Setting
from tests.training.two_processes import ALPHA, SAME_AS_ALONE, _plain, uneven
from torch import Tensor, nn

from paretomerge.errors import ParetomergeError
from paretomerge.merging import MergedParams, collect_inputs
from paretomerge.training import LoraSettings, TrainingRecipe, finetune
from paretomerge.types import Batch, Problem, Split, whole

RULES = ("averaging", "diagonal", "ties", "kronecker with prior")
"""Rules whose merge is looked at in the fast tests."""

BLOCKS = "FSDP_TRANSFORMER_CLS_TO_WRAP"


class Block(nn.Module):
    """A layer that is gathered for itself."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner, self.norm = nn.Linear(5, 5, dtype=dtype), nn.LayerNorm(5, dtype=dtype)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + torch.tanh(self.inner(self.norm(inputs)))


class Deep(nn.Module):
    """Blocks, a head that is tied to the first layer, a buffer that no state dict holds, and a parameter unused."""

    _no_split_modules = ("Block",)

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.first = nn.Linear(3, 5, bias=False, dtype=dtype)
        self.blocks = nn.Sequential(Block(dtype), Block(dtype))
        self.last = nn.Linear(3, 5, bias=False, dtype=dtype)
        self.last.weight = self.first.weight
        self.unused = nn.Parameter(torch.ones(2, dtype=dtype))
        self.register_buffer("scale", torch.full((1,), 0.5, dtype=dtype), persistent=False)
        self.register_buffer("seen", torch.zeros(1, dtype=dtype))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.scale * self.blocks(self.first(inputs)) @ self.last.weight + self.seen


def deep_problem(dtype: torch.dtype = torch.float32, own_loss: bool = False) -> Problem:
    """Three tasks with 6, 9 and 4 examples; with a loss of its own that calls parts of the module."""
    tasks = uneven()

    def data(task: str, split: Split) -> list[Batch]:
        inputs, targets = tasks.inputs[int(task[-1])].to(dtype), tasks.targets[int(task[-1])].to(dtype)
        rows = slice(None) if split == "training" else slice(0, 3)
        batches = inputs[rows].split(2), targets[rows, None].repeat(1, 3).split(2)
        return list(zip(*batches, strict=True))

    def loss(module: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(module, Deep), "the module that was built, not a wrapper"
        inputs, targets = batch
        hidden = module.blocks(module.first(inputs))
        return 0.5 * ((module.scale * hidden @ module.last.weight) - targets).square().sum(-1)

    return Problem(tuple(ALPHA), lambda: Deep(dtype), data, "gaussian", loss if own_loss else None)


def deep(dtype: torch.dtype = torch.float32, own_loss: bool = False, **changes: Any) -> dict[str, Any]:
    torch.manual_seed(3)
    start = Deep(dtype).state_dict()
    recipe = TrainingRecipe.of({"steps": 6, "examples_per_task": 3, "learning_rate": 0.01} | changes)
    return _plain(finetune(deep_problem(dtype, own_loss), start, ALPHA, recipe, 5))


def lora() -> dict[str, Any]:
    torch.manual_seed(3)
    settings = LoraSettings(rank=2, target_modules=("inner",), modules_to_save=("norm",))
    recipe = TrainingRecipe(steps=5, examples_per_task=3, learning_rate=0.05, lora=settings)
    result = finetune(deep_problem(), Deep().state_dict(), ALPHA, recipe, 5)
    return _plain(result) | {"adapter": {} if result.adapter is None else dict(result.adapter.tensors)}


FEW: dict[str, Callable[[], dict[str, Any]]] = {
    "clipped": lambda: deep(max_norm=0.05, weight_decay=0.1, mix="proportional", steps=4),
    "own loss": lambda: deep(own_loss=True, accumulate=2, steps=3),
    "looks": lambda: deep(check_every=2, patience=1, learning_rate=0.3, normalise="start"),
    "ivon, blocks": lambda: deep(optimizer="ivon", ivon={"hess_init": 5.0}, check_every=1, steps=3),
    "lora": lora,
}
"""Those of the fast tests, in float32."""

MORE: dict[str, Callable[[], dict[str, Any]]] = {
    "blocks": deep,
    "own loss, one example": lambda: deep(own_loss=True, examples_per_task=1, mix="sampled"),
    "ivon, samples": lambda: deep(optimizer="ivon", ivon={"samples": 2, "hess_init": 5.0}),
}


def resumed(folder: Path, at: int = 20, **changes: Any) -> dict[str, Any]:
    """Stopped by its own loss in the middle, in every process alike, and taken up again."""
    problem = deep_problem(torch.float64, own_loss=True)
    torch.manual_seed(3)
    start = Deep(torch.float64).state_dict()
    loss, calls = problem.loss_fn, []
    assert loss is not None

    def breaking(module: nn.Module, batch: Batch) -> Tensor:
        calls.append(len(batch[1]))
        if len(calls) == at:
            raise KeyboardInterrupt
        return loss(module, batch)

    settings = {"steps": 8, "examples_per_task": 3, "learning_rate": 0.01, "save_every": 2} | changes
    recipe = TrainingRecipe.of(settings)
    breaks = Problem(problem.tasks, problem.build, problem.data, "gaussian", breaking)
    messages: list[str] = []
    with suppress(KeyboardInterrupt):
        finetune(breaks, start, ALPHA, recipe, 5, folder=folder)
    file = folder / "training.pt"
    shapes = {}
    if file.is_file():
        held = torch.load(file, weights_only=True)["state"]["training"]["module"]
        shapes = {name: list(tensor.shape) for name, tensor in held.items()}
    calls.extend([0] * 100)
    again = finetune(breaks, start, ALPHA, recipe, 5, folder=folder, on_message=messages.append)
    return {"shapes": shapes, "again": _plain(again), "gone": not folder.exists(), "messages": messages}


def _refused(**changes: Any) -> str:
    try:
        deep(**changes)
    except ParetomergeError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _parts() -> dict[str, Any]:
    """How many numbers a process holds of parameters and of the optimizer's state, in the middle of a training."""
    found: dict[str, Any] = {}
    problem = deep_problem(own_loss=True)
    loss = problem.loss_fn
    assert loss is not None

    def looking(module: nn.Module, batch: Batch) -> Tensor:
        held = [block.inner.weight for block in module.blocks]
        found["held"] = [int(tensor.to_local().numel()) for tensor in held]  # blocks are gathered in their own turn
        return loss(module, batch)

    looked = Problem(problem.tasks, problem.build, problem.data, "gaussian", looking)
    finetune(looked, Deep().state_dict(), ALPHA, TrainingRecipe(steps=2, examples_per_task=2), 5)
    return found


def _merged(cases: list[Case]) -> dict[str, float]:
    """How far the parts that each process merges are from the merge, by rule; parts of one row, and empty ones too."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    mesh, found = init_device_mesh("cpu", (2,)), {}
    shapes = {"blocks.0.weight": (5, 3), "blocks.0.bias": (1,)}
    for case in cases:
        setting = case.fitting(Setting.random(shapes, torch.float32, 3, seed=3))
        weights, given = case.weightings(setting)[1], case.give(setting)
        expected = case.merger(setting)(weights)
        merged = MergedParams(collect_inputs(given.posteriors, given.prior, given.base), weights, case.rule)
        places = {
            name: distribute_tensor(torch.zeros_like(tensor), mesh, [Shard(0)]) if tensor.ndim else tensor.clone()
            for name, tensor in expected.items()
        }
        merged.write_into(places)
        found[case.name] = max(float((whole(places[n]) - t).abs().max()) for n, t in expected.items())
    return found


def main(folder: Path) -> None:
    """Run every scenario, and keep what this process saw."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {name: run() for name, run in FEW.items()}
    if "--all" in sys.argv:
        found |= {name: run() for name, run in (SAME_AS_ALONE | MORE).items()}
        found["bfloat16"] = deep(torch.bfloat16)
        found["autocast"] = deep(precision="bfloat16")
        found["resumed, ivon"] = resumed(folder / "resumed-ivon", optimizer="ivon", check_every=1, patience=9, at=30)
    found["merged"] = _merged([case for case in CASES if "--all" in sys.argv or case.name in RULES])
    found["resumed"] = resumed(folder / "resumed")
    found["parts"] = _parts()
    found["float16"] = _refused(precision="float16")
    os.environ[BLOCKS] = "Blocc"
    found["unknown block"] = _refused()
    del os.environ[BLOCKS]
    torch.save(found, folder / f"{os.environ['RANK']}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
