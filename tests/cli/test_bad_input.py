"""Every kind of bad input ends with one message that names what was seen and what to do, and leaves nothing behind."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny import TASKS, TRAINING, Answer, files_below, invoke, logged_recipe, read_params, recipe_of, write_recipe

from paretomerge.checkpoints import write_params
from paretomerge.runs.migrations import MIGRATIONS


def _refused(answer: Answer, *seen: str, code: int = 2) -> None:
    """One message on standard error, after warnings, with every text in it; no traceback, no standard output."""
    assert answer.code == code, answer.err
    lines = [line for line in answer.err.splitlines() if not line.startswith("warning: ")]
    assert lines[0].startswith("error: "), answer.err
    assert answer.err.count("error: ") == 1, answer.err
    for text in seen:
        assert text in answer.err, answer.err
    assert "Traceback" not in answer.err
    assert "bug in paretomerge" not in answer.err
    assert answer.err.endswith("\n")


def _merge(folder: Path, *, weights: str | None = None, **options: Any) -> Answer:
    tasks = [word for task in TASKS for word in ("--task", f"{task}={folder / f'ft-{task}'}")]
    given = weights or "sums=0.5,signs=0.3,swaps=0.2"
    more = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    return invoke("merge", folder / "merged", "--base", folder / "base", *tasks, "--weights", given, *more)


def _rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    params = read_params(folder)
    change(params)
    write_params(folder, {name: tensor.clone() for name, tensor in params.items()}, overwrite=True)


# Checkpoints: the same message whether a merge, a check or a fit meets them.


def _truncate(own: Path) -> None:
    path = own / "ft-signs" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])


def _cut_to_nothing(own: Path) -> None:
    (own / "ft-signs" / "model.safetensors").write_bytes(b"\x01\x02")


def _reshape(own: Path) -> None:
    _rewrite(own / "ft-signs", lambda params: params.update({"2.weight": torch.zeros(4, 6)}))


def _forget(own: Path) -> None:
    _rewrite(own / "ft-signs", lambda params: params.pop("2.bias"))


def _poison(own: Path) -> None:
    _rewrite(own / "ft-signs", lambda params: params["0.weight"].__setitem__((1, 2), torch.nan))


def _swap_base(own: Path) -> None:
    generator = torch.Generator().manual_seed(9)
    _rewrite(
        own / "ft-signs",
        lambda params: params.update(
            {name: 3 * torch.randn(tensor.shape, generator=generator) for name, tensor in params.items()}
        ),
    )


def _remove(own: Path) -> None:
    (own / "ft-signs").rename(own / "ft-sign")


CHECKPOINTS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "missing": (_remove, ("ft-signs: there is no such file or folder", "the nearest name is", "ft-sign'")),
    "truncated": (_truncate, ("ft-signs", "model.safetensors", "truncated")),
    "cut to nothing": (_cut_to_nothing, ("ft-signs", "model.safetensors")),
    "other shape": (_reshape, ("signs", "'2.weight'", "[4, 6]", "[3, 6]")),
    "missing tensor": (_forget, ("signs", "'2.bias'")),
    "not a number": (_poison, ("signs", "'0.weight'", "NaN")),
    "another base": (_swap_base, ("signs: is at relative distance", "the limit is 1", "larger max_distance")),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
@pytest.mark.parametrize("verb", ["merge", "check", "fit"])
def test_checkpoints_that_cannot_be_merged(own: Path, case: str, verb: str) -> None:
    spoil, seen = CHECKPOINTS[case]
    spoil(own)
    before = files_below(own)
    if verb == "merge":
        answer = _merge(own)
        assert files_below(own) == before
    elif verb == "check":
        answer = invoke("check", own / "recipe.yaml")
        assert files_below(own) == before
        # Statistics of what could be read are no error, but nothing says that it fits.
        assert "everything fits" not in answer.out
    else:
        answer = invoke("fit", own / "recipe.yaml")
        assert not (own / "recipe-run" / "posteriors").exists()
    _refused(answer, *seen)


def test_a_repaired_recipe_starts_the_run_that_a_refused_one_left(own: Path) -> None:
    """Nothing was measured yet, so the run folder belongs to nobody."""
    write_recipe(own, recipe_of(max_distance=0.01))
    _refused(invoke("fit", own / "recipe.yaml"), "the limit is 0.01")
    write_recipe(own, recipe_of(max_distance=2.0))
    assert invoke("fit", own / "recipe.yaml").code == 0


def test_a_larger_distance_may_be_allowed(own: Path) -> None:
    _swap_base(own)
    assert _merge(own, max_distance="20").code == 0
    assert invoke("check", own / "recipe.yaml", "--max-distance", "20").code == 0
    _refused(invoke("check", own / "recipe.yaml", "--max-distance", "0.1"), "the limit is 0.1")


@pytest.mark.parametrize(
    ("weights", "seen"),
    [
        ("sums=0.7,signs=0.5,swaps=-0.2", ("weights are negative", "must be >= 0", "task_arithmetic")),
        ("sums=0.7,signs=0.5,swaps=0.2", ("weights sum to 1.4, not 1", "Divide them by their sum")),
        ("sums=nan,signs=0.5,swaps=0.5", ("NaN or infinity", "sums=nan")),
        ("sums=0.5,sings=0.3,swaps=0.2", ("unknown task 'sings' (did you mean 'signs'?)",)),
        ("sums=0.5,signs=0.5", ("no weight for task 'swaps'",)),
        ("0.5,0.3,0.2", ("write a=0.6,b=0.4",)),
    ],
)
def test_weights_that_are_none(own: Path, weights: str, seen: tuple[str, ...]) -> None:
    before = files_below(own)
    _refused(_merge(own, weights=weights), *seen)
    assert files_below(own) == before


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({"rule": "taskarithmetic"}, ("unknown rule 'taskarithmetic' (did you mean 'task_arithmetic'?)",)),
        ({"dtype": "fp16"}, ("unknown dtype 'fp16'", "float16, bfloat16, float32, float64")),
    ],
)
def test_options_with_unknown_words(own: Path, options: dict[str, str], seen: tuple[str, ...]) -> None:
    _refused(_merge(own, **options), *seen)
    assert not (own / "merged").exists()


def test_a_configuration_that_is_no_json(own: Path) -> None:
    (own / "base" / "config.json").write_text('{"dtype": ')
    _refused(_merge(own, dtype="float16"), "config.json cannot be read as JSON", "Repair it")
    assert not (own / "merged").exists()


def test_an_output_folder_that_exists(own: Path) -> None:
    (own / "merged").mkdir()
    (own / "merged" / "thesis.tex").write_text("precious")
    _refused(_merge(own), "merged: the folder exists and holds", "choose another folder")
    assert files_below(own / "merged") == {"thesis.tex"}


# Recipes.


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"frnt": {}}, ("unknown key 'frnt' (did you mean 'front'?)",)),
        ({"front": {"pionts": 4}}, ("unknown key 'front.pionts' (did you mean 'points'?)",)),
        ({"posterior": {"family": "subspce"}}, ("unknown posterior 'subspce' (did you mean 'subspace'?)",)),
        ({"posterior": {"settings": {"grops": 1}}}, ("no setting 'grops' (did you mean 'groups'?)",)),
        ({"posterior": {"settings": {"centres": "two"}}}, ("the setting 'centres' cannot be 'two'",)),
        ({"rule": {"name": "tys"}}, ("unknown rule 'tys'", "one of posterior, averaging")),
        ({"problem": "problm.py:problem"}, ("there is no file", "problm.py")),
        ({"problem": "problem.py:problm"}, ("has no function 'problm' (did you mean 'problem'?)",)),
        ({"problem": "problem.py"}, ("names no function: write file.py:function",)),
        ({"problem": None}, ("give a problem (model and data) or an evaluator",)),
    ],
)
@pytest.mark.parametrize("verb", ["check", "front"])
def test_recipes_with_a_mistake(own: Path, verb: str, changes: dict[str, Any], seen: tuple[str, ...]) -> None:
    write_recipe(own, recipe_of(**changes))
    _refused(invoke(verb, own / "recipe.yaml"), *seen)
    assert not (own / "recipe-run" / "posteriors").exists()


@pytest.mark.parametrize(
    ("function", "seen"),
    [
        ("raises", ("raised FileNotFoundError when it was called: no such corpus",)),
        ("returns_text", ("returned str, not a paretomerge Problem",)),
        ("knows_one_task", ("knows the tasks sums, but not 'signs' of the recipe",)),
        ("is_empty", ("the validation split of task", "check the data path")),
    ],
)
def test_problems_that_are_none(own: Path, function: str, seen: tuple[str, ...]) -> None:
    write_recipe(own, recipe_of(problem=f"problem.py:{function}"))
    _refused(invoke("front", own / "recipe.yaml"), *seen)
    if function != "is_empty":
        assert not (own / "recipe-run").exists()


def test_a_metric_that_nothing_measures_is_refused_before_anything_is_evaluated(own: Path) -> None:
    write_recipe(own, recipe_of(front={"metric": "acuracy"}))
    answer = invoke("front", own / "recipe.yaml")
    _refused(answer, "no objective has the metric 'acuracy' (did you mean 'accuracy'?)", "'loss', 'accuracy'")
    assert not (own / "recipe-run" / "posteriors").exists()


@pytest.mark.parametrize(
    ("how", "code", "seen"),
    [
        ("raise 0", 1, ("the evaluator failed on task 'sums': RuntimeError",)),
        ("nan 0", 1, ("NaN or infinite on 1 of 32 examples", "the model diverged")),
        ("matrix 0", 1, ("has shape [32, 2]: return one score per example",)),
        ("none 0", 1, ("returned nothing",)),
        ("nothing 0", 2, ("the evaluation set of task 'sums' is empty",)),
    ],
)
def test_evaluators_that_return_no_scores(own: Path, how: str, code: int, seen: tuple[str, ...]) -> None:
    write_recipe(own, logged_recipe())
    (own / "control.txt").write_text(how)
    _refused(invoke("front", own / "recipe.yaml"), *seen, code=code)


def test_a_metric_that_the_evaluator_does_not_return(own: Path) -> None:
    content = logged_recipe()
    content["objectives"] = [{**objective, "metric": "accuracy"} for objective in content["objectives"]]
    write_recipe(own, {**content, "front": {**content["front"], "metric": "accuracy"}})
    (own / "control.txt").write_text("metrics 0")
    answer = invoke("front", own / "recipe.yaml")
    _refused(answer, "needs the metric 'accuracy', but the evaluator returned 'f1' for task 'sums'", code=1)


def test_a_training_that_diverges(own: Path) -> None:
    write_recipe(own, recipe_of(training={**TRAINING, "learning_rate": 1e37, "weight_decay": 1.0}))
    assert invoke("front", own / "recipe.yaml").code == 0
    answer = invoke("verify", own / "recipe-run", "--points", 1)
    _refused(answer, "training diverged", "lower the learning rate (1e+37)", code=1)
    assert not (own / "recipe-run" / "trained").exists()


# Runs.


@pytest.fixture
def started(own: Path) -> Path:
    """A run with a front and no choice."""
    write_recipe(own, recipe_of(posterior={"family": "isotropic"}))
    assert invoke("front", own / "recipe.yaml").code == 0
    return own / "recipe-run"


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ((), ("say how to choose: exactly one of --weights, --at-least, --reference, --knee, --improve",)),
        (("--knee", "--weights", "sums=1"), ("exactly one of",)),
        (("--best", "sums"), ("--best goes with --at-least",)),
        (("--at-least", "sums=0.0001"), ("none of the", "Point", "comes closest", "relax 'loss[sums]'")),
        (("--at-least", "sum=1"), ("unknown task or objective 'sum' (did you mean 'sums'?)",)),
        (("--at-least", "sums=1", "--best", "sins"), ("unknown task or objective 'sins'",)),
        (("--at-least", "sums=often"), ("--at-least 'sums=often': 'often' is not a number",)),
        (("--reference", "loss[sum]=1"), ("did you mean 'loss[sums]'?",)),
        (("--weights", "sums=0.5,signs=0.5"), ("no weight for task 'swaps'",)),
        (("--weights", "sums=0.5,signs=0.5,swaps=0.5"), ("weights sum to 1.5, not 1",)),
    ],
)
def test_wishes_that_are_none(started: Path, options: tuple[str, ...], seen: tuple[str, ...]) -> None:
    _refused(invoke("choose", started, *options), *seen)
    _refused(invoke("export", started, started.parent / "out"), "no point of this front was chosen yet")


@pytest.mark.parametrize("point", ["99", "-1", "best", "1.5"])
def test_points_that_are_not_on_the_front(started: Path, point: str) -> None:
    answer = invoke("export", started, started.parent / "out", "--point", point)
    _refused(answer, "the front has the points 0 to", f"and 'chosen', not '{point}'")
    assert not (started.parent / "out").exists()


def test_an_export_over_something_else(started: Path) -> None:
    invoke("choose", started, "--knee")
    out = started.parent / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    _refused(invoke("export", started, out), "the folder exists and holds")
    assert files_below(out) == {"thesis.tex"}
    assert not out.with_name("out-weights.yaml").exists()


def test_no_points_to_verify(started: Path) -> None:
    _refused(
        invoke("verify", started, "--points", 0),
        "nothing was trained yet: give --points 3, or a checkpoint of yours with --trained",
    )


@pytest.mark.parametrize("verb", [("choose", "--knee"), ("front",), ("report",), ("verify",), ("fit",)])
def test_folders_that_are_no_run(own: Path, verb: tuple[str, ...]) -> None:
    """The study's own folder holds a recipe.yaml, which makes it no run."""
    before = files_below(own)
    _refused(invoke(verb[0], own, *verb[1:]), "is not a run folder", "paretomerge fit RECIPE")
    _refused(invoke(verb[0], own / "nowhere", *verb[1:]), "there is no recipe")
    assert files_below(own) == before


