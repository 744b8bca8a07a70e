"""Joint finetuning of a run's tasks: what is trained, what is written, and what a second call costs."""

from __future__ import annotations

import json
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.stages.tiny_transformers import make_transformers
from tests.tiny import PROBLEM, TASKS, TRAINING, copy_folder, logged_recipe, read_params, recipe_of, write_recipe

from paretomerge.checkpoints import load_posterior, open_checkpoint, read_provenance
from paretomerge.choices import ByWeights
from paretomerge.errors import CheckpointError, InputError, RecipeError, WeightsError
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.runs import Journal
from paretomerge.stages import FinetuneSummary, choose_point, finetune_run, fit_run, open_study
from paretomerge.stages.landscape import landscape_of
from paretomerge.training import TrainingRecipe, finetune

ALPHA = dict(zip(TASKS, (0.5, 0.3, 0.2), strict=True))
RECIPE = TrainingRecipe(**TRAINING)  # type: ignore[arg-type]


def _finetuned(recipe: Path, out: Path, *arguments: Any, **settings: Any) -> FinetuneSummary:
    summary = finetune_run(open_study(recipe, missing_finetunes=True), out, *arguments, **settings)
    assert summary is not None
    return summary


def _trainings(own: Path) -> int:
    with Journal(own / "recipe-run" / "journal.sqlite") as journal:
        return sum(cost.trainings for cost in journal.ledger().values())


def test_the_model_is_that_of_finetune_and_its_scores_are_those_of_the_folder(own: Path) -> None:
    summary = _finetuned(own / "recipe.yaml", own / "joint", ALPHA)
    study = open_study(own / "recipe-run")
    assert study.problem is not None
    expected = finetune(study.problem, read_params(own / "base"), ALPHA, RECIPE, 0)
    held = read_params(own / "joint")
    assert list(held) == list(expected.params)
    assert all(torch.equal(held[name], expected.params[name]) for name in held)
    for split, model, scores in (
        ("test", held, summary.after),
        ("validation", held, summary.after),
        ("test", read_params(own / "base"), summary.before),
    ):
        evaluator = SupervisedEvaluator(study.problem, split)  # type: ignore[arg-type]
        losses = [float(evaluator(model, task)["loss"].double().mean()) for task in TASKS]
        np.testing.assert_allclose(scores[split].select("loss").values[0], losses, rtol=1e-6)  # type: ignore[index]
    assert summary.weights == ALPHA
    assert (summary.start, summary.seed, summary.stopped, summary.reused) == ("base", 0, "", False)


def test_the_manifest_says_how_it_was_trained_and_the_posterior_where_it_comes_from(own: Path) -> None:
    summary = _finetuned(own / "recipe.yaml", own / "joint", ALPHA, training={"steps": 4}, seed=3)
    said = json.loads((own / "joint" / "paretomerge.json").read_text())
    assert said["kind"] == "jointly finetuned"
    assert (said["weights"], said["start"], said["seed"], said["steps"]) == (ALPHA, "base", 3, 4)
    assert said["training"]["steps"] == 4
    assert said["training"]["learning_rate"] == TRAINING["learning_rate"]
    assert said["base"] == {"name": "base", "digest": open_checkpoint(own / "base").digest}
    assert len(said["losses"]) == 4
    assert said["scales"] == dict.fromkeys(TASKS, 1.0) == summary.scales
    assert said["scores"] == summary.as_dict()["scores"]
    assert said["scores"]["test"]["after"]["loss[sums]"]["value"] == summary.after["test"].values[0, 0]
    assert said["ledger"]["gradient_passes"] == summary.ledger.gradient_passes == 4 * 3 * 16
    posterior, origin = load_posterior(own / "joint" / "posterior.safetensors"), read_provenance(summary.posterior)
    assert origin is not None
    assert all(torch.equal(posterior.mean[name], tensor) for name, tensor in read_params(own / "joint").items())
    assert (origin.route, origin.location, origin.units) == ("adam", "trajectory", "mean")
    assert origin.base == said["base"]["digest"]
    assert "sums=0.5" in origin.settings


