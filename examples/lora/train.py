"""Trains a LoRA adapter on one task with peft and transformers' Trainer; nothing here knows of merging.

for task in german french; do python examples/lora/train.py DIR $task; done
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

IGNORED = -100


class Translations(torch.utils.data.Dataset):
    """A file of prompts and responses; only the response and the end token are labelled."""

    def __init__(self, file: Path, tokenizer) -> None:
        """Read all of it."""
        self.items = []
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            asked = tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]
            answered = tokenizer(row["response"], add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
            self.items.append({"input_ids": asked + answered, "labels": [IGNORED] * len(asked) + answered})

    def __len__(self) -> int:
        """How many."""
        return len(self.items)

    def __getitem__(self, number: int) -> dict:
        """One of them."""
        return self.items[number]


def main() -> None:
    """Train, and save the adapter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("task")
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    base, data = arguments.folder / "base", arguments.folder / "data" / arguments.task
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(
            r=8,
            lora_alpha=16,
            target_modules=["q_proj", "v_proj", "up_proj", "down_proj"],
            task_type="CAUSAL_LM",
            base_model_name_or_path=str(base),
        ),
    )
    trainer = Trainer(
        model,
        TrainingArguments(
            output_dir=arguments.folder / "adapters" / arguments.task,
            max_steps=arguments.steps,
            per_device_train_batch_size=8,
            learning_rate=1e-3,
            warmup_steps=arguments.steps // 10,
            save_steps=arguments.steps,
            report_to="none",
            seed=1,
        ),
        train_dataset=Translations(data / "training.jsonl", tokenizer),
        eval_dataset=Translations(data / "validation.jsonl", tokenizer),
        data_collator=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=IGNORED),
        processing_class=tokenizer,
    )
    trainer.train()
    trainer.save_model()
    print(trainer.evaluate())


if __name__ == "__main__":
    main()