def test_a_run_folder_of_another_recipe(started: Path) -> None:
    recipe = write_recipe(started.parent, recipe_of(seed=3))
    held = (started / "recipe.yaml").read_text()
    _refused(invoke("fit", recipe), "holds a run of another recipe", "--out", "edit")
    assert (started / "recipe.yaml").read_text() == held
    assert invoke("fit", recipe, "--out", started.parent / "other-run").code == 0


def test_a_folder_with_a_recipe_of_the_users_is_never_overwritten(own: Path) -> None:
    held = (own / "recipe.yaml").read_text()
    other = write_recipe(own, recipe_of(seed=3), "other.yaml")
    _refused(invoke("fit", other, "--out", own), "holds a run of another recipe")
    assert (own / "recipe.yaml").read_text() == held


def test_a_run_cannot_be_moved(started: Path) -> None:
    _refused(invoke("fit", started, "--out", started.parent / "elsewhere"), "is a run already", "--out")
    assert not (started.parent / "elsewhere").exists()


@pytest.mark.parametrize("verb", [("front",), ("choose", "--knee"), ("report",)])
def test_a_corrupted_journal(started: Path, verb: tuple[str, ...]) -> None:
    (started / "journal.sqlite").write_bytes(b"not a journal at all, just some text. " * 100)
    answer = invoke(verb[0], started, *verb[1:])
    _refused(answer, "journal.sqlite is not a journal", "Restore it from a backup, or start in a new run folder")


