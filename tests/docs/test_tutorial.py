"""The start page and the tutorial are run from top to bottom, as by a reader, with a tiny encoder and made-up texts."""

from __future__ import annotations

import json
import random
import shutil
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.docs.commands import commands_in
from tests.docs.pages import ROOT, Block, blocks_of

from paretomerge.cli import main

WORDS = {
    "movie": (["fine", "bright", "tender", "brilliant"], ["dull", "poor", "flat", "tedious"]),
    "tweets": (["love", "great", "happy", "bright"], ["hate", "awful", "sad", "flat"]),
}
FILLERS = ["the", "a", "film", "day", "plot", "was", "is", "it", "and", "so"]
SKIPPED = {"demo"}  # minutes; it has tests of its own
SIZES = {"training": 64, "validation": 24, "test": 32}


def write_encoder(folder: Path) -> None:
    """A BERT without a head, of a few thousand parameters, with a tokenizer of whole words."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    words = [word for pair in WORDS.values() for side in pair for word in side]
    names = list(dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FILLERS, *words]))
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(names), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    BertModel(BertConfig(vocab_size=len(names), max_position_embeddings=64, **sizes)).save_pretrained(folder)


def write_data(folder: Path) -> None:
    """Sentences of two tasks, three splits each."""
    draw = random.Random(0)
    for task, sides in WORDS.items():
        (folder / task).mkdir(parents=True)
        for split, size in SIZES.items():
            rows = []
            for number in range(size):
                text = [*draw.sample(FILLERS, 4), draw.choice(sides[number % 2])]
                rows.append({"text": " ".join(text), "label": ("positive", "negative")[number % 2]})
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / task / f"{split}.jsonl").write_text(lines, encoding="utf-8")


@dataclass(frozen=True)
class Trained:
    """A folder with what the pages ask for, base and finetunes included, and the names that training left."""

    folder: Path
    names: dict[str, Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """What a reader has after the training of the tutorial."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    folder = tmp_path_factory.mktemp("reader")
    write_encoder(folder / "encoder")
    write_data(folder / "data")
    names: dict[str, Any] = {"__name__": "documentation"}
    with chdir(folder):
        run(next(block for block in blocks_of(ROOT / "docs/tutorial.md") if block.language == "python"), names)
    return Trained(folder, names)


@pytest.fixture
def place(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, in which a page is run."""
    shutil.copytree(trained.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARETOMERGE_PROGRESS", "off")
    return tmp_path


def run(block: Block, names: dict[str, Any]) -> None:
    """Run a Python block."""
    exec(compile(block.content, block.name, "exec"), names)


def run_page(name: str, names: dict[str, Any]) -> list[str]:
    """Run the commands of a page, and its Python blocks after the training, in their order; the verbs that ran."""
    verbs = []
    for block in blocks_of(ROOT / "docs" / name):
        if block.language == "python" and "Trainer" not in block.content:
            run(block, dict(names))
        elif block.language == "console":
            for words in commands_in(block.content):
                if words[1] not in SKIPPED:
                    assert main(words[1:]) == 0, " ".join(words)
                    verbs.append(words[1])
        elif block.language == "yaml":
            with Path("recipe.yaml").open("a", encoding="utf-8") as recipe:  # lines that the reader is asked to add
                recipe.write(block.content)
    return verbs


def test_the_start_page_runs(place: Path, trained: Trained) -> None:
    """With two finetunes at hand, every command of the start page works."""
    assert run_page("index.md", trained.names) == ["check", "merge", "init", "front", "report", "choose", "export"]
    assert {path.name for path in place.iterdir()} >= {"averaged", "merged", "recipe.yaml", "recipe-run"}


def test_the_tutorial_runs(place: Path, trained: Trained) -> None:
    """Every block and every command of the tutorial works, one after the other."""
    verbs = run_page("tutorial.md", trained.names)
    assert {"init", "check", "front", "report", "choose", "export", "verify"} <= set(verbs)
    assert (place / "merged" / "model.safetensors").exists()
    lines = (place / "recipe.yaml").read_text(encoding="utf-8").splitlines()
    assert sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in lines) <= 10
