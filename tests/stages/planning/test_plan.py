"""`plan` on a real project: it writes nothing, counts what the ledger counts, and uses what the journal has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tests.planning.machines import CLUSTER
from tests.tiny import (
    EVALUATIONS,
    TASKS,
    copy_folder,
    files_below,
    invoke,
    logged_recipe,
    make_folder,
    recipe_of,
    write_recipe,
)

from paretomerge.errors import InputError, RecipeError
from paretomerge.planning import Cluster
from paretomerge.recipes import load_recipe
from paretomerge.stages import estimate_run_front, finetune_run, fit_run, open_study, plan
from paretomerge.stages.planning import plan as stage


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("plan") / "tiny")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return copy_folder(made, tmp_path / "tiny")


def test_nothing_is_written(folder: Path) -> None:
    """No run folder is left behind."""
    before = files_below(folder)
    plan(folder / "recipe.yaml", CLUSTER)
    assert files_below(folder) == before


def test_passes_and_evaluations_are_those_of_the_run(folder: Path) -> None:
    """What was planned is what the ledger says afterwards, to the pass."""
    planned = plan(folder / "recipe.yaml", CLUSTER).stages
    study = open_study(folder / "recipe.yaml")
    estimate_run_front(study)
    with study.folder.open_journal() as journal:
        ledger = journal.ledger()
    assert planned["fit"].counts["gradient passes"] == ledger["fit"].gradient_passes
    assert planned["front"].counts["evaluations"] == EVALUATIONS >= ledger["front"].evaluations
    trained = finetune_run(study, folder / "joint", weights=dict.fromkeys(TASKS, 1 / 3))
    assert planned["finetune"].counts["gradient passes"] == trained.ledger.gradient_passes


def test_what_the_run_has_measured_is_used_on_the_machine_that_measured_it(folder: Path) -> None:
    """Elsewhere it says nothing."""
    recipe = write_recipe(folder, recipe_of(posterior={"family": "subspace", "damping": 0.1}))
    study = open_study(recipe)
    fit_run(study)
    here = Cluster(CLUSTER.machine, measured=True)
    found = plan(study.folder.path, here)
    with study.folder.open_journal() as journal:
        seconds = journal.ledger()["fit"].seconds
    assert found.stages["fit"].parts["curvature"] == seconds
    assert found.stages["fit"].known == "measured"
    assert found.stages["front"].known == "estimated"
    assert plan(study.folder.path, CLUSTER).stages["fit"].known == "estimated"
    estimate_run_front(study)
    assert plan(study, here).stages["front"].known == "measured"


def test_a_recipe_in_memory_is_planned_too(folder: Path) -> None:
    """The same numbers."""
    recipe = load_recipe(folder / "recipe.yaml")
    assert plan(recipe, CLUSTER).as_dict() == plan(folder / "recipe.yaml", CLUSTER).as_dict()


def test_finetunes_need_not_exist(folder: Path) -> None:
    """Headers of the base are enough."""
    import shutil

    before = plan(folder / "recipe.yaml", CLUSTER)
    for task in TASKS:
        shutil.rmtree(folder / f"ft-{task}")
    assert plan(folder / "recipe.yaml", CLUSTER) == before


def test_budget_and_workers_replace_those_of_the_recipe(folder: Path) -> None:
    """And are refused where they make no sense."""
    found = plan(folder / "recipe.yaml", CLUSTER, evaluations=40, workers=4, verified=5)
    assert found.stages["front"].counts["evaluations"] == 40
    assert found.stages["front"].devices == 4
    assert found.stages["verify"].counts["trainings"] == 5
    for wrong in ({"evaluations": -1}, {"workers": 0}, {"verified": -1}):
        with pytest.raises(InputError, match="count from"):
            plan(folder / "recipe.yaml", CLUSTER, **wrong)


def test_an_evaluator_of_ones_own_sets_the_pace(folder: Path) -> None:
    """Until the journal knows it."""
    recipe = write_recipe(folder, logged_recipe())
    assert plan(recipe, CLUSTER).stages["front"].known == "unknown"
    study = open_study(recipe)
    estimate_run_front(study)
    found = plan(study.folder.path, Cluster(CLUSTER.machine, measured=True))
    assert found.stages["front"].known == "measured"


def test_a_model_that_needs_values_is_planned_from_its_sizes(folder: Path) -> None:
    """What a module's author wrote may raise anything."""
    problem = (folder / "problem.py").read_text()
    stubborn = "class Stubborn(nn.Tanh):\n    def forward(self, x):\n        return x * x.numpy().sum()\n\n\ndef build"
    (folder / "problem.py").write_text(problem.replace("nn.Tanh()", "Stubborn()").replace("def build", stubborn, 1))
    found = plan(folder / "recipe.yaml", CLUSTER)
    assert any("from the sizes of its matrices" in sentence for sentence in found.assumptions)
    assert found.stages["fit"].seconds is not None


def test_clusters_come_from_names_and_files(folder: Path) -> None:
    """With errors that say what there is."""
    file = folder / "cluster.yaml"
    file.write_text(yaml.safe_dump({"like": "8xa100", "machines": 3}))
    assert stage.cluster_of(file).devices == 24
    assert stage.cluster_of("1xl4").devices == 1
    with pytest.raises(InputError, match="here, or an example"):
        stage.cluster_of("9xh100")
    file.write_text("a: [")
    with pytest.raises(InputError, match="cannot read the cluster"):
        stage.cluster_of(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot read the cluster"):
        stage.cluster_of(file)


def test_an_unknown_family_is_the_recipes_error(folder: Path) -> None:
    """As everywhere."""
    recipe = write_recipe(folder, recipe_of(posterior={"family": "diagnal"}))
    with pytest.raises(RecipeError, match="diagonal"):
        plan(recipe, CLUSTER)


def test_the_command_says_the_same(folder: Path) -> None:
    """The command line and the library are twins."""
    (folder / "cluster.yaml").write_text(yaml.safe_dump(CLUSTER.as_dict()))
    answer = invoke("plan", folder / "recipe.yaml", "--cluster", folder / "cluster.yaml", "--json", "--points", "2")
    expected = plan(folder / "recipe.yaml", CLUSTER, verified=2).as_dict()
    assert answer.json == json.loads(json.dumps(expected))
    shown = invoke("plan", folder / "recipe.yaml", "--cluster", "8xh100")
    assert shown.code == 0, shown.err
    for part in ("stage", "gradient passes", "verify", "USD", "from finetunes to a model", "next: paretomerge check"):
        assert part in shown.out
    assert invoke("plan", folder / "recipe.yaml", "--cluster", "nothing").code == 2
