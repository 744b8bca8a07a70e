"""Finetunes the base on one task with transformers' Trainer; nothing here knows of merging. Minutes on one CPU core.

python examples/sentiment/train.py DIR movie
python examples/sentiment/train.py DIR tweets
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)


class Sentences(torch.utils.data.Dataset):
    """A file of labelled sentences, tokenized."""

    def __init__(self, file: Path, tokenizer, numbers: dict[str, int]) -> None:
        """Read all of it."""
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        self.items = [
            {**tokenizer(row["text"], truncation=True, max_length=64), "labels": numbers[row["label"]]} for row in rows
        ]

    def __len__(self) -> int:
        """How many."""
        return len(self.items)

    def __getitem__(self, number: int) -> dict:
        """One of them."""
        return self.items[number]


def main() -> None:
    """Train, and save where Trainer saves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("task")
    parser.add_argument("--steps", type=int, default=180)
    arguments = parser.parse_args()
    base, data = arguments.folder / "base", arguments.folder / "data" / arguments.task
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(base)
    trainer = Trainer(
        model,
        TrainingArguments(
            output_dir=arguments.folder / "finetunes" / arguments.task,
            max_steps=arguments.steps,
            per_device_train_batch_size=16,
            learning_rate=5e-5,
            warmup_steps=arguments.steps // 10,
            save_steps=arguments.steps,
            report_to="none",
            seed=1,
        ),
        train_dataset=Sentences(data / "training.jsonl", tokenizer, model.config.label2id),
        eval_dataset=Sentences(data / "validation.jsonl", tokenizer, model.config.label2id),
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())},
    )
    trainer.train()
    print(trainer.evaluate())


if __name__ == "__main__":
    main()
