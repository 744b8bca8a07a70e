from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny import TASKS, copy_folder, read_params

from paretomerge.checkpoints import write_params
from paretomerge.evaluation import evaluate_one, paired_difference
from paretomerge.stages import open_study, verify_run
from paretomerge.stages.fitting.fit import fit_run
from paretomerge.stages.joint.truths import Truth, compare_truths, given_truth, known_truths, truth_key
from paretomerge.stages.landscape import landscape_of
from paretomerge.stages.scoring.models import silent

ALPHA, BETA = (0.5, 0.25, 0.25), (0.25, 0.5, 0.25)


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with two checkpoints that stand for the user's own joint finetunings."""
    own = copy_folder(tiny, tmp_path_factory.mktemp("truths") / "study", posterior={"family": "isotropic"})
    base = read_params(own / "base")
    for number, name in enumerate(("one", "two")):
        torch.manual_seed(number)
        write_params(own / name, {key: value + 0.1 * torch.randn_like(value) for key, value in base.items()})
    return own


def test_truths_are_the_finetunes_at_the_corners_and_each_checkpoint_at_its_weights(folder: Path) -> None:
    study = open_study(folder / "recipe.yaml")
    truths = [given_truth(study, ALPHA, folder / "one"), given_truth(study, BETA, folder / "two")]
    found = compare_truths(study, landscape_of(fit_run(study)), truths, silent)
    models = [
        *(read_params(folder / f"ft-{task}") for task in TASKS),
        *(read_params(folder / n) for n in ("one", "two")),
    ]
    evaluations = [evaluate_one(model, study.evaluator("test"), study.objectives) for model in models]
    np.testing.assert_allclose(found.truths.values, [one.values for one in evaluations], rtol=1e-6)
    np.testing.assert_array_equal(found.truths.weights, [*np.eye(3), ALPHA, BETA])
    assert set(found.truths.origin) == {"trained"}
    assert set(found.previews.origin) == {"merged"}


def test_the_noise_of_a_difference_is_that_of_paired_examples(folder: Path) -> None:
    study = open_study(folder / "recipe.yaml")
    landscape = landscape_of(fit_run(study))
    found = compare_truths(study, landscape, [given_truth(study, ALPHA, folder / "one")], silent)
    merged = evaluate_one(next(iter(landscape.models(np.array([ALPHA])))), study.evaluator("test"), study.objectives)
    trained = evaluate_one(read_params(folder / "one"), study.evaluator("test"), study.objectives)
    _, stderr = paired_difference(trained, merged)
    assert found.noise is not None
    np.testing.assert_allclose(found.noise[:, 3, 3], stderr**2, rtol=1e-5)
    assert found.noise[:, 0, 0] == pytest.approx(np.zeros(6), abs=1e-12), "averages at a corner are the finetune"
    part = found.take([3])
    assert part.noise is not None
    np.testing.assert_array_equal(part.noise, found.noise[:, 3:, 3:])
    assert part.previews.weights.tolist() == [list(ALPHA)]


def test_truths_are_known_again_until_what_they_depend_on_changes(tiny: Path, tmp_path: Path) -> None:
    own = copy_folder(tiny, tmp_path / "study", posterior={"family": "isotropic"})
    write_params(own / "one", read_params(own / "ft-sums"))
    verify_run(open_study(own / "recipe.yaml"), 1, trained={ALPHA: own / "one"})

    def known() -> list[Truth]:
        study = open_study(own / "recipe-run")
        with study.folder.open_journal() as journal:
            return known_truths(study, journal)

    assert sorted(bool(truth.path) for truth in known()) == [False, True]
    recipe = own / "recipe-run" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("seed: 0", "seed: 1"))
    assert [bool(truth.path) for truth in known()] == [True], "another seed trains others, and scores the same"
    source = (own / "problem.py").read_text()
    (own / "problem.py").write_text(source.replace('"test": 40', '"test": 39'))
    assert known() == []


def test_truths_go_through_json_and_their_keys_differ(folder: Path) -> None:
    study = open_study(folder / "recipe.yaml")
    truths = [
        Truth(ALPHA),
        Truth(BETA),
        given_truth(study, dict(zip(TASKS, ALPHA, strict=True)), folder / "one"),
        given_truth(study, ALPHA, folder / "two"),
    ]
    assert [Truth.from_dict(truth.as_dict()) for truth in truths] == truths
    assert len({truth_key(study, truth) for truth in truths}) == 4
