"""Posteriors around a joint finetune: what they merge to, the run they make, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny import PROBLEM, TASKS, invoke, read_params, recipe_of, write_recipe

from paretomerge.checkpoints import read_provenance, write_params
from paretomerge.curvature import continue_joint
from paretomerge.errors import AlignmentError, InputError, RecipeError, WeightsError
from paretomerge.merging import merge_coordinates
from paretomerge.runs import Journal
from paretomerge.stages import continue_run, finetune_run, fit_run, open_study
from paretomerge.stages.landscape import landscape_of

BETA = dict(zip(TASKS, (0.4, 0.4, 0.2), strict=True))
ELSEWHERE = np.array([[0.2, 0.3, 0.5]])


@pytest.fixture
def trained(own: Path) -> Path:
    """A study with a joint finetune."""
    assert finetune_run(open_study(own / "recipe.yaml"), own / "joint", BETA) is not None
    return own


def test_the_run_it_makes_merges_back_to_the_joint_finetune_and_elsewhere_to_the_continuation(trained: Path) -> None:
    study = open_study(trained / "recipe.yaml")
    found = continue_run(study, trained / "joint", trained / "continued")
    assert found.weights == BETA

    models = landscape_of(fit_run(open_study(found.recipe))).models
    joint = read_params(trained / "joint")
    here = next(models(np.array([list(BETA.values())])))
    for name, tensor in joint.items():
        torch.testing.assert_close(here[name], tensor, rtol=0, atol=1e-7)

    assert study.problem is not None
    finetunes = {task: read_params(trained / f"ft-{task}") for task in TASKS}
    expected = continue_joint(study.problem, read_params(trained / "base"), finetunes, joint, BETA)
    [place] = merge_coordinates(expected.posteriors, ELSEWHERE)
    there = next(iter(expected.posteriors.values())).at(place)
    merged = next(models(ELSEWHERE))
    for name in joint:
        torch.testing.assert_close(merged[name], there[name], rtol=0, atol=1e-6)
    assert any(not torch.allclose(merged[name], joint[name], atol=1e-4) for name in joint)


def test_files_say_where_they_come_from_and_the_journal_what_they_cost(trained: Path) -> None:
    found = continue_run(open_study(trained / "recipe.yaml"), trained / "joint", trained / "continued")
    said = read_provenance(found.files["signs"])
    assert said is not None
    assert (said.location, said.base) == ("joint finetune", open_study(trained / "recipe.yaml").digests["base"])
    assert said.damping
    assert json.loads(said.settings)["weights"] == BETA
    with Journal(trained / "recipe-run" / "journal.sqlite") as journal:
        assert journal.ledger()["continue"].gradient_passes == found.ledger.gradient_passes > 0


def test_a_second_continuation_replaces_the_first_but_nothing_else(trained: Path) -> None:
    study = open_study(trained / "recipe.yaml")
    first = continue_run(study, trained / "joint", trained / "continued")
    before = first.files["sums"].read_bytes()
    open_study(first.recipe)  # its run folder lies beside the files
    again = continue_run(study, trained / "joint", trained / "continued", damping=1.0)
    assert again.files == first.files
    assert again.files["sums"].read_bytes() != before

    (trained / "mine").mkdir()
    (trained / "mine" / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"holds thesis\.tex, which is no continuation: choose another folder"):
        continue_run(study, trained / "joint", trained / "mine")


def test_weights_are_asked_for_where_the_checkpoint_does_not_say(trained: Path) -> None:
    write_params(trained / "theirs", read_params(trained / "joint"))
    study = open_study(trained / "recipe.yaml")
    with pytest.raises(InputError, match=r"theirs does not say with which task weights .* \(--weights sums=…,signs=…"):
        continue_run(study, trained / "theirs", trained / "continued")
    with pytest.raises(WeightsError, match="sum"):
        continue_run(study, trained / "theirs", trained / "continued", dict.fromkeys(TASKS, 1.0))
    assert not (trained / "continued").exists()
    assert continue_run(study, trained / "theirs", trained / "continued", BETA).weights == BETA


def test_a_joint_finetune_of_another_base_or_model_is_refused(trained: Path) -> None:
    study = open_study(trained / "recipe.yaml")
    manifest = trained / "joint" / "paretomerge.json"
    manifest.write_text(manifest.read_text().replace(study.base.digest, "0" * 64))
    with pytest.raises(AlignmentError, match="was trained from another base"):
        continue_run(study, trained / "joint", trained / "continued")
    write_params(trained / "other", {"weight": torch.ones(2)})
    with pytest.raises(AlignmentError, match="is no finetune of this run's base"):
        continue_run(study, trained / "other", trained / "continued", BETA)


def test_what_does_not_train_must_be_that_of_the_base(own: Path) -> None:
    text = PROBLEM.replace("nn.Tanh()", "nn.BatchNorm1d(6, affine=False)")
    assert text != PROBLEM
    (own / "problem.py").write_text(text)
    for name in ("base", *(f"ft-{task}" for task in TASKS)):
        statistics = {"1.running_mean": torch.zeros(6), "1.running_var": torch.ones(6)}
        params = {**read_params(own / name), **statistics, "1.num_batches_tracked": torch.tensor(3)}
        write_params(own / name, params, overwrite=True)
    moved = {**read_params(own / "base"), "1.running_mean": torch.ones(6)}
    write_params(own / "joint", moved)
    with pytest.raises(AlignmentError, match=r"'1\.running_mean': differs between the base and the joint finetune"):
        continue_run(open_study(own / "recipe.yaml"), own / "joint", own / "continued", BETA)


@pytest.mark.parametrize(
    "changes", [{"rule": {"name": "averaging"}}, {"front": {"evaluations": 6, "domain": "groups"}}], ids=str
)
def test_merges_that_read_no_posterior_are_refused(trained: Path, changes: dict[str, Any]) -> None:
    study = open_study(write_recipe(trained, recipe_of(**changes), "other.yaml"))
    with pytest.raises(RecipeError, match="leave rule and front"):
        continue_run(study, trained / "joint", trained / "continued")


def test_groups_and_examples_are_those_of_the_recipe(trained: Path) -> None:
    settings = {"groups": "model", "examples": 10}
    posterior = {"family": "subspace", "settings": settings}
    study = open_study(write_recipe(trained, recipe_of(posterior=posterior), "other.yaml"))
    found = continue_run(study, trained / "joint", trained / "continued")
    whole = continue_run(open_study(trained / "recipe.yaml"), trained / "joint", trained / "whole")
    assert found.ledger.gradient_passes < whole.ledger.gradient_passes
    assert found.files["sums"].stat().st_size < whole.files["sums"].stat().st_size


def test_the_command_is_the_function_and_its_run_gives_a_front(trained: Path) -> None:
    answer = invoke("fit", trained / "recipe.yaml", "--at-joint", trained / "joint", "--out", trained / "continued")
    assert answer.code == 0, answer.err
    assert "around" in answer.out
    assert "next: paretomerge front" in answer.out
    told = invoke(
        "fit", trained / "recipe.yaml", "--at-joint", trained / "joint", "--out", trained / "continued", "--json"
    )
    assert told.json["weights"] == BETA
    front = invoke("front", told.json["recipe"], "--json")
    assert front.code == 0, front.err
    assert front.json["front"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["recipe.yaml", "--at-joint", "joint"], "--at-joint needs --out FOLDER"),
        (["recipe.yaml", "--weights", "sums=1"], "they go with --at-joint"),
        (["recipe.yaml", "--at-joint", "nowhere", "--out", "continued"], "nowhere"),
    ],
)
def test_commands_that_make_no_sense_say_what_to_do(own: Path, arguments: list[str], said: str) -> None:
    files = ("recipe.yaml", "joint", "nowhere", "continued")
    inside = [str(own / word) if word in files else word for word in arguments]
    answer = invoke("fit", *inside)
    assert answer.code == 2
    assert said in answer.err