def test_clipping_makes_the_scale_of_the_posterior_unknown(own: Path) -> None:
    summary = _finetuned(own / "recipe.yaml", own / "joint", ALPHA, training={"steps": 2, "max_norm": 1.0})
    origin = read_provenance(summary.posterior)
    assert origin is not None
    assert (origin.units, "clipping" in origin.scale) == ("relative", True)


def test_a_warm_start_begins_at_the_runs_merged_model(own: Path) -> None:
    summary = _finetuned(own / "recipe.yaml", own / "joint", ALPHA, start="merged", training={"steps": 3})
    study = open_study(own / "recipe-run")
    merged = next(iter(landscape_of(fit_run(study)).models(np.array([list(ALPHA.values())]))))
    assert study.problem is not None
    recipe = TrainingRecipe(**{**TRAINING, "steps": 3})  # type: ignore[arg-type]
    expected = finetune(study.problem, merged, ALPHA, recipe, 0)
    held = read_params(own / "joint")
    assert all(torch.equal(held[name], expected.params[name]) for name in held)
    losses = [float(study.evaluator("test")(merged, task)["loss"].double().mean()) for task in TASKS]
    np.testing.assert_allclose(summary.before["test"].select("loss").values[0], losses, rtol=1e-6)
    cold = _finetuned(own / "recipe-run", own / "cold", ALPHA, training={"steps": 3})
    assert not cold.reused
    assert _trainings(own) == 2


