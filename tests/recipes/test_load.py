from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paretomerge.errors import RecipeError
from paretomerge.recipes import (
    Recipe,
    digest_recipe,
    dump_recipe,
    load_function,
    load_recipe,
    parse_recipe,
    read_source,
)

MINIMAL = {"base": "b", "tasks": {"a": {"checkpoint": "c"}}, "problem": "p.py:f"}

FROM_FILES = {"problem": "sequence_classification", "tasks": {"a": {"checkpoint": "c", "data": "rows.csv"}}}

names = st.text(min_size=1, max_size=12)
task_names = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=12).filter(str.strip)
positive = st.floats(min_value=1e-12, max_value=1e12)
scalars = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | names
options = st.dictionaries(names, scalars | st.lists(scalars, max_size=3), max_size=3)


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, Any]:
    """Any recipe, with every section present or absent."""
    task = st.fixed_dictionaries({"checkpoint": names}, optional={"data": names})
    posterior = st.fixed_dictionaries(
        {},
        optional={
            "family": names,
            "settings": options,
            "split": st.sampled_from(["training", "validation"]),
            "damping": st.just("validation") | st.none() | positive,
            "dampings": st.lists(positive, min_size=1, max_size=3),
        },
    )
    front = st.fixed_dictionaries(
        {},
        optional={
            "evaluations": st.integers(0, 99),
            "method": names,
            "settings": options,
            "domain": st.sampled_from(["weights", "coefficients", "groups"]),
            "bounds": st.tuples(st.floats(-2, 0), st.floats(0.5, 2)),
            "points": st.integers(1, 20),
            "metric": names,
            "objectives": st.lists(names, max_size=2),
            "constraints": st.lists(st.just("tokens <= 300"), max_size=1),
            "interval": st.floats(0.5, 0.99),
        },
    )
    training = st.fixed_dictionaries(
        {}, optional={"steps": st.integers(1, 10**6), "learning_rate": positive, "max_norm": st.none() | positive}
    )
    objective = st.fixed_dictionaries(
        {"name": names},
        optional={
            "direction": st.sampled_from(["minimise", "maximise"]),
            "task": names,
            "bounds": st.just([0.0, None]),
        },
    )
    return draw(
        st.fixed_dictionaries(
            {"base": names, "tasks": st.dictionaries(task_names, task, min_size=1, max_size=3), "problem": names},
            optional={
                "posterior": posterior,
                "rule": st.fixed_dictionaries({}, optional={"name": names, "settings": options}),
                "front": front,
                "training": training,
                "objectives": st.lists(objective, max_size=2),
                "seed": st.integers(0, 2**31),
                "max_distance": positive,
            },
        )
    )


@given(recipes())
@example({**MINIMAL, "base": "models/\x85/modèle"})
@settings(max_examples=40)
def test_a_recipe_survives_the_round_trip_through_yaml(content: dict[str, Any]) -> None:
    recipe = parse_recipe(content)
    again = parse_recipe(yaml.safe_load(dump_recipe(recipe)))
    assert again == recipe
    assert digest_recipe(again) == digest_recipe(recipe)


@given(recipes(), st.integers(0, 2**31))
def test_another_recipe_has_another_digest(content: dict[str, Any], seed: int) -> None:
    recipe = parse_recipe(content)
    other = recipe.model_copy(update={"seed": seed})
    assert (digest_recipe(other) == digest_recipe(recipe)) == (seed == recipe.seed)


