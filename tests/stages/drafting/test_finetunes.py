"""Finding models in folders, and what their tasks are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from paretomerge.checkpoints import write_params
from paretomerge.errors import CheckpointError, InputError
from paretomerge.stages.drafting.finetunes import find_finetunes, kind_of, name_tasks, open_finetune


def _model(folder: Path, **state: object) -> Path:
    write_params(folder, {"w": torch.ones(2, 2)})
    (folder / "config.json").write_text(json.dumps({"architectures": ["BertForSequenceClassification"]}))
    if state:
        (folder / "trainer_state.json").write_text(json.dumps(state))
    return folder


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["ft/movie", "ft/tweets"], ["movie", "tweets"]),
        (["runs/movie/final", "runs/tweets/final"], ["movie", "tweets"]),
        (["runs/movie/checkpoint-30", "runs/tweets/checkpoint-45"], ["movie", "tweets"]),
        (["minilm-movie-v1", "minilm-tweets-v1"], ["movie", "tweets"]),
        (["movie/lora", "tweets/lora"], ["movie", "tweets"]),
        (["movie/a", "tweets/a", "books/b"], ["movie", "tweets", "books"]),
        (["a film!", "b=c,d"], ["a-film", "b-c-d"]),
        (["seed-1", "seed-2"], ["seed-1", "seed-2"]),
        (["Movie", "movie/x"], ["Movie", "x"]),
        (["movie"], ["movie"]),
        ([], []),
    ],
)
def test_names_are_the_last_parts_that_tell_finetunes_apart(paths: list[str], names: list[str]) -> None:
    assert name_tasks([Path("/home/me") / path for path in paths]) == names


def test_a_folder_with_a_model_is_itself(tmp_path: Path) -> None:
    _model(tmp_path / "movie", max_steps=45)
    _model(tmp_path / "movie" / "checkpoint-45")
    found = open_finetune("movie", tmp_path / "movie")
    assert (found.path, found.notes, found.kind) == (tmp_path / "movie", (), "sequence_classification")
    assert found.state["max_steps"] == 45


def test_of_a_trainers_checkpoints_the_newest_with_a_model_is_taken_and_said(tmp_path: Path) -> None:
    for step in (500, 1000, 90):
        _model(tmp_path / f"checkpoint-{step}")
    (tmp_path / "checkpoint-1500").mkdir()
    found = open_finetune("movie", tmp_path)
    assert found.path == tmp_path / "checkpoint-1000"
    assert found.notes == (
        f"{tmp_path} holds no model itself: checkpoint-1000, the newest of its checkpoints, is taken",
    )


def test_a_better_checkpoint_is_pointed_at(tmp_path: Path) -> None:
    _model(tmp_path / "checkpoint-500")
    _model(tmp_path / "checkpoint-1000", best_model_checkpoint="elsewhere/checkpoint-500")
    assert "the Trainer found checkpoint-500 better" in open_finetune("movie", tmp_path).notes[-1]


@pytest.mark.parametrize(
    ("make", "seen"),
    [
        (lambda path: None, "there is no such folder"),
        (lambda path: path.mkdir(), "expected model.safetensors"),
        (lambda path: _model(path / "inner"), r"it holds folders of models \(inner\): name those"),
        (lambda path: _model(path / "run" / "checkpoint-3"), r"it holds folders of models \(run\)"),
    ],
)
def test_a_folder_without_a_model_says_where_one_may_be(tmp_path: Path, make: object, seen: str) -> None:
    make(tmp_path / "x")  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=seen):
        open_finetune("x", tmp_path / "x")


def test_adapters_say_their_kind_themselves(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"task_type": "CAUSAL_LM"}))
    found = open_finetune("code", tmp_path)
    assert (found.kind, found.outputs) == ("causal_lm", ())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BertForSequenceClassification", "sequence_classification"),
        ("GPT2LMHeadModel", "causal_lm"),
        ("LlamaForCausalLM", "causal_lm"),
        ("ViTForImageClassification", "image_classification"),
        ("BertModel", None),
    ],
)
def test_architectures_tell_the_kind_of_problem(name: str, kind: str | None) -> None:
    assert kind_of({"architectures": [name]}) == kind


def test_names_of_outputs_in_their_order(tmp_path: Path) -> None:
    config = {"id2label": {"1": "b", "0": "a", "10": "k"}}
    (_model(tmp_path / "x") / "config.json").write_text(json.dumps(config))
    assert open_finetune("x", tmp_path / "x").outputs == ("a", "b", "k")
    (tmp_path / "x" / "config.json").write_text(json.dumps({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}))
    assert open_finetune("x", tmp_path / "x").outputs == ()


def test_names_of_ones_own_and_twice_the_same(tmp_path: Path) -> None:
    _model(tmp_path / "a"), _model(tmp_path / "b")
    found = find_finetunes([str(tmp_path / "a")], {"films": str(tmp_path / "b")})
    assert list(found) == ["a", "films"]
    with pytest.raises(InputError, match=r"two finetunes are called 'a'.*--task NAME=DIR"):
        find_finetunes([str(tmp_path / "a")], {"a": str(tmp_path / "b")})
    with pytest.raises(InputError, match="no finetunes"):
        find_finetunes([], {})
