from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny import TASKS, logged_recipe, read_params, recipe_of, write_recipe

from paretomerge.errors import AlignmentError, RecipeError
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.stages import fit_run, open_study
from paretomerge.stages.fit import Fitted

GRID = np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.0, 0.3, 0.7]])

FAMILIES = {
    "isotropic": {"family": "isotropic"},
    "diagonal": {"family": "diagonal", "damping": 0.1},
    "dense": {"family": "dense", "settings": {"parameters": "^2"}, "damping": 0.1},
    "subspace": {"family": "subspace", "settings": {"groups": "tensor"}, "damping": 0.1},
    "enriched": {
        "family": "subspace",
        "settings": {"groups": "layer", "enrich": "scaled_gradient", "centres": 2},
        "damping": 0.1,
    },
}


def _fit(folder: Path, **changes: object) -> Fitted:
    return fit_run(open_study(write_recipe(folder, recipe_of(**changes))))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stored_fit_merges_exactly_like_a_fresh_one(own: Path, family: str) -> None:
    fresh = _fit(own, posterior=FAMILIES[family])
    stored = fit_run(open_study(own / "recipe-run"))
    assert stored.damping == fresh.damping
    assert stored.digest == fresh.digest
    for one, other in zip(fresh.models(GRID), stored.models(GRID), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    if family != "isotropic":
        np.testing.assert_array_equal(fresh.predicted_losses(GRID), stored.predicted_losses(GRID))
        assert stored.curvatures.ledger.gradient_passes == 0 < fresh.curvatures.ledger.gradient_passes


@pytest.mark.parametrize("family", ["isotropic", "diagonal", "dense"])
def test_a_corner_is_the_finetune(own: Path, family: str) -> None:
    fitted = _fit(own, posterior=FAMILIES[family])
    for number, model in enumerate(fitted.models(np.eye(3))):
        finetune = read_params(own / f"ft-{TASKS[number]}")
        for name in finetune:
            torch.testing.assert_close(model[name], finetune[name], rtol=1e-5, atol=1e-6)


def test_the_chosen_damping_has_the_lowest_validation_loss_of_all_candidates(own: Path) -> None:
    candidates = (1e-3, 1e-1, 10.0)
    settings = {"family": "subspace", "settings": {"groups": "layer"}, "dampings": list(candidates)}
    chosen = _fit(own, posterior=settings)
    problem = chosen.study.problem
    assert problem is not None
    evaluator = SupervisedEvaluator(problem, "validation")
    thirds = np.array([w for w in np.ndindex(4, 4, 4) if sum(w) == 3 and max(w) < 3]) / 3
    losses = []
    for damping in candidates:
        fixed = Fitted(chosen.study, chosen.method, chosen.curvatures, damping)
        total = 0.0
        for weights, model in zip(thirds, fixed.models(thirds), strict=True):
            total += sum(
                w * float(evaluator(model, task)["loss"].mean()) for w, task in zip(weights, TASKS, strict=True)
            )
        losses.append(total)
    assert chosen.damping == candidates[int(np.argmin(losses))]
    with chosen.study.folder.open_journal() as journal:
        assert journal.ledger()["damping"].evaluations == len(candidates) * len(thirds)


def test_a_number_or_the_methods_own_damping_needs_no_validation(own: Path) -> None:
    assert _fit(own, posterior={"family": "diagonal", "damping": 0.7}).damping == 0.7
    (own / "second").mkdir()
    recipe = write_recipe(
        own, recipe_of(posterior={"family": "diagonal", "settings": {"damping": 0.3}, "damping": None})
    )
    assert fit_run(open_study(recipe, own / "other-run")).damping == 0.3


def test_an_edited_damping_keeps_the_curvature(own: Path) -> None:
    _fit(own, posterior=FAMILIES["subspace"])
    path = own / "recipe-run" / "recipe.yaml"
    files = {file: file.stat().st_mtime_ns for file in (own / "recipe-run" / "posteriors").iterdir()}
    path.write_text(path.read_text().replace("damping: 0.1", "damping: 0.2"))
    assert fit_run(open_study(own / "recipe-run")).damping == 0.2
    assert files == {file: file.stat().st_mtime_ns for file in (own / "recipe-run" / "posteriors").iterdir()}


def test_merges_at_another_damping_are_other_models(own: Path) -> None:
    fitted = _fit(own, posterior=FAMILIES["subspace"])
    digests = {Fitted(fitted.study, fitted.method, fitted.curvatures, damping).digest for damping in (0.1, 0.2)}
    assert len(digests) == 2
    assert fitted.digest in digests


def test_files_of_two_fits_are_never_mixed(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit that stops between two files leaves no trace of the fit it was replacing."""
    from paretomerge.stages import fit as stage

    first = _fit(own, posterior=FAMILIES["subspace"])
    expected = list(first.models(GRID))
    path = own / "recipe-run" / "recipe.yaml"
    original = path.read_text()
    path.write_text(original.replace("groups: tensor", "groups: model"))
    real, written = stage.save_posterior, []

    def stop_after_one(target: Path, posterior: object) -> object:
        if written:
            raise KeyboardInterrupt
        written.append(target)
        return real(target, posterior)  # type: ignore[arg-type]

    monkeypatch.setattr(stage, "save_posterior", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        fit_run(open_study(own / "recipe-run"))
    monkeypatch.setattr(stage, "save_posterior", real)
    path.write_text(original)
    again = list(fit_run(open_study(own / "recipe-run")).models(GRID))
    for one, other in zip(expected, again, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_missing_posterior_file_is_measured_again(own: Path) -> None:
    first = _fit(own, posterior=FAMILIES["diagonal"])
    next((own / "recipe-run" / "posteriors").iterdir()).unlink()
    again = fit_run(open_study(own / "recipe-run"))
    assert again.curvatures.ledger.gradient_passes > 0
    for one, other in zip(first.models(GRID), again.models(GRID), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_task_names_never_become_paths(own: Path) -> None:
    wicked = "../../sums/\x00 é"
    source = (own / "problem.py").read_text()
    (own / "problem.py").write_text(source.replace('TASKS = ("sums"', f"TASKS = ({wicked!r}"))
    tasks = {wicked: {"checkpoint": "ft-sums"}, "signs": {"checkpoint": "ft-signs"}}
    fitted = _fit(own, tasks=tasks, posterior=FAMILIES["diagonal"])
    assert len(list((own / "recipe-run" / "posteriors").iterdir())) == 2
    assert set(fitted.curvatures.bare) == set(tasks)


def test_isotropic_fits_need_no_data_and_predict_nothing(own: Path) -> None:
    content = {**logged_recipe(), "problem": None, "posterior": {"family": "isotropic"}}
    fitted = fit_run(open_study(write_recipe(own, content)))
    [merged] = fitted.models(GRID[:1])
    expected = sum(
        weight * read_params(own / f"ft-{task}")["2.bias"] for weight, task in zip(GRID[0], TASKS, strict=True)
    )
    torch.testing.assert_close(merged["2.bias"], expected)
    with pytest.raises(RecipeError, match="isotropic posteriors predict no losses"):
        fitted.predicted_losses(GRID)


def test_other_families_need_data(own: Path) -> None:
    content = {**logged_recipe(), "problem": None}
    with pytest.raises(RecipeError, match="a subspace posterior needs model and data"):
        fit_run(open_study(write_recipe(own, content)))


def test_checkpoints_are_aligned_before_anything_is_measured(own: Path) -> None:
    with pytest.raises(AlignmentError, match=r"the limit is 0\.001"):
        _fit(own, max_distance=0.001)
    with open_study(own / "recipe-run").folder.open_journal() as journal:
        assert journal.ledger() == {}
