"""Tiny random models with a tokenizer of their own, and rows of examples, for the tests of problems from files."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="the optional extra hf is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="the optional extra hf is not installed")

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

WORDS = ("good", "bad", "fine", "poor", "film", "plot", "not", "very", "the", "a", "is", "was", "yes", "no", "?", ".")
SPECIAL = {"encoder": ("[PAD]", "[UNK]", "[CLS]", "[SEP]"), "decoder": ("<unk>", "<s>", "</s>")}


def write_tokenizer(folder: Path, kind: str = "encoder", words: Iterable[str] = WORDS, start: bool = True) -> Any:
    """Whole words; an encoder's texts stand between [CLS] and [SEP], a decoder's behind <s> (if `start`)."""
    names = SPECIAL[kind]
    vocabulary = {word: number for number, word in enumerate((*names, *words))}
    inner = tokenizers.Tokenizer(
        tokenizers.models.WordLevel(vocabulary, unk_token=names[1 if kind == "encoder" else 0])
    )
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    if kind == "encoder":
        inner.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        said = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    else:
        if start:
            inner.post_processor = tokenizers.processors.TemplateProcessing(
                single="<s> $A", special_tokens=[("<s>", 1)]
            )
        said = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **said)
    tokenizer.save_pretrained(folder)
    return tokenizer


def bert(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A classifier with dropout, of two outputs unless `num_labels` says otherwise."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
    settings = {"vocab_size": 20, "max_position_embeddings": 16, "pad_token_id": 0, **sizes, **changes}
    return _saved(folder, "BertForSequenceClassification", transformers.BertConfig(**settings), "encoder", seed)


def llama(folder: Path, seed: int = 0, kind: str = "LlamaForCausalLM", start: bool = True, **changes: Any) -> Path:
    """A language model (or a classifier) without a padding token, with its output layer of its own."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    ends = {"bos_token_id": 1, "eos_token_id": 2}
    settings = {"vocab_size": 19, "intermediate_size": 12, "max_position_embeddings": 32, **ends, **sizes, **changes}
    return _saved(folder, kind, transformers.LlamaConfig(**settings), "decoder", seed, start)


def gpt2(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A language model whose output layer is its embedding."""
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 32, "bos_token_id": 1, "eos_token_id": 2}
    return _saved(
        folder, "GPT2LMHeadModel", transformers.GPT2Config(vocab_size=19, **sizes, **changes), "decoder", seed
    )


def finetuned(base: Path, folder: Path, seed: int, size: float = 0.005) -> Path:
    """The base with small random changes to every parameter, and its side files."""
    from paretomerge.checkpoints import open_checkpoint, write_params

    generator = torch.Generator().manual_seed(seed)
    checkpoint = open_checkpoint(base)
    params = {
        name: checkpoint[name] + size * torch.randn(checkpoint[name].shape, generator=generator) for name in checkpoint
    }
    return write_params(folder, params)


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def reviews(count: int, seed: int = 0, **changes: Any) -> list[dict[str, Any]]:
    """Random sentences of 2 to 7 words, positive where "good" and "fine" are more than "bad" and "poor"."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(count):
        length = int(torch.randint(2, 8, (), generator=generator))
        words = [WORDS[int(i)] for i in torch.randint(0, len(WORDS), (length,), generator=generator)]
        score = sum((word in ("good", "fine")) - (word in ("bad", "poor")) for word in words)
        rows.append({"text": " ".join(words), "label": "positive" if score >= 0 else "negative", **changes})
    return rows


def answers(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Questions whose answer is yes when they are about a film."""
    return [
        {"prompt": row["text"] + " ?", "response": "yes ." if "film" in row["text"] else "no"}
        for row in reviews(count, seed)
    ]


@contextlib.contextmanager
def inside(folder: Path) -> Any:
    """Another working directory."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _saved(folder: Path, kind: str, config: Any, tokenizer: str, seed: int, start: bool = True) -> Path:
    torch.manual_seed(seed)
    getattr(transformers, kind)(config).save_pretrained(folder)
    write_tokenizer(folder, tokenizer, start=start)
    return folder
