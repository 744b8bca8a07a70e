from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.tiny import TASKS, logged_recipe, recipe_of, write_recipe

from paretomerge.errors import RecipeError
from paretomerge.recipes import load_recipe
from paretomerge.stages import fit_run, open_study
from paretomerge.stages.study import Study


def _digest(folder: Path) -> tuple[str, str]:
    study = open_study(folder / "recipe.yaml")
    return study.problem_digest("training"), study.problem_digest("validation")


def test_a_new_run_gets_its_folder_beside_the_recipe_with_the_recipe_in_it(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    assert study.folder.path == own / "recipe-run"
    assert study.folder.is_run
    assert load_recipe(study.folder.recipe) == load_recipe(own / "recipe.yaml")
    assert study.tasks == TASKS
    assert open_study(own / "recipe-run").recipe == study.recipe


def test_a_recipe_in_memory_needs_a_folder(own: Path) -> None:
    recipe = load_recipe(own / "recipe.yaml")
    with pytest.raises(RecipeError, match="needs `out`"):
        open_study(recipe)
    assert open_study(recipe, own / "elsewhere").folder.path == own / "elsewhere"


def test_an_edited_recipe_in_the_run_folder_is_that_runs_recipe(own: Path) -> None:
    open_study(own / "recipe.yaml")
    path = own / "recipe-run" / "recipe.yaml"
    path.write_text(path.read_text().replace("seed: 0", "seed: 4"))
    assert open_study(own / "recipe-run").recipe.seed == 4


def test_words_about_data_reach_the_problem_function(own: Path) -> None:
    tasks = {task: {"checkpoint": f"ft-{task}", "data": "all"} for task in TASKS}
    write_recipe(own, recipe_of(problem="problem.py:with_words", tasks=tasks))
    assert open_study(own / "recipe.yaml").problem is not None
    write_recipe(own, recipe_of(problem="problem.py:with_words", tasks=tasks), "silent.yaml")
    text = yaml.safe_load((own / "silent.yaml").read_text())
    del text["tasks"]["sums"]["data"], text["tasks"]["signs"]["data"], text["tasks"]["swaps"]["data"]
    (own / "silent.yaml").write_text(yaml.safe_dump(text))
    with pytest.raises(RecipeError, match="raised TypeError when it was called"):
        open_study(own / "silent.yaml")


def test_a_recipe_may_use_some_of_the_problems_tasks_in_its_own_order(own: Path) -> None:
    tasks = {task: {"checkpoint": f"ft-{task}"} for task in ("swaps", "sums")}
    write_recipe(own, recipe_of(tasks=tasks))
    study = open_study(own / "recipe.yaml")
    assert study.tasks == ("swaps", "sums")
    assert study.problem is not None
    assert study.problem.tasks == ("swaps", "sums")
    assert [objective.name for objective in study.objectives][:2] == ["loss[swaps]", "loss[sums]"]


def test_digests_of_the_problem_follow_its_data_and_its_source(own: Path) -> None:
    first = _digest(own)
    assert first == _digest(own)
    assert first[0] != first[1]
    source = (own / "problem.py").read_text()
    (own / "problem.py").write_text(source.replace('"training": 48', '"training": 47'))
    assert _digest(own)[0] != first[0]
    # The same data through another model.
    (own / "problem.py").write_text(source.replace("nn.Tanh()", "nn.ReLU()"))
    assert _digest(own)[1] != first[1]


def test_another_model_or_other_data_measure_their_curvature_again(own: Path) -> None:
    passes = []
    source = (own / "problem.py").read_text()
    for change in (
        source,
        source,
        source.replace("nn.Tanh()", "nn.ReLU()"),
        source.replace('"training": 48', '"training": 40'),
    ):
        (own / "problem.py").write_text(change)
        study = open_study(own / "recipe.yaml")
        fit_run(study)
        with study.folder.open_journal() as journal:
            passes.append(journal.ledger()["fit"].gradient_passes)
    assert passes[0] == passes[1] < passes[2] < passes[3]


def test_custom_objectives_replace_losses_and_accuracies(own: Path) -> None:
    write_recipe(own, logged_recipe())
    study = open_study(own / "recipe.yaml")
    assert [objective.name for objective in study.objectives] == [f"loss of {task}" for task in TASKS]
    assert study.objectives[0].bounds == (0.0, None)


def test_what_needs_a_problem_says_so() -> None:
    with pytest.raises(RecipeError, match=r"joint finetuning needs model and data: .*`problem:`"):
        Study(None, None, None, {}, None).require_problem("joint finetuning")  # type: ignore[arg-type]