def test_a_journal_of_a_newer_version(started: Path) -> None:
    with sqlite3.connect(started / "journal.sqlite") as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 4}")
    _refused(invoke("front", started), "was written by a newer version of paretomerge", "upgrade paretomerge")


def test_a_damaged_posterior_file(own: Path) -> None:
    invoke("fit", own / "recipe.yaml")
    path = next((own / "recipe-run" / "posteriors").iterdir())
    path.write_bytes(path.read_bytes()[:100])
    _refused(invoke("front", own / "recipe.yaml"), path.name)


# Disks that refuse.


def _no_space(*arguments: Any, **options: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_no_half_written_checkpoint(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files_below(own)
    monkeypatch.setattr(os, "fsync", _no_space)
    _refused(_merge(own), "cannot write", "merged", "No space left on device", "GB free", code=1)
    assert files_below(own) == before


def test_a_full_disk_leaves_the_run_as_it_was(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", _no_space)
    _refused(invoke("fit", own / "recipe.yaml"), "No space left on device", "recipe-run", code=1)
    assert not (own / "recipe-run" / "recipe.yaml").exists()
    monkeypatch.undo()
    assert invoke("fit", own / "recipe.yaml").code == 0


def test_a_full_disk_while_posteriors_are_stored(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    invoke("check", own / "recipe.yaml")
    real = os.fsync

    def refuse_posteriors(descriptor: int) -> None:
        if "posteriors" in os.readlink(f"/proc/self/fd/{descriptor}"):
            _no_space()
        real(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", refuse_posteriors)
    _refused(invoke("fit", own / "recipe.yaml", "--json"), "No space left on device", code=1)
    assert not list((own / "recipe-run" / "posteriors").iterdir())
    monkeypatch.undo()
    assert invoke("fit", own / "recipe.yaml").code == 0


def test_a_file_where_the_run_folder_should_be(own: Path) -> None:
    (own / "recipe-run").write_text("in the way")
    _refused(invoke("fit", own / "recipe.yaml"), "cannot create the journal", "recipe-run", code=1)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(own: Path) -> None:
    own.chmod(0o555)
    try:
        _refused(_merge(own), "cannot write", "Permission denied", code=1)
        _refused(invoke("fit", own / "recipe.yaml"), "recipe-run", code=1)
    finally:
        own.chmod(0o755)


def test_json_is_never_half_an_answer(own: Path) -> None:
    _poison(own)
    for verb in ("fit", "front"):
        answer = invoke(verb, own / "recipe.yaml", "--json")
        assert answer.out == ""
        _refused(answer, "NaN")
    report = invoke("check", own / "recipe.yaml", "--json")
    assert json.loads(report.out)["ok"] is False
