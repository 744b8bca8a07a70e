from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny import TASKS, logged_recipe, read_params, recipe_of, write_recipe

from paretomerge.checkpoints import load_posterior, read_provenance, save_posterior
from paretomerge.curvature import Pieces
from paretomerge.errors import AlignmentError, PosteriorError, RecipeError
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.posteriors import evidence
from paretomerge.recipes import method
from paretomerge.stages import estimate_fit, fit_run, open_study
from paretomerge.stages.fitting.files import route_of
from paretomerge.stages.fitting.fit import Fitted

GRID = np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.0, 0.3, 0.7]])

FAMILIES = {
    "isotropic": {"family": "isotropic"},
    "diagonal": {"family": "diagonal", "damping": 0.1},
    "expanded": {"family": "diagonal", "settings": {"location": "centred"}, "damping": 0.1},
    "kronecker": {"family": "kronecker", "damping": 0.1},
    "low_rank": {"family": "low_rank", "settings": {"rank": 3}, "damping": 0.1},
    "dense": {"family": "dense", "settings": {"parameters": "^2"}, "damping": 0.1},
    "subspace": {
        "family": "subspace",
        "settings": {"groups": "tensor", "enrich": "none", "centres": 1},
        "damping": 0.1,
    },
    "unvalidated": {
        "family": "subspace",
        "settings": {"groups": "tensor", "enrich": "none", "centres": 1, "validated": False},
        "damping": 0.1,
    },
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
        # A sum over another piece of memory may be rounded otherwise.
        np.testing.assert_allclose(fresh.predicted_losses(GRID), stored.predicted_losses(GRID), rtol=1e-13)
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
    settings = {
        "family": "subspace",
        "settings": {"groups": "layer"},
        "damping": "validation",
        "dampings": list(candidates),
    }
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


def test_evidence_chooses_without_an_evaluation_and_another_way_chooses_anew(own: Path) -> None:
    candidates = (0.01, 0.1, 1.0)
    section = {"family": "diagonal", "damping": "evidence", "dampings": list(candidates)}
    chosen = _fit(own, posterior=section)
    counts = [len(targets) for task in TASKS for _, targets in chosen.study.problem.batches(task, "training")]
    values = [evidence(chosen.curvatures.bare, damping, sum(counts)) for damping in candidates]
    assert chosen.damping == candidates[int(np.argmax(values))]
    with chosen.study.folder.open_journal() as journal:
        assert journal.ledger()["damping"].evaluations == 0
        first = journal.fact("damping")["key"]
    path = chosen.study.folder.path / "recipe.yaml"
    path.write_text(path.read_text().replace("damping: evidence", "damping: validation"))
    fit_run(open_study(path.parent))
    with chosen.study.folder.open_journal() as journal:
        assert journal.fact("damping")["key"] != first
        assert journal.ledger()["damping"].evaluations > 0


def test_families_without_a_closed_form_have_no_evidence(own: Path) -> None:
    with pytest.raises(PosteriorError, match=r"of the family 'kronecker'|of the family 'product'"):
        _fit(own, posterior={"family": "kronecker", "damping": "evidence", "dampings": [0.1, 1.0]})


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
    from paretomerge.stages.fitting import files as stage

    first = _fit(own, posterior=FAMILIES["subspace"])
    expected = list(first.models(GRID))
    path = own / "recipe-run" / "recipe.yaml"
    original = path.read_text()
    path.write_text(original.replace("groups: tensor", "groups: model"))
    real, written = stage.save_posterior, []

    def stop_after_one(target: Path, *what: Any) -> object:
        if written:
            raise KeyboardInterrupt
        written.append(target)
        return real(target, *what)

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
    wicked = "../../sums/<b> é"
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


def test_files_tell_where_their_curvature_comes_from(own: Path) -> None:
    fitted = _fit(own, posterior={"family": "diagonal", "settings": {"labels": "empirical"}, "damping": 0.1})
    digests = fitted.study.digests
    for task in TASKS:
        (path,) = (own / "recipe-run" / "posteriors").glob(f"*-{task}.safetensors")
        origin = read_provenance(path)
        assert origin is not None
        assert (origin.route, origin.location, origin.units) == ("empirical fisher", "finetune", "mean")
        assert (origin.examples, origin.damping) == (48, 0.0)
        assert (origin.base, origin.base_name, origin.checkpoint) == (digests["base"], "base", digests[task])
        assert origin.offset == fitted.curvatures.losses[task].offset
        assert "FitDiagonal(labels='empirical'" in origin.settings
        assert str(own) not in str(origin)  # no place of this machine


@pytest.mark.parametrize(
    ("family", "settings", "route"),
    [
        ("isotropic", {}, "isotropic"),
        ("diagonal", {}, "true fisher"),
        ("diagonal", {"labels": "ggn"}, "gauss-newton"),
        ("kronecker", {}, "ekfac"),
        ("kronecker", {"corrected": False}, "kfac"),
        ("low_rank", {}, "gauss-newton"),
        ("dense", {}, "gauss-newton"),
        ("subspace", {}, "gauss-newton"),
    ],
)
def test_every_method_has_the_name_of_its_route(family: str, settings: dict[str, object], route: str) -> None:
    assert route_of(method("posterior", family, settings)) == route


class StoppedError(Exception):
    """The process ended here."""


def _stop_at(number: int) -> Any:
    """A progress that ends the fit when measurement `number` begins."""
    seen = []

    def progress(message: str) -> None:
        if ("curvature" in message or "gradient" in message) and ": batch" not in message:
            seen.append(message)
            if len(seen) > number:
                raise StoppedError

    progress.seen = seen  # type: ignore[attr-defined]
    return progress


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "isotropic"])
def test_an_interrupted_fit_goes_on_where_it_stopped(own: Path, family: str) -> None:
    """Whatever the family: no finished measurement is repeated, and the outcome is the same to the last bit."""
    whole = _fit(own, posterior=FAMILIES[family])
    with whole.study.folder.open_journal() as journal:
        cost = journal.ledger()["fit"]
    counting = _stop_at(10**6)
    fit_run(open_study(own / "recipe.yaml", own / "counted"), counting)
    study = open_study(own / "recipe.yaml", own / "again")
    for number in (1, len(counting.seen) // 2, len(counting.seen) - 1):
        with pytest.raises(StoppedError):
            fit_run(study, _stop_at(number))
        assert list(study.folder.unfinished.rglob("*.safetensors"))
        with study.folder.open_journal() as journal:
            assert journal.fact("curvature") is None
    measured = []
    real = Pieces.keep

    def counted(self: Pieces, what: str, kind: Any, measure: Any) -> Any:
        return real(self, what, kind, lambda: measured.append(what) or measure())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pieces, "keep", counted)
        resumed = fit_run(study)
    assert len(measured) == 1  # the last one, which never ended
    assert not study.folder.unfinished.exists()
    for one, other in zip(whole.models(GRID), resumed.models(GRID), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    np.testing.assert_allclose(whole.predicted_losses(GRID), resumed.predicted_losses(GRID), rtol=1e-13)
    with study.folder.open_journal() as journal:
        assert journal.ledger()["fit"].gradient_passes == cost.gradient_passes


def test_pieces_of_another_fit_are_never_used(own: Path) -> None:
    first = {"family": "diagonal", "damping": 0.1}
    study = open_study(write_recipe(own, recipe_of(posterior=first)), own / "run")
    with pytest.raises(StoppedError):
        fit_run(study, _stop_at(2))
    path = own / "run" / "recipe.yaml"
    path.write_text(path.read_text().replace("settings: {}", "settings: {labels: empirical}", 1))
    resumed = fit_run(open_study(own / "run"))
    fresh = _fit(own, posterior={**first, "settings": {"labels": "empirical"}})
    for one, other in zip(resumed.models(GRID), fresh.models(GRID), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert not (own / "run" / "unfinished").exists()


WATCHED = """

def watched():
    from pathlib import Path

    scale = float(Path(__file__).with_name("scale.txt").read_text())

    def scaled(task, split):
        return [(inputs * (scale if split == "validation" else 1), labels) for inputs, labels in data(task, split)]

    return Problem(TASKS, build, scaled)
"""


@pytest.mark.parametrize(("family", "again"), [("enriched", True), ("subspace", True), ("unvalidated", False)])
def test_validated_merges_are_measured_again_on_other_validation_data(own: Path, family: str, again: bool) -> None:
    (own / "problem.py").write_text((own / "problem.py").read_text() + WATCHED)
    (own / "scale.txt").write_text("1")
    first = _fit(own, posterior=FAMILIES[family], problem="problem.py:watched")
    assert (first.curvatures.ledger.evaluations > 0) == again
    assert fit_run(open_study(own / "recipe-run")).curvatures.ledger.gradient_passes == 0
    (own / "scale.txt").write_text("3")
    assert (fit_run(open_study(own / "recipe-run")).curvatures.ledger.gradient_passes > 0) == again


def test_a_raised_damping_is_remembered_and_one_in_the_recipe_comes_first(own: Path) -> None:
    """Validation inputs of another scale contradict the training data."""
    (own / "problem.py").write_text((own / "problem.py").read_text() + WATCHED)
    (own / "scale.txt").write_text("-3")
    posterior = {"family": "subspace", "settings": {"groups": "layer", "location": "centred", "centres": 1}}
    found = _fit(own, posterior=posterior, problem="problem.py:watched")
    assert found.damping > 0.1
    again = fit_run(open_study(own / "recipe-run"))
    assert again.damping == again.curvatures.method.damping == found.damping
    assert again.curvatures.ledger.evaluations == 0
    [one], [two] = (list(fit.models(GRID[:1])) for fit in (found, again))
    assert all(torch.equal(one[name], two[name]) for name in one)
    content = recipe_of(posterior={**posterior, "damping": 0.1}, problem="problem.py:watched")
    named = fit_run(open_study(write_recipe(own, content), own / "named"))
    assert named.damping == 0.1


def test_a_cost_is_stated_until_there_is_nothing_left_to_measure(own: Path) -> None:
    study = open_study(write_recipe(own, recipe_of(posterior=FAMILIES["subspace"])))
    cost = estimate_fit(study)
    assert cost is not None
    assert dict(cost.examples) == dict.fromkeys(TASKS, 48)
    with study.folder.open_journal() as journal:
        assert journal.ledger() == {}  # stating it measures nothing that is kept
    fitted = fit_run(study)
    assert cost.gradient_passes == fitted.curvatures.ledger.gradient_passes
    assert estimate_fit(study) is None
    assert estimate_fit(open_study(write_recipe(own, recipe_of(posterior={"family": "isotropic"})), own / "i")) is None
    with pytest.raises(AlignmentError, match=r"the limit is 0\.001"):
        estimate_fit(open_study(write_recipe(own, recipe_of(max_distance=0.001)), own / "j"))


FILES = {"sums": "sums.safetensors", "signs": "signs.safetensors", "swaps": "swaps.safetensors"}


def _files(own: Path, family: str) -> Fitted:
    """Posteriors of an earlier run, copied out of it under names of the recipe."""
    fitted = _fit(own, posterior=FAMILIES[family])
    for number, task in enumerate(TASKS):
        shutil.copy(own / "recipe-run" / "posteriors" / f"{number}-{task}.safetensors", own / FILES[task])
    return fitted


@pytest.mark.parametrize("family", ["diagonal", "expanded", "kronecker", "low_rank", "subspace"])
def test_given_files_are_the_curvature_of_a_run(own: Path, family: str) -> None:
    """Nothing is measured; models and predicted losses are those of the run that measured."""
    earlier = _files(own, family)
    recipe = write_recipe(own, recipe_of(posterior={"files": FILES, "damping": 0.1}), "given.yaml")
    given = fit_run(open_study(recipe))
    assert given.curvatures.ledger.gradient_passes == 0
    for one, other in zip(earlier.models(GRID), given.models(GRID), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    np.testing.assert_allclose(given.predicted_losses(GRID), earlier.predicted_losses(GRID), rtol=1e-12)
    assert fit_run(open_study(own / "given-run")).digest == given.digest  # also from the run's own recipe
    assert given.digest != fit_run(open_study(own / "recipe-run")).digest


def test_the_damping_of_given_files_is_chosen_unless_they_hold_one(own: Path) -> None:
    _files(own, "diagonal")
    recipe = write_recipe(own, recipe_of(posterior={"files": FILES, "dampings": [0.01, 0.1]}), "given.yaml")
    assert fit_run(open_study(recipe)).damping in (0.01, 0.1)
    for name in FILES.values():
        origin = read_provenance(own / name)
        assert origin is not None
        save_posterior(own / name, load_posterior(own / name), replace(origin, damping=0.5))
    assert fit_run(open_study(own / "given-run")).damping == 0.0


def test_given_files_of_another_base_or_finetune_are_refused(own: Path) -> None:
    _files(own, "diagonal")
    recipe = write_recipe(own, recipe_of(posterior={"files": FILES, "damping": 0.1}), "given.yaml")
    origin = read_provenance(own / "signs.safetensors")
    assert origin is not None
    held = load_posterior(own / "signs.safetensors")
    save_posterior(own / "signs.safetensors", held, replace(origin, checkpoint="f" * 64))
    with pytest.raises(
        AlignmentError, match=r"signs\.safetensors: the posterior of 'signs' was fitted on a checkpoint"
    ):
        fit_run(open_study(recipe))
    for name in FILES.values():
        save_posterior(own / name, load_posterior(own / name), replace(origin, base="f" * 64))
    with pytest.raises(AlignmentError, match=r"fitted on the base 'base' \(ffffffffffff…\)"):
        fit_run(open_study(recipe))


def test_given_files_without_a_loss_predict_none(own: Path) -> None:
    _files(own, "diagonal")
    for name in FILES.values():
        save_posterior(own / name, load_posterior(own / name))
    said: list[str] = []
    recipe = write_recipe(own, recipe_of(posterior={"files": FILES, "damping": 0.1}), "given.yaml")
    fitted = fit_run(open_study(recipe), said.append)
    assert any("the base it was fitted on is not named there" in message for message in said)
    with pytest.raises(RecipeError, match="predict no losses"):
        fitted.predicted_losses(GRID)
