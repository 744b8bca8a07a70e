"""Runs on models of transformers with random weights, whole or with adapters, for the tests of exports."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tests.recipes.mergekit.tiny_llama import make_models, write_model

from paretomerge.stages import Study, open_study

TEXT_PROBLEM = """
import torch
from transformers import AutoModelForSequenceClassification

from paretomerge.types import Problem

BASE = {base!r}


def build():
    return AutoModelForSequenceClassification.from_pretrained(BASE, dtype=torch.float32, attn_implementation="eager")


def data(task, split):
    generator = torch.Generator().manual_seed(100 * (task == "b") + len(split))
    tokens = torch.randint(0, 16, (30, 6), generator=generator)
    labels = (tokens.sum(1) + (task == "b")) % 3
    masks = torch.ones_like(tokens)
    return [
        ({{"input_ids": tokens[rows], "attention_mask": masks[rows]}}, labels[rows])
        for rows in torch.arange(30).split(16)
    ]


def problem():
    return Problem(("a", "b"), build, data)
"""

EVALUATOR = """
import torch


def score(params, task):
    generator = torch.Generator().manual_seed(len(task))
    total = torch.zeros(20)
    for name in params:
        if params[name].is_floating_point():
            flat = params[name].float().reshape(-1)
            total += (flat[torch.randint(0, len(flat), (20,), generator=generator)] - float(task == "code")) ** 2
    return total
"""


def adapter_study(folder: Path, dtype: torch.dtype = torch.float32, **changes: Any) -> Study:
    """A classifier of two layers, and two adapters with heads of their own, of ranks 2 and 3."""
    pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    from tests.checkpoints.tiny_adapters import bert

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    made = bert(hidden_size=16, intermediate_size=24).to(dtype)
    made.save_pretrained(folder / "base")
    (folder / "base" / "tokenizer.json").write_text("{}")
    for number, (task, rank) in enumerate((("a", 2), ("b", 3))):
        model = type(made).from_pretrained(folder / "base", dtype=dtype)
        settings = peft.LoraConfig(
            r=rank, lora_alpha=4, target_modules=["query", "value"], modules_to_save=["classifier"], task_type="SEQ_CLS"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrapped = peft.get_peft_model(model, settings)
            generator = torch.Generator().manual_seed(number)
            with torch.no_grad():
                for parameter in wrapped.parameters():
                    if parameter.requires_grad:
                        parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
            wrapped.save_pretrained(folder / task)
    (folder / "problem.py").write_text(TEXT_PROBLEM.format(base=str(folder / "base")))
    content = {
        "base": "base",
        "tasks": {task: {"checkpoint": task} for task in "ab"},
        "problem": "problem.py:problem",
        "posterior": {"family": "isotropic"},
        "front": {"evaluations": 5, "points": 6},
        "max_distance": 10.0,
        **changes,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    return open_study(folder / "recipe.yaml")


def llama_study(folder: Path, dtype: torch.dtype = torch.float32, **changes: Any) -> Study:
    """A causal language model and two whole finetunes, scored by a function of their parameters."""
    for name, tensors in zip(("base", "math", "code"), make_models(2, dtype), strict=True):
        write_model(folder / name, tensors)
    (folder / "base" / "generation_config.json").write_text(json.dumps({"max_length": 12}))
    (folder / "evaluator.py").write_text(EVALUATOR)
    objectives = [{"name": f"distance of {task}", "task": task, "bounds": [0.0, None]} for task in ("math", "code")]
    content = {
        "base": "base",
        "tasks": {task: {"checkpoint": task} for task in ("math", "code")},
        "evaluator": "evaluator.py:score",
        "objectives": objectives,
        "posterior": {"family": "isotropic"},
        "front": {"evaluations": 5, "points": 6, "metric": ""},
        **changes,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    return open_study(folder / "recipe.yaml")
