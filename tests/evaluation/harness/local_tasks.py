"""A tiny language model and lm-eval tasks of its own: choices, written answers, and a perplexity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.problems.tiny_models import llama, reviews, write_jsonl

pytest.importorskip("lm_eval", reason="the optional extra lm-eval is not installed")

CHOICES = """
task: tiny_choices
dataset_path: json
dataset_kwargs: {data_files: {test: choices.jsonl, train: shots.jsonl}}
output_type: multiple_choice
test_split: test
training_split: train
doc_to_text: "{{text}} ?"
doc_to_target: label
doc_to_choice: ["yes", "no very bad", "fine"]
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
metadata: {version: 1.0}
"""

ANSWERS = """
task: tiny_answers
dataset_path: json
dataset_kwargs: {data_files: {test: choices.jsonl}}
output_type: generate_until
test_split: test
doc_to_text: "{{text}} ?"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["."], max_gen_toks: 4, do_sample: false}
filter_list:
  - {name: whole, filter: [{function: take_first}]}
  - name: first word
    filter:
      - {function: regex, regex_pattern: "^\\\\s*(\\\\w+)"}
      - {function: take_first}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
metadata: {version: 1.0}
"""

TEXTS = """
task: tiny_texts
dataset_path: json
dataset_kwargs: {data_files: {test: choices.jsonl}}
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - {metric: word_perplexity}
  - {metric: bits_per_byte}
metadata: {version: 1.0}
"""

GROUP = """
group: tiny_group
task: [tiny_choices, tiny_answers]
"""


def write_tasks(folder: Path, count: int = 24) -> Path:
    """The YAML files with their data beside them, named without a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("choices", CHOICES), ("answers", ANSWERS), ("texts", TEXTS), ("group", GROUP)):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    rows = [
        {"text": row["text"], "label": number % 3, "answer": ("good", "film", "is")[number % 3]}
        for number, row in enumerate(reviews(count, seed=3))
    ]
    write_jsonl(folder / "choices.jsonl", rows)
    write_jsonl(folder / "shots.jsonl", rows[: count // 2])
    return folder


def tiny_model(folder: Path, seed: int = 0) -> Path:
    """A language model whose answers differ from prompt to prompt, with a generation configuration."""
    path = llama(folder, seed=seed, hidden_size=16, max_position_embeddings=128, initializer_range=0.6)
    torch.manual_seed(seed)
    (path / "generation_config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": 2}), encoding="utf-8")
    return path


def own_run(model: Path, tasks: Path, names: list[str], **settings: Any) -> Any:
    """What lm-eval itself reports of a folder, by its public function."""
    import logging

    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return simple_evaluate(
        model="hf",
        model_args={"pretrained": str(model)},
        tasks=names,
        device="cpu",
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        bootstrap_iters=0,
        **settings,
    )
