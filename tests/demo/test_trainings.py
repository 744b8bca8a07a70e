from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from paretomerge.demo import trainings
from paretomerge.demo.trainings import Job, grid, load, pretrain, train
from paretomerge.training import TrainingRecipe

SHORT = TrainingRecipe(steps=2, examples_per_task=4)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A finetune of two steps."""
    monkeypatch.setattr(trainings, "PRETRAINING", SHORT)
    monkeypatch.setattr(trainings, "FINETUNING", SHORT)
    assert pretrain(tmp_path / "base", 0).trainings == 1
    return Job(tmp_path / "joint", tmp_path / "base", 0, (0.5, 0.25, 0.25), 3)


def test_the_grid_gives_every_task_some_weight_and_ends_with_the_even_edges() -> None:
    weights = grid()
    assert weights.shape == (13, 3)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert (weights[:10] > 0).all()
    assert sorted(map(tuple, weights[10:].tolist())) == [(0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)]
    assert len({tuple(row) for row in weights.round(9).tolist()}) == 13


def test_a_training_that_is_on_disk_is_not_repeated(job: Job) -> None:
    assert train(job).trainings == 1
    written = (job.folder / "model.safetensors").stat().st_mtime_ns
    assert train(job).trainings == 0
    assert pretrain(job.base, 0).trainings == 0
    assert (job.folder / "model.safetensors").stat().st_mtime_ns == written


def test_trainings_depend_on_their_seed_only(job: Job, tmp_path: Path) -> None:
    models = []
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        again = Job(tmp_path / name, job.base, 0, job.weights, seed)
        train(again)
        models.append(load(again.folder)["head.weight"])
    assert models[0].equal(models[1])
    assert not models[0].equal(models[2])