def test_paths_are_seen_from_the_recipes_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "base: models/base\ntasks: {a: {checkpoint: /elsewhere/a}, b: {checkpoint: ~/b}}\n"
        "problem: code/p.py:f\nevaluator: package.module:score\nobjectives: [{name: a}]\n"
        "posterior: {files: {a: a.safetensors, b: ~/b.safetensors}}\n"
    )
    monkeypatch.chdir("/")
    recipe = load_recipe(path)
    assert recipe.base == str(tmp_path / "models/base")
    assert recipe.tasks["a"].checkpoint == "/elsewhere/a"
    assert recipe.tasks["b"].checkpoint == str(tmp_path / "home/b")
    assert recipe.problem == f"{tmp_path}/code/p.py:f"
    assert recipe.evaluator == "package.module:score"
    assert recipe.posterior.files == {
        "a": str(tmp_path / "a.safetensors"),
        "b": str(tmp_path / "home/b.safetensors"),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"taskz": {}}, r"unknown key 'taskz' \(did you mean 'tasks'\?\); the keys here are base, tasks"),
        ({"front": {"evaluation": 3}}, r"'front.evaluation' \(did you mean 'evaluations'\?\)"),
        (
            {"tasks": {"a": {"chekpoint": "c"}}},
            r"'tasks.a.chekpoint' \(did you mean 'checkpoint'\?\); .* checkpoint, data",
        ),
        ({"objectives": [{"name": "a", "metrik": "f1"}]}, r"'objectives.0.metrik' \(did you mean 'metric'\?\)"),
        ({"tasks": {}}, "at least one task"),
        ({"problem": None}, "give a problem .* or an evaluator"),
        ({"evaluator": "e.py:f"}, "objectives: an evaluator needs a list of objectives"),
        ({"front": {"evaluations": -1}}, "front.evaluations: .*greater than or equal to 0"),
        ({"training": {"learning_rate": 0}}, "training.learning_rate: .*greater than 0"),
        ({"tasks": {"a": "ft-a"}}, "tasks.a: "),
        ({"base": 3}, "base: .*string"),
        ({"posterior": {"files": {"b": "x"}}}, r"posterior.files: give one file for every task \(a\), got b"),
        (
            {"posterior": {"damping": -0.1}},
            "posterior.damping: must be a number of at least 0, 'validation' or 'evidence', got -0.1",
        ),
        ({"posterior": {"damping": "validate"}}, "posterior.damping: must be a number .* got 'validate'"),
        ({"posterior": {"damping": "nan"}}, "posterior.damping: must be a number"),
        ({"posterior": {"dampings": [0.1, -1]}}, "posterior.dampings: must be one or more numbers of at least 0"),
        ({"posterior": {"dampings": []}}, "posterior.dampings: must be one or more numbers"),
        ({"posterior": {"files": {"a": "x"}, "settings": {"labels": "true"}}}, "leave out the settings"),
        ({"problem": "causal_lm"}, "tasks.a.data: problem causal_lm needs the path of every task's examples"),
        ({"problem_settings": {"text": "body"}}, "problem_settings: only problems made from files have settings"),
        ({"problem_settings": {"txt": "body"}}, r"'problem_settings.txt' \(did you mean 'text'\?\)"),
        ({**FROM_FILES, "problem_settings": {"prompt": None}}, "prompt: problem sequence_classification has no such"),
        (
            {**FROM_FILES, "problem": "causal_lm", "problem_settings": {"label": "y"}},
            "problem_settings.label: problem causal_lm has no such setting",
        ),
        ({**FROM_FILES, "problem_settings": {"max_length": 1}}, "problem_settings.max_length: .*greater than or equal"),
    ],
)
def test_a_wrong_recipe_names_the_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe({**MINIMAL, **change})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: [", "is not YAML"),
        ("- a\n- b\n", "expected a mapping .* got list"),
        ("", "expected a mapping .* got NoneType"),
        ("base: !!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_what_is_no_recipe_is_said_so(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no recipe"):
        load_recipe(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00base")
    for path in (tmp_path, tmp_path / "binary.yaml"):
        with pytest.raises(RecipeError, match="cannot read the recipe"):
            load_recipe(path)


def test_functions_come_from_files_and_modules(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("class Data: pass\n\ndef answer():\n    return 42\n")
    assert load_function(f"{path}:answer")() == 42
    assert load_function("math:floor")(2.7) == 2
    # Registered under its own name, so that a process pool can find what it defines.
    assert sys.modules[load_function(f"{path}:Data").__module__].Data


def test_files_of_one_name_do_not_shadow_each_other(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(f"def who():\n    return {folder!r}\n")
    functions = [load_function(f"{tmp_path / folder / 'mine.py'}:who") for folder in ("one", "two")]
    assert [function() for function in functions] == ["one", "two"]


@pytest.mark.parametrize(
    ("source", "reference", "message"),
    [
        (None, "{}", "names no function: write file.py:function"),
        (None, "{}:", "names no function"),
        (None, "{}:f", "there is no file"),
        (None, "no.such.module:f", "cannot import 'no.such.module'"),
        ("def answer(): ...", "{}:anser", r"has no function 'anser' \(did you mean 'answer'\?\)"),
        ("answer = 42", "{}:answer", "has no function 'answer'"),
        ("1 / 0", "{}:f", "raised ZeroDivisionError when it was imported"),
        ("def f(:", "{}:f", "raised SyntaxError"),
        ("import no_such_package", "{}:f", "raised ModuleNotFoundError when it was imported: No module named"),
    ],
)
def test_functions_that_cannot_be_found_say_why(
    tmp_path: Path, source: str | None, reference: str, message: str
) -> None:
    path = tmp_path / "mine.py"
    if source is not None:
        path.write_text(source)
    with pytest.raises(RecipeError, match=message):
        load_function(reference.format(path))


def test_a_module_that_breaks_while_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_module_of_a_user.py").write_text("raise OSError('no licence')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RecipeError, match="broken_module_of_a_user raised OSError when it was imported: no licence"):
        load_function("broken_module_of_a_user:f")


def test_the_source_of_a_function_is_what_its_results_depend_on(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def f(): ...")
    assert read_source(f"{path}:f") == b"def f(): ..."
    assert b"def read_source" in read_source("paretomerge.recipes.load:read_source")
    assert read_source("math:floor") is not None


def test_recipes_are_frozen() -> None:
    recipe: Recipe = parse_recipe(MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(("given", "expected"), [("1e-2", 0.01), (0, 0.0), (None, None), ("validation", "validation")])
def test_a_damping_is_a_number_or_is_chosen(given: Any, expected: Any) -> None:
    assert parse_recipe({**MINIMAL, "posterior": {"damping": given}}).posterior.damping == expected


@given(
    st.sampled_from(["sequence_classification", "causal_lm"]),
    st.fixed_dictionaries(
        {},
        optional={
            "max_length": st.integers(2, 4096),
            "batch_size": st.integers(1, 512),
            "examples": st.none() | st.integers(1, 10**6),
            "shares": st.sampled_from([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]),
            "split_seed": st.integers(0, 99),
        },
    ),
    st.none() | st.lists(names | st.integers(), min_size=2, max_size=3),
)
def test_settings_of_problems_survive_the_round_trip(problem: str, settings: dict[str, Any], labels: Any) -> None:
    if problem == "sequence_classification":
        settings |= {"labels": labels}
    recipe = parse_recipe({**MINIMAL, **FROM_FILES, "problem": problem, "problem_settings": settings})
    again = parse_recipe(yaml.safe_load(dump_recipe(recipe)))
    assert again == recipe
    assert again.problem_settings.settings_of(problem) == recipe.problem_settings.settings_of(problem)


def test_a_recipe_is_written_with_the_settings_its_problem_has() -> None:
    assert "problem_settings" not in yaml.safe_load(dump_recipe(parse_recipe(MINIMAL)))
    for problem, foreign in (("sequence_classification", "prompt"), ("causal_lm", "text")):
        written = yaml.safe_load(dump_recipe(parse_recipe({**MINIMAL, **FROM_FILES, "problem": problem})))
        assert written["problem_settings"]["max_length"] == 128
        assert foreign not in written["problem_settings"]


def test_data_are_paths_for_problems_from_files_and_words_for_functions(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, **FROM_FILES}))
    assert load_recipe(path).tasks["a"].data == str(tmp_path / "rows.csv")
    path.write_text(yaml.safe_dump({**MINIMAL, "tasks": FROM_FILES["tasks"]}))
    assert load_recipe(path).tasks["a"].data == "rows.csv"


def test_a_recipe_that_is_not_there_is_answered_by_the_nearest_file(tmp_path):
    (tmp_path / "recipe.yaml").write_text("base: b\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"there is no recipe .*recipe\.yml \(did you mean 'recipe\.yaml'\?\)"):
        load_recipe(tmp_path / "recipe.yml")
    with pytest.raises(RecipeError, match=r"there is no recipe .*gone/recipe\.yml$"):
        load_recipe(tmp_path / "gone" / "recipe.yml")
