"""The pre-flight of checkpoints and recipes: findings, sizes, and the repaired models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.checkpoints.vocabularies import make_model

from paretomerge.checkpoints import Rename, Repairs, open_checkpoint, save_posterior, write_params
from paretomerge.errors import AlignmentError, CheckpointError, InputError
from paretomerge.posteriors import Isotropic
from paretomerge.stages.check import check_models, preflight


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A base and two finetunes: `a` fits, `b` lacks the prefix and has a head of its own."""
    generator = torch.Generator().manual_seed(0)
    base = {"net.w": torch.randn(8, 8, generator=generator), "net.b": torch.randn(8, generator=generator)}
    write_params(tmp_path / "base", base)
    write_params(tmp_path / "a", {name: tensor + 0.01 for name, tensor in base.items()})
    renamed = {name.removeprefix("net."): tensor * 1.01 for name, tensor in base.items()}
    write_params(tmp_path / "b", renamed | {"head": torch.ones(3)})
    return tmp_path


def test_what_is_advised_repairs(models: Path) -> None:
    tasks = {"a": models / "a", "b": models / "b"}
    first = check_models(models / "base", tasks)
    assert not first.ok
    assert first.alignment.repairs == (("--rename", "b=b:net.b"), ("--rename", "b=w:net.w"), ("--private", "head"))
    with pytest.raises(AlignmentError, match="--private head"):
        first.raise_if_bad()
    repairs = Repairs((Rename("b", "w", "net.w"), Rename("b", "b", "net.b")), private=("head",))
    second = check_models(models / "base", tasks, repairs)
    assert second.raise_if_bad() is second
    assert {task: list(own) for task, own in second.repaired.private.items()} == {"b": ["head"]}


def test_the_estimate_covers_what_the_repairs_leave(models: Path) -> None:
    repairs = Repairs((Rename("b", "w", "net.w"), Rename("b", "b", "net.b")), private=("head",))
    tasks = {"a": models / "a", "b": models / "b"}
    found = check_models(models / "base", tasks, repairs, models=3, dtype=torch.bfloat16, target=models)
    assert found.estimate.bytes_to_read == 3 * 288 + 12
    assert found.estimate.bytes_to_write == 3 * 144 + 12
    assert found.estimate.seconds is not None
    assert found.estimate.seconds > 0
    assert found.estimate.free_disk > 0
    again = preflight(found.repaired, inputs_per_finetune=2)
    assert again.estimate.bytes_to_read == 5 * 288 + 12


def test_everything_is_json(models: Path) -> None:
    found = check_models(models / "base", {"a": models / "a"}, Repairs(skip=("net.b",)))
    content = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert content["ok"] is True
    assert content["kept"] == ["net.b"]
    assert content["private"] == {}
    assert content["tasks"][0]["farthest"][0]["tensor"] == "net.w"
    assert content["estimate"]["parameters"] == 72


def test_nothing_to_check_and_nothing_there_are_refused(models: Path) -> None:
    with pytest.raises(InputError, match="give at least one --task name=DIR"):
        check_models(models / "base", {})
    with pytest.raises(CheckpointError, match="there is no such file or folder"):
        check_models(models / "base", {"c": models / "c"})


def test_a_union_of_vocabularies_is_checked_as_it_will_be_merged(tmp_path: Path) -> None:
    make_model(tmp_path / "base", [*"abc"])
    make_model(tmp_path / "wide", [*"cabd"], 0.1)
    tasks = {"wide": tmp_path / "wide"}
    assert check_models(tmp_path / "base", tasks).alignment.advice == "--tokenizer union"
    found = check_models(tmp_path / "base", tasks, Repairs(tokenizer="union"))
    assert found.ok
    assert found.repaired.base.spec("embed_tokens.weight").shape == (4, 3)


def test_a_random_rule_is_warned_of_ties(models: Path) -> None:
    table = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    base = open_checkpoint(write_params(models / "tied", {"embed.weight": table, "lm_head.weight": table.clone()}))
    moved = table + 0.01
    write_params(models / "t", {"embed.weight": moved, "lm_head.weight": moved.clone()})
    tasks = {"t": models / "t"}
    assert base.source is not None
    assert check_models(base.source, tasks).alignment.findings == ()
    [found] = check_models(base.source, tasks, drops_at_random=True).alignment.findings
    assert found.kind == "tied"


def test_the_file_of_a_posterior_is_told_from_a_checkpoint(tmp_path):
    base = {"w": torch.zeros(2, 3)}
    write_params(tmp_path / "base", base)
    save_posterior(tmp_path / "a.safetensors", Isotropic({"w": torch.ones(2, 3)}))
    with pytest.raises(InputError, match=r"'a' is the file of a posterior .*give the finetune it was fitted on"):
        check_models(tmp_path / "base", {"a": tmp_path / "a.safetensors"})
