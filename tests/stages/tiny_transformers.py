"""Recipes of random tiny Hugging Face models: a classifier and a causal language model, two tasks each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny import write_recipe

TASKS = ("first", "last")

PROBLEM = '''
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from paretomerge.types import Problem

HERE = Path(__file__).parent
TASKS = ("first", "last")


def tokens(task, split):
    generator = torch.Generator().manual_seed(len(split) + 100 * TASKS.index(task))
    return torch.randint(1, 16, ({"training": 24, "validation": 12, "test": 10}[split], 5), generator=generator)


def classified(task, split):
    """The class is that of the first or of the last token."""
    found = tokens(task, split)
    labels = found[:, -TASKS.index(task)] % 3
    return [({"input_ids": found, "attention_mask": torch.ones_like(found)}, labels)]


def continued(task, split):
    """The next token is one more, or one less."""
    found = tokens(task, split)[:, :1] + (1 - 2 * TASKS.index(task)) * torch.arange(5)
    found = found % 15 + 1
    return [({"input_ids": found, "attention_mask": torch.ones_like(found)}, found)]


def classifier():
    config = AutoConfig.from_pretrained(HERE / "base")
    return Problem(TASKS, lambda: AutoModelForSequenceClassification.from_config(config), classified)


def language_model():
    config = AutoConfig.from_pretrained(HERE / "base")
    return Problem(TASKS, lambda: AutoModelForCausalLM.from_config(config), continued, "causal")
'''

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}


def make_transformers(folder: Path, kind: str, **training: Any) -> Path:
    """Base, problem and recipe, without finetunes; the recipe's path."""
    pytest.importorskip("transformers", reason="the optional extra hf is not installed")
    if training.get("lora"):
        pytest.importorskip("peft", reason="the optional extra hf is not installed")
    folder.mkdir(parents=True)
    (folder / "problem.py").write_text(PROBLEM, encoding="utf-8")
    torch.manual_seed(0)
    _model(kind).save_pretrained(folder / "base")
    (folder / "base" / "vocab.txt").write_text("a\nb\n", encoding="utf-8")
    content = {
        "base": "base",
        "tasks": {task: {"checkpoint": f"ft-{task}"} for task in TASKS},
        "problem": f"problem.py:{kind}",
        "training": {"steps": 12, "examples_per_task": 8, "learning_rate": 0.02, **training},
    }
    return write_recipe(folder, content)


def _model(kind: str) -> Any:
    import transformers

    if kind == "classifier":
        return transformers.BertForSequenceClassification(
            transformers.BertConfig(vocab_size=16, max_position_embeddings=8, num_labels=3, **SIZES)
        )
    config = transformers.LlamaConfig(vocab_size=16, num_key_value_heads=1, tie_word_embeddings=True, **SIZES)
    return transformers.LlamaForCausalLM(config)
