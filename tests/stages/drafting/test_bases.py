"""Bases for finetunes that started from a bare encoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from paretomerge.checkpoints import Checkpoint, open_checkpoint, write_params
from paretomerge.errors import CheckpointError
from paretomerge.stages.drafting.bases import NewBase, base_with_head
from paretomerge.stages.drafting.finetunes import Finetune, open_finetune


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """An encoder, and two classifiers made of it: other names, a head each, and a word of their own for outputs."""
    generator = torch.Generator().manual_seed(0)
    encoder = {f"layer.{n}.dense.weight": torch.randn(8, 8, generator=generator) for n in range(3)}
    write_params(tmp_path / "encoder", {**encoder, "lm_head.bias": torch.ones(3)})
    (tmp_path / "encoder" / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}))
    (tmp_path / "encoder" / "vocab.txt").write_text("a\n")
    (tmp_path / "encoder" / "modules.json").write_text("{}")
    for seed, task in enumerate("ab"):
        body = {f"bert.{name}": tensor + 0.01 * seed for name, tensor in encoder.items()}
        head = {"classifier.weight": torch.full((2, 8), float(seed)), "counter": torch.tensor(seed)}
        write_params(tmp_path / task, body | head)
        config = {"architectures": ["BertForSequenceClassification"], "hidden_size": 8}
        named = {"id2label": {"0": "bad", "1": "good"}} if task == "b" else {}
        (tmp_path / task / "config.json").write_text(json.dumps(config | named))
    return tmp_path


def _plan(models: Path, base: str = "encoder", tasks: str = "ab") -> tuple[NewBase | None, dict[str, Checkpoint]]:
    finetunes: dict[str, Finetune] = {task: open_finetune(task, models / task) for task in tasks}
    opened = {task: open_checkpoint(models / task) for task in tasks}
    return base_with_head(open_checkpoint(models / base), finetunes, opened), opened


def test_the_new_base_has_the_encoder_and_the_average_head(models: Path) -> None:
    plan, opened = _plan(models)
    assert plan is not None
    assert set(plan.averaged) == {"classifier.weight", "counter"}
    written = open_checkpoint(plan.write(models / "new"))
    encoder = open_checkpoint(models / "encoder")
    assert list(written) == list(opened["a"]) or set(written) == set(opened["a"])
    for name in encoder:
        if name != "lm_head.bias":
            assert torch.equal(written[f"bert.{name}"], encoder[name])
    assert torch.equal(written["classifier.weight"], torch.full((2, 8), 0.5))
    assert int(written["counter"]) == 0
    config = json.loads((models / "new" / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["id2label"] == {"0": "bad", "1": "good"}
    assert (models / "new" / "vocab.txt").read_text() == "a\n"
    assert not (models / "new" / "modules.json").exists()
    manifest = json.loads((models / "new" / "paretomerge.json").read_text())
    assert manifest["made_by"] == "paretomerge init"
    assert plan.bytes == sum(written.spec(name).nbytes for name in written)


def test_the_new_base_fits_its_finetunes_and_is_no_second_time_new(models: Path) -> None:
    plan, _ = _plan(models)
    assert plan is not None
    plan.write(models / "new")
    assert _plan(models, "new")[0] is None
    with pytest.raises(CheckpointError, match=r"not empty|exists"):
        plan.write(models / "new")
    plan.write(models / "new", overwrite=True)


def test_why_is_said_in_words_without_paths(models: Path) -> None:
    plan, _ = _plan(models)
    assert plan is not None
    assert plan.reason.startswith("encoder lacks classifier.weight, counter, which all finetunes have")
    assert str(models) not in plan.reason


def test_other_names_alone_are_reason_enough(models: Path) -> None:
    for task in "ab":
        params = {n: t for n, t in open_checkpoint(models / task).items() if n.startswith("bert.")}
        write_params(models / task, dict(params), overwrite=True)
        (models / task / "config.json").write_text("{}")
    plan, _ = _plan(models)
    assert plan is not None
    assert plan.averaged == ()
    assert "have other names" in plan.reason


def test_finetunes_of_another_model_are_refused(models: Path) -> None:
    write_params(models / "other", {"conv.weight": torch.ones(50, 50)})
    with pytest.raises(CheckpointError, match=r"hardly a tensor in common .* give the pretrained model"):
        _plan(models, "other")


def test_heads_of_other_shapes_cannot_be_averaged(models: Path) -> None:
    params = dict(open_checkpoint(models / "b").items())
    write_params(models / "b", params | {"classifier.weight": torch.ones(3, 8)}, overwrite=True)
    (models / "b" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"\[2, 8\] in a and \[3, 8\] in b: heads with other classes"):
        _plan(models)


def test_another_vocabulary_is_left_to_the_check(models: Path) -> None:
    params = dict(open_checkpoint(models / "a").items())
    write_params(models / "base", params | {"embed_tokens.weight": torch.ones(5, 8)})
    write_params(models / "grown", params | {"embed_tokens.weight": torch.ones(6, 8)})
    found = base_with_head(
        open_checkpoint(models / "base"),
        {"grown": open_finetune("grown", models / "grown")},
        {"grown": open_checkpoint(models / "grown")},
    )
    assert found is None
