"""Trained checkpoints of a run: kept, shared by the verbs, and safe from interruptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny import TASKS, TRAINING, read_params

from paretomerge.choices import ByWeights
from paretomerge.errors import InputError, StorageError, TrainingError
from paretomerge.runs import Claims, Journal
from paretomerge.stages import choose_point, finetune_run, open_study, verify_run
from paretomerge.stages.joint.training import joint_checkpoint, training_key, training_recipe
from paretomerge.stages.scoring.models import silent
from paretomerge.stages.study import Study
from paretomerge.training import TrainingRecipe

ROW = np.array([0.5, 0.3, 0.2])
ALPHA = dict(zip(TASKS, ROW.tolist(), strict=True))


def _journal(study: Study) -> Journal:
    return study.folder.open_journal()


def _trained(study: Study, progress: Any = silent, **settings: Any) -> Path:
    recipe = training_recipe(study, {"steps": 4})
    with _journal(study) as journal:
        found = joint_checkpoint(study, journal, "k" * 64, ROW, recipe, progress, **settings)
    assert found.source is not None
    return found.source


def test_settings_of_the_recipe_change_one_by_one(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    assert training_recipe(study) == TrainingRecipe(**TRAINING)  # type: ignore[arg-type]
    found = training_recipe(study, {"steps": 4, "lora.rank": 3, "lora.alpha": 5})
    assert (found.steps, found.learning_rate) == (4, TRAINING["learning_rate"])
    assert found.lora is not None
    assert (found.lora.rank, found.lora.alpha) == (3, 5)


def test_a_verification_finds_what_was_finetuned(own: Path) -> None:
    """Neither trained nor scored again."""
    study = open_study(own / "recipe.yaml")
    choose_point(study, ByWeights(ALPHA))
    finetune_run(study, own / "joint")
    with _journal(study) as journal:
        before = journal.ledger()
    verification = verify_run(study, 1)
    with _journal(study) as journal:
        after = journal.ledger()
    assert (before["finetune"].trainings, after["finetune"]) == (1, before["finetune"])
    assert after["verify"].trainings == 0
    # Of the corners, the finetunes and the merge there, and of the merge at the point: not of the trained model.
    assert after["verify"].evaluations == 2 * len(TASKS) + 1
    assert len(list(study.folder.trained.iterdir())) == 1
    assert verification.truths.weights.shape == (1, 3)


@pytest.mark.parametrize(
    "change",
    [{"weights": ROW[::-1]}, {"recipe": {"steps": 5}}, {"recipe": {"lora.rank": 2}}, {"start": "merged"}, {"seed": 1}],
    ids=str,
)
def test_a_key_depends_on_everything_the_result_depends_on(own: Path, change: dict[str, Any]) -> None:
    study = open_study(own / "recipe.yaml")
    recipe = training_recipe(study, change.pop("recipe", {}))
    weights = change.pop("weights", ROW)
    plain = training_key(study, ROW, training_recipe(study))
    assert training_key(study, weights, recipe, **change) != plain
    incidental = training_recipe(study, {"save_every": 3, "accumulate": 2, "device": "cpu"})
    assert training_key(study, ROW, incidental, seed=0) == plain


def test_validation_data_matter_where_training_stops_early(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    recipes = training_recipe(study), training_recipe(study, {"check_every": 2, "patience": 1})
    before = [training_key(study, ROW, recipe) for recipe in recipes]
    source = (own / "problem.py").read_text()
    (own / "problem.py").write_text(source.replace('"validation": 32', '"validation": 31'))
    changed = open_study(own / "recipe.yaml")
    # The source of the problem is another too, so every key changes; with validation data one part more does.
    assert all(training_key(changed, ROW, recipe) != key for recipe, key in zip(recipes, before, strict=True))
    assert len(set(before)) == 2


def test_a_result_that_could_not_be_written_costs_the_last_steps_only(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(own / "recipe.yaml")

    def refuse(*arguments: object, **settings: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("paretomerge.stages.joint.training.write_trained", refuse)
        with pytest.raises(StorageError, match="full"):
            _trained(study)
    with _journal(study) as journal:
        assert "verify" not in journal.ledger()
    messages: list[str] = []
    folder = _trained(study, messages.append)
    assert any("goes on after step 3 of 4" in message for message in messages)
    assert not study.folder.training.exists()
    held = read_params(folder)
    fresh = training_recipe(study, {"steps": 4})
    with _journal(study) as journal:
        again = joint_checkpoint(study, journal, "another key", ROW, fresh, silent)
        assert journal.ledger()["verify"].trainings == 2
    assert all(torch.equal(held[name], again[name]) for name in again)


def test_a_verification_by_several_processes_would_wait_for_itself(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(own / "recipe.yaml")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        InputError, match=r"verify runs in one process: train .* accelerate launch -m paretomerge finet"
    ):
        verify_run(study, 1)


def test_two_commands_do_not_train_the_same_at_the_same_time(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    with _journal(study) as other:
        claims = Claims(other)
        assert claims.take("training " + "k" * 64)
        with pytest.raises(TrainingError, match="another process trains with these weights"):
            _trained(study)
        claims.close()
    assert _trained(study).is_dir()


def test_the_costs_go_to_the_stage_that_asks(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    _trained(study, stage="elsewhere")
    _trained(study, stage="verify")
    with _journal(study) as journal:
        assert journal.ledger()["elsewhere"].gradient_passes == 4 * 16 * 3
        assert "verify" not in journal.ledger()


@pytest.mark.parametrize("when", ["before it is charged", "after it is charged"])
def test_a_training_that_is_kept_is_charged_once_wherever_the_process_ends(
    own: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    study = open_study(own / "recipe.yaml")
    conclude = Journal.conclude

    def end(self: Journal, facts: Any, charge: Any = None) -> None:
        if when == "after it is charged":
            conclude(self, facts, charge)
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "conclude", end)
    with pytest.raises(KeyboardInterrupt):
        _trained(study)
    monkeypatch.undo()
    assert study.folder.training.is_dir()
    folder = _trained(study, progress=lambda text: pytest.fail(f"trained again: {text}"))
    assert folder.is_dir()
    assert not study.folder.training.exists()
    _trained(study)
    with _journal(study) as journal:
        assert journal.ledger()["verify"].trainings == 1
