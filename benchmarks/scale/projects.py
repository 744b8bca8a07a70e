"""Projects of any size to plan and to run: a transformer with random values, data of random tokens, and a recipe.

What stages cost does not depend on the values. Sizes are widths, layers and tokens; families and budgets are settings.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from paretomerge.checkpoints import write_checkpoint
from paretomerge.types import TensorSpec

SPREAD, MOVED = 0.02, 0.002
"""Standard deviations of a weight, and of what finetuning changed."""

PROBLEM = """
import json
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from paretomerge.types import Problem

SHAPE = json.loads((Path(__file__).parent / "shape.json").read_text())


class Layer(nn.Module):
    def __init__(self, width, causal):
        super().__init__()
        self.heads, self.causal = max(1, width // 64), causal
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*parts, is_causal=self.causal)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self, width, layers, vocabulary, classes, causal):
        super().__init__()
        self.causal = causal
        self.embed = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList([Layer(width, causal) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, tokens):
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x)
        return self.head(x if self.causal else x.mean(1))


def build():
    return Transformer(*[SHAPE[key] for key in ("width", "layers", "vocabulary", "classes", "causal")])


def data(task, split):
    count, length, size = SHAPE["examples"][split], SHAPE["tokens"], SHAPE["batch"]
    generator = torch.Generator().manual_seed(len(task) + len(split))
    tokens = torch.randint(0, SHAPE["vocabulary"], (count, length), generator=generator)
    labels = tokens if SHAPE["causal"] else torch.randint(0, SHAPE["classes"], (count,), generator=generator)
    return list(zip(tokens.split(size), labels.split(size)))


def problem():
    tasks = tuple(f"task{number}" for number in range(SHAPE["tasks"]))
    return Problem(tasks, build, data, "causal" if SHAPE["causal"] else "categorical")
"""


@dataclass(frozen=True)
class Shape:
    """How large, and of how many examples.

    Args:
        width, layers, tokens, vocabulary, classes: of the transformer; a language model has its vocabulary as classes.
        tasks: how many.
        examples: split → examples per task.
        batch: examples per batch.
        causal: whether it is a language model.
        dtype: of the files.
    """

    width: int
    layers: int
    tokens: int
    vocabulary: int = 1000
    classes: int = 3
    tasks: int = 3
    examples: dict[str, int] = field(default_factory=lambda: {"training": 64, "validation": 64, "test": 64})
    batch: int = 32
    causal: bool = False
    dtype: str = "float32"


def make_project(folder: Path, shape: Shape, **sections: Any) -> Path:
    """A folder with problem, base, finetunes and recipe, made anew; returns the recipe."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    classes = shape.vocabulary if shape.causal else shape.classes
    (folder / "shape.json").write_text(json.dumps({**asdict(shape), "classes": classes}), encoding="utf-8")
    (folder / "problem.py").write_text(PROBLEM, encoding="utf-8")
    specs = specs_of(shape)
    for number in range(-1, shape.tasks):
        name = "base" if number < 0 else f"task{number}"
        write_checkpoint(folder / name, specs, _values(specs, number))
    return write_recipe(folder, shape, **sections)


def write_recipe(folder: Path, shape: Shape, name: str = "recipe.yaml", **sections: Any) -> Path:
    """A recipe of a project that is there."""
    content = {
        "base": "base",
        "tasks": {f"task{number}": {"checkpoint": f"task{number}"} for number in range(shape.tasks)},
        "problem": "problem.py:problem",
        **sections,
    }
    path = folder / name
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def specs_of(shape: Shape) -> dict[str, TensorSpec]:
    """Names and shapes of the model, in the files' dtype."""
    width, inner, classes = shape.width, 4 * shape.width, shape.vocabulary if shape.causal else shape.classes
    shapes: dict[str, tuple[int, ...]] = {"embed.weight": (shape.vocabulary, width)}
    for layer in range(shape.layers):
        for part, (outputs, inputs) in {
            "qkv": (3 * width, width),
            "out": (width, width),
            "up": (inner, width),
            "down": (width, inner),
        }.items():
            shapes[f"layers.{layer}.{part}.weight"] = (outputs, inputs)
            shapes[f"layers.{layer}.{part}.bias"] = (outputs,)
        for norm in ("norm1", "norm2"):
            shapes |= {f"layers.{layer}.{norm}.weight": (width,), f"layers.{layer}.{norm}.bias": (width,)}
    shapes |= {"norm.weight": (width,), "norm.bias": (width,)}
    shapes |= {"head.weight": (classes, width), "head.bias": (classes,)}
    return {name: TensorSpec(found, getattr(torch, shape.dtype)) for name, found in shapes.items()}


def _values(specs: dict[str, TensorSpec], number: int) -> Iterator[tuple[str, torch.Tensor]]:
    start, own = torch.Generator().manual_seed(0), torch.Generator().manual_seed(number + 1)
    for name, spec in specs.items():
        values = SPREAD * torch.randn(spec.shape, generator=start)
        if "norm" in name and name.endswith("weight"):
            values += 1
        if number >= 0:
            values += MOVED * torch.randn(spec.shape, generator=own)
        yield name, values.to(spec.dtype)