def test_a_point_stands_for_its_weights_and_the_chosen_one_is_the_default(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    with pytest.raises(InputError, match="no point of this front was chosen yet"):
        finetune_run(study, own / "joint", training={"steps": 2})
    choice = choose_point(study, ByWeights(ALPHA))
    chosen = _finetuned(own / "recipe-run", own / "chosen", training={"steps": 2})
    numbered = _finetuned(own / "recipe-run", own / "numbered", point=choice.point.id, training={"steps": 2})
    assert chosen.weights == numbered.weights == dict(choice.point.weights)
    assert (chosen.reused, numbered.reused) == (False, True)
    with pytest.raises(InputError, match="either weights or a point"):
        finetune_run(study, own / "both", ALPHA, point=0)
    with pytest.raises(InputError, match="the front has the points"):
        finetune_run(study, own / "none", point=999)


def test_what_was_trained_is_kept_and_another_setting_seed_start_or_data_trains_again(own: Path) -> None:
    recipe = own / "recipe.yaml"
    _finetuned(recipe, own / "a", ALPHA, training={"steps": 2})
    again = _finetuned(recipe, own / "b", ALPHA, training={"steps": 2, "save_every": 1})
    assert again.reused
    assert (own / "a" / "model.safetensors").read_bytes() == (own / "b" / "model.safetensors").read_bytes()
    assert _trainings(own) == 1
    for number, change in enumerate(({"training": {"steps": 3}}, {"seed": 7}, {"start": "merged"})):
        settings: dict[str, Any] = {"training": {"steps": 2}, **change}
        assert not _finetuned(recipe, own / f"c{number}", ALPHA, **settings).reused
    (own / "problem.py").write_text(PROBLEM.replace('"training": 48', '"training": 30'))
    assert not _finetuned(recipe, own / "d", ALPHA, training={"steps": 2}).reused
    assert _trainings(own) == 5
    assert not (own / "recipe-run" / "training").exists()


@pytest.mark.parametrize("training", [{}, {"lora.rank": 2}, {"optimizer": "ivon", "lora.rank": 2}], ids=str)
def test_an_interrupted_training_goes_on_and_ends_at_the_same_bits(
    own: Path, tiny: Path, tmp_path: Path, training: dict[str, Any]
) -> None:
    if "lora.rank" in training:
        pytest.importorskip("peft", reason="the optional extra hf is not installed")
    taken: list[str] = []

    def stop(message: str) -> None:
        taken.append(message)
        if "step 15 of 25" in message:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _finetuned(own / "recipe.yaml", own / "joint", ALPHA, training=training, progress=stop)
    assert not (own / "joint").exists()
    assert list((own / "recipe-run" / "training").iterdir())
    messages: list[str] = []
    summary = _finetuned(own / "recipe.yaml", own / "joint", ALPHA, training=training, progress=messages.append)
    assert not any("step 1 of 25" in message for message in messages)
    assert any("goes on after step" in message for message in messages)
    other = copy_folder(tiny, tmp_path / "whole") / "recipe.yaml"
    whole = _finetuned(other, tmp_path / "joint", ALPHA, training=training)
    held, expected = read_params(own / "joint"), read_params(tmp_path / "joint")
    assert all(torch.equal(held[name], expected[name]) for name in expected)
    assert summary.ledger.gradient_passes == whole.ledger.gradient_passes
    assert _trainings(own) == 1


def test_single_finetunes_need_no_task_checkpoints_and_the_ledger_knows_their_cost(own: Path) -> None:
    """A recipe whose finetunes are made by the package itself, and is then fitted."""
    for task in TASKS:
        for file in (own / f"ft-{task}").iterdir():
            file.unlink()
        (own / f"ft-{task}").rmdir()
    for task in TASKS:
        weights = {name: float(name == task) for name in TASKS}
        _finetuned(own / "recipe.yaml", own / f"ft-{task}", weights, seed=1)
    expected = finetune(open_study(own / "recipe.yaml").problem, read_params(own / "base"), weights, RECIPE, 1)  # type: ignore[arg-type]
    held = read_params(own / "ft-swaps")
    assert all(torch.equal(held[name], expected.params[name]) for name in held)
    study = open_study(own / "recipe.yaml")
    assert set(fit_run(study).study.finetunes) == set(TASKS)
    from paretomerge.stages import run_ledger

    ledger = run_ledger(study)
    assert ledger.upfront_seconds == "measured"
    assert (ledger.upfront.trainings, ledger.total.trainings) == (3, 3)


def test_a_missing_task_checkpoint_matters_only_where_it_is_used(own: Path) -> None:
    (own / "ft-signs" / "model.safetensors").unlink()
    (own / "ft-signs").rename(own / "elsewhere")
    study = open_study(own / "recipe.yaml", missing_finetunes=True)
    for settings in ({"point": 0}, {"weights": ALPHA, "start": "merged"}):
        with pytest.raises(CheckpointError, match=r"ft-signs: there is no such file"):
            finetune_run(study, own / "joint", **settings)  # type: ignore[arg-type]
    assert finetune_run(study, own / "joint", ALPHA, training={"steps": 1}) is not None
    with pytest.raises(CheckpointError, match="ft-signs"):
        open_study(own / "recipe.yaml")


def test_a_folder_that_is_taken_is_refused_before_anything_is_trained(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    with pytest.raises(CheckpointError, match="ask to overwrite it"):
        finetune_run(study, own / "base", ALPHA)
    assert not list((own / "recipe-run").glob("trained/*"))
    finetune_run(study, own / "joint", ALPHA, training={"steps": 1})
    summary = finetune_run(study, own / "joint", ALPHA, training={"steps": 2}, overwrite=True)
    assert summary is not None
    assert json.loads((own / "joint" / "paretomerge.json").read_text())["steps"] == 2
    (own / "thesis").mkdir()
    (own / "thesis" / "chapter.tex").write_text("x")
    with pytest.raises(CheckpointError, match="will not be overwritten"):
        finetune_run(study, own / "thesis", ALPHA, overwrite=True)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"weights": {"sums": 0.5, "signs": 0.6, "swaps": 0.2}}, WeightsError, "sum to 1.3"),
        ({"weights": {"sums": 1.0}}, WeightsError, "no weight for task"),
        ({"weights": ALPHA, "training": {"stepz": 3}}, RecipeError, r"'training.stepz' \(did you mean 'steps'\?\)"),
        ({"weights": ALPHA, "training": {"steps": 0}}, RecipeError, "training.steps: Input should be greater"),
        ({"weights": ALPHA, "training": {"lora.rnak": 3}}, RecipeError, r"'rnak' \(did you mean 'rank'\?\)"),
        ({"weights": ALPHA, "training": {"mix": "equla"}}, RecipeError, "training.mix"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_measured(
    own: Path, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    study = open_study(own / "recipe.yaml")
    with pytest.raises(error, match=message):
        finetune_run(study, own / "joint", **settings)
    assert not (own / "joint").exists()
    with Journal(own / "recipe-run" / "journal.sqlite") as journal:
        assert journal.count() == 0


def test_coefficients_are_no_weights_of_losses_but_a_training_from_the_base_needs_none(own: Path) -> None:
    front = {"domain": "coefficients", "evaluations": 3, "points": 5}
    recipe = write_recipe(own, recipe_of(rule={"name": "task_arithmetic"}, front=front), "scaled.yaml")
    study = open_study(recipe)
    for settings in ({"point": 0}, {"weights": ALPHA, "start": "merged"}):
        with pytest.raises(RecipeError, match="coefficients are no task weights"):
            finetune_run(study, own / "joint", **settings)  # type: ignore[arg-type]
    assert finetune_run(study, own / "joint", ALPHA, training={"steps": 1}) is not None


def test_an_evaluator_of_the_users_own_scores_once(own: Path) -> None:
    write_recipe(own, logged_recipe())
    summary = _finetuned(own / "recipe.yaml", own / "joint", ALPHA, training={"steps": 1})
    assert list(summary.after) == ["validation"]
    assert [objective.name for objective in summary.after["validation"].objectives] == [f"loss of {t}" for t in TASKS]


def test_a_problem_without_test_data_is_trained_and_scored_on_what_there_is(own: Path) -> None:
    source = PROBLEM.replace(
        "def problem():\n    return Problem(TASKS, build, data)",
        "def problem():\n"
        '    return Problem(TASKS, build, lambda task, split: [] if split == "test" else data(task, split))',
    )
    (own / "problem.py").write_text(source)
    summary = _finetuned(own / "recipe.yaml", own / "joint", ALPHA, training={"steps": 1})
    assert list(summary.after) == ["validation"]


def test_normalised_losses_and_early_stopping_are_said(own: Path) -> None:
    training = {"steps": 12, "normalise": "start", "check_every": 2, "patience": 1, "learning_rate": 0.5}
    summary = _finetuned(own / "recipe.yaml", own / "joint", ALPHA, training=training)
    said = json.loads((own / "joint" / "paretomerge.json").read_text())
    assert summary.scales == said["scales"]
    assert all(0.5 < scale < 2 and scale != 1 for scale in summary.scales.values())
    assert summary.stopped == said["stopped"] != ""
    assert said["steps"] < 12
    assert [check["step"] for check in said["checks"]][:2] == [0, 2]
    assert set(said["checks"][0]["losses"]) == set(TASKS)


OWN_LOSS = (
    PROBLEM
    + """

def hinge(module, batch):
    inputs, labels = batch
    return torch.nn.functional.multi_margin_loss(module(inputs), labels, reduction="none")


def with_hinge():
    return Problem(TASKS, build, data, loss_fn=hinge)
"""
)


def test_a_loss_of_the_users_own_is_what_is_trained(own: Path) -> None:
    (own / "problem.py").write_text(OWN_LOSS)
    recipe = write_recipe(own, recipe_of(problem="problem.py:with_hinge", posterior={"family": "isotropic"}))
    summary = _finetuned(recipe, own / "joint", ALPHA)
    study = open_study(recipe)
    assert study.problem is not None
    assert study.problem.loss_fn is not None
    expected = finetune(study.problem, read_params(own / "base"), ALPHA, RECIPE, 0).params
    held = read_params(own / "joint")
    assert all(torch.equal(held[name], expected[name]) for name in held)
    for split in ("validation", "test"):
        before, after = (scores[split].select("loss").values[0] for scores in (summary.before, summary.after))  # type: ignore[index]
        assert after @ list(ALPHA.values()) < before @ list(ALPHA.values())


@pytest.mark.parametrize("kind", ["classifier", "language_model"])
@pytest.mark.parametrize("lora", [None, {"rank": 2, "alpha": 8}])
def test_transformers_and_peft_load_what_is_written(tmp_path: Path, kind: str, lora: dict[str, int] | None) -> None:
    """Scores of the reloaded model are those of the journal."""
    recipe = make_transformers(tmp_path / "study", kind, lora=lora)
    transformers = import_module("transformers")
    joint = tmp_path / "joint"
    summary = _finetuned(recipe, joint, {"first": 0.5, "last": 0.5})
    study = open_study(recipe, missing_finetunes=True)
    problem = study.problem
    assert problem is not None
    loaders = {"classifier": "AutoModelForSequenceClassification", "language_model": "AutoModelForCausalLM"}
    load = getattr(transformers, loaders[kind]).from_pretrained
    models = [load(joint)]
    if lora is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            models.append(
                import_module("peft")
                .PeftModel.from_pretrained(load(study.recipe.base), joint / "adapter")
                .merge_and_unload()
            )
    for model in models:
        params = {name: tensor for name, tensor in model.state_dict().items() if name in read_params(joint)}
        losses = [float(study.evaluator("test")(params, task)["loss"].double().mean()) for task in problem.tasks]
        np.testing.assert_allclose(summary.after["test"].select("loss").values[0], losses, rtol=2e-5)
    assert {"config.json", "vocab.txt", "model.safetensors", "posterior.safetensors"} <= {
        p.name for p in joint.iterdir()
    }
    assert list(read_params(joint)) == list(read_params(tmp_path / "study" / "base"))
    losses = json.loads((joint / "paretomerge.json").read_text())["losses"]
    assert sum(losses[-4:]) < sum(losses[:4])
    assert summary.adapter == (None if lora is None else joint / "adapter")


def test_the_posterior_of_an_adapter_is_over_its_file(tmp_path: Path) -> None:
    recipe = make_transformers(tmp_path / "study", "classifier", lora={"rank": 2}, steps=3)
    summary = _finetuned(recipe, tmp_path / "joint", {"first": 1.0, "last": 0.0})
    posterior = load_posterior(tmp_path / "joint" / "posterior.safetensors")
    held = load_file(tmp_path / "joint" / "adapter" / "adapter_model.safetensors")
    assert set(posterior.mean) == set(held)
    assert all(torch.equal(posterior.mean[name], held[name]) for name in held)
    said = [json.loads((tmp_path / "joint" / where / "paretomerge.json").read_text()) for where in ("", "adapter")]
    assert said[0]["ledger"] == said[1]["ledger"]
    # The adapter names its base: nothing else is needed to open it.
    opened, model = open_checkpoint(tmp_path / "joint" / "adapter"), read_params(tmp_path / "joint")
    for name, tensor in model.items():
        torch.testing.assert_close(opened[name], tensor, rtol=1e-5, atol=1e-6)
    assert summary.training["lora"]["rank"] == 2


def test_an_adapter_on_top_of_a_merge_is_no_adapter_of_the_base(own: Path) -> None:
    """Only the whole model is written."""
    pytest.importorskip("peft", reason="the optional extra hf is not installed")
    settings: dict[str, Any] = {"start": "merged", "training": {"steps": 2, "lora": {"rank": 2}}}
    summary = _finetuned(own / "recipe.yaml", own / "joint", ALPHA, **settings)
    assert (summary.adapter, summary.posterior) == (None, None)
    assert sorted(path.name for path in (own / "joint").iterdir()) == ["model.safetensors", "paretomerge.json"]


def test_half_precision_in_the_configuration_does_not_round_what_was_trained_in_float32(tmp_path: Path) -> None:
    recipe = make_transformers(tmp_path / "study", "classifier", steps=2)
    transformers = import_module("transformers")
    config = tmp_path / "study" / "base" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "bfloat16"}))
    problem = tmp_path / "study" / "problem.py"
    problem.write_text(problem.read_text().replace(".from_config(config)", ".from_config(config).float()"))
    _finetuned(recipe, tmp_path / "joint", {"first": 1.0, "last": 0.0}, training={"precision": "bfloat16"})
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "joint")
    assert model.dtype == torch.float32
    held = read_params(tmp_path / "joint")
    assert all(torch.equal(tensor, held[name]) for name, tensor in model.state_dict().items() if name in held)
