"""From folders to a recipe that runs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tests.problems.tiny_models import answers, bert, finetuned, inside, llama, reviews, write_jsonl
from tests.tiny import invoke

from paretomerge.checkpoints import open_checkpoint, write_params
from paretomerge.errors import DataError, InputError
from paretomerge.recipes import load_recipe
from paretomerge.stages import check_recipe, draft_recipe, estimate_run_front, open_study, write_recipe
from paretomerge.stages.drafting.recipe_text import RecipeParts, recipe_text

SPLITS = {"train": 40, "dev": 30, "test": 20}


def _examples(folder: Path, rows: Any, seed: int = 0) -> None:
    for number, (split, count) in enumerate(SPLITS.items()):
        write_jsonl(folder / f"{split}.jsonl", rows(count, seed=10 * number + seed))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A base, two finetunes as a Trainer leaves them, and their examples in data/."""
    bert(tmp_path / "base")
    for seed, task in enumerate(("movie", "book")):
        finetuned(tmp_path / "base", tmp_path / "runs" / task / "checkpoint-20", seed)
        shutil.copy(tmp_path / "base" / "config.json", tmp_path / "runs" / task / "checkpoint-20")
        state = {"max_steps": 20, "train_batch_size": 8}
        (tmp_path / "runs" / task / "checkpoint-20" / "trainer_state.json").write_text(json.dumps(state))
        (tmp_path / "runs" / task / "checkpoint-20" / "optimizer.pt").write_bytes(b"")
        _examples(tmp_path / "data" / task, reviews, seed)
    return tmp_path


def _draft(home: Path, **given: Any) -> Any:
    with inside(home):
        return draft_recipe("base", ["runs/movie", "runs/book"], **given)


def test_a_drafted_recipe_runs_as_it_is(home: Path) -> None:
    draft = _draft(home)
    assert draft.is_complete
    assert draft.warnings == ()
    assert draft.new_base is None
    assert draft.lines <= 10
    path = write_recipe(draft, home / "recipe.yaml")
    recipe = load_recipe(path)
    assert list(recipe.tasks) == ["movie", "book"]
    assert recipe.problem == "sequence_classification"
    assert recipe.front.evaluations == 10
    assert check_recipe(path, quick=True).ok
    assert len(estimate_run_front(open_study(path), evaluations=2).scores) == 2


def test_paths_are_relative_to_the_recipe(home: Path) -> None:
    content = yaml.safe_load(_draft(home).text)
    assert content["base"] == "base"
    assert content["tasks"]["movie"] == {"checkpoint": "runs/movie/checkpoint-20", "data": "data/movie"}
    below = yaml.safe_load(_draft(home, folder="recipes").text)
    assert below["tasks"]["movie"]["data"] == "../data/movie"
    far = yaml.safe_load(_draft(home, folder="a/b/c/d").text)
    assert far["base"] == str(home / "base")


def test_every_guess_has_a_reason(home: Path) -> None:
    found = {guess.what: guess for guess in _draft(home).guesses}
    assert found["movie"].why.endswith("the newest of its checkpoints, is taken")
    assert found["problem"].why == "the architecture is BertForSequenceClassification"
    assert "(40 training, 30 validation, 20 test)" in found["data of book"].value
    assert found["text"].value == "column 'text'"
    assert found["max_length"].value == "16"
    assert re.fullmatch(r"the longest text that was looked at has \d tokens", found["max_length"].why)


def test_a_few_stray_texts_do_not_make_all_texts_long(home: Path) -> None:
    file = home / "data" / "movie" / "train.jsonl"
    rows = file.read_text(encoding="utf-8")
    file.write_text(rows + json.dumps({"text": "a fine film " * 30, "label": "positive"}) + "\n", encoding="utf-8")
    found = {guess.what: guess for guess in _draft(home).guesses}
    assert found["max_length"].value == "16"
    assert found["max_length"].why == "95 % of the texts of every task have fewer tokens; the longest has 92"


def test_what_can_be_set_is_shown_as_comments(home: Path) -> None:
    text = _draft(home).text
    assert "# training: {steps: 20, examples_per_task: 8, learning_rate: 5.0e-05}" in text
    for shown in ("metric: loss", "batch_size: 32", "# evaluator:", "# seed: 0"):
        assert shown in text
    assert all(len(line) <= 120 for line in text.splitlines())


def test_a_bare_encoder_gets_a_base_with_the_finetunes_head(home: Path) -> None:
    body = {n.removeprefix("bert."): t for n, t in open_checkpoint(home / "base").items() if n.startswith("bert.")}
    shutil.copytree(home / "base", home / "encoder")
    write_params(home / "encoder", body, overwrite=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(home / "base" / name, home / "encoder" / name)
    (home / "encoder" / "config.json").write_text(json.dumps({"architectures": ["BertModel"], "model_type": "bert"}))
    with inside(home):
        draft = draft_recipe("encoder", ["runs/movie", "runs/book"])
        assert not (home / "encoder-with-head").exists()
        path = write_recipe(draft, "recipe.yaml")
        assert yaml.safe_load(path.read_text())["base"] == "encoder-with-head"
        assert any("encoder lacks classifier." in warning for warning in draft.warnings)
        assert draft.lines <= 10
        assert check_recipe(path, quick=True).ok
        with pytest.raises(InputError, match=r"recipe\.yaml is there already"):
            write_recipe(draft, "recipe.yaml")
        write_recipe(draft, "recipe.yaml", overwrite=True)
        elsewhere = draft_recipe("encoder", ["runs/movie", "runs/book"], make_base="mine")
        assert elsewhere.base_folder == Path("mine")


def test_columns_with_other_names_are_settings(home: Path) -> None:
    for task in ("movie", "book"):
        for split, count in SPLITS.items():
            rows = [{"sentence": row["text"], "sentiment": row["label"]} for row in reviews(count)]
            write_jsonl(home / "data" / task / f"{split}.jsonl", rows)
    draft = _draft(home)
    settings = yaml.safe_load(draft.text)["problem_settings"]
    assert settings == {"text": "sentence", "label": "sentiment", "max_length": 16}
    path = write_recipe(draft, home / "recipe.yaml")
    assert check_recipe(path, quick=True).ok


def test_columns_that_differ_between_tasks_are_doubted(home: Path) -> None:
    rows = [{"review": row["text"], "label": row["label"]} for row in reviews(40)]
    shutil.rmtree(home / "data" / "book")
    write_jsonl(home / "data" / "book.jsonl", rows)
    draft = _draft(home)
    assert not draft.is_complete
    assert any("'text' in movie, 'review' in book" in warning for warning in draft.warnings)
    assert any("book are one file, which is shared out anew" in warning for warning in draft.warnings)


def test_missing_examples_are_a_todo_that_check_explains(home: Path) -> None:
    shutil.rmtree(home / "data" / "book")
    draft = _draft(home)
    assert not draft.is_complete
    assert any("no examples found for book" in w and "--data book=FILE-or-FOLDER" in w for w in draft.warnings)
    path = write_recipe(draft, home / "recipe.yaml")
    assert "# TODO: add  data: FILE-or-FOLDER" in path.read_text()
    assert "tasks.book.data" in invoke("check", path).err


def test_several_files_that_could_be_it_are_not_guessed(home: Path) -> None:
    shutil.rmtree(home / "data" / "book")
    for name in ("book-train.jsonl", "book-test.jsonl"):
        write_jsonl(home / "data" / name, reviews(5))
    assert any("book-test.jsonl, book-train.jsonl" in warning for warning in _draft(home).warnings)


def test_examples_may_lie_beside_the_finetune_or_be_named(home: Path) -> None:
    shutil.move(home / "data" / "book", home / "runs" / "book" / "data")
    draft = _draft(home)
    assert yaml.safe_load(draft.text)["tasks"]["book"]["data"] == "runs/book/data"
    shutil.move(home / "runs" / "book" / "data", home / "corpus")
    assert yaml.safe_load(_draft(home, data={"book": "corpus"}).text)["tasks"]["book"]["data"] == "corpus"
    with pytest.raises(InputError, match=r"there is no task 'bok' \(did you mean 'book'\?\)"):
        _draft(home, data={"bok": "corpus"})
    with pytest.raises(DataError, match="corpse"):
        _draft(home, data={"book": "corpse"})


def test_outputs_that_mean_other_things_are_warned_of(home: Path) -> None:
    for task, names in (("movie", ("bad", "good")), ("book", ("good", "bad"))):
        path = home / "runs" / task / "checkpoint-20" / "config.json"
        config = json.loads((home / "base" / "config.json").read_text()) | {"id2label": dict(enumerate(names))}
        path.write_text(json.dumps(config))
    assert any("the outputs of movie are bad, good, those of book good, bad" in w for w in _draft(home).warnings)


def test_weights_alone_are_of_the_bases_architecture(home: Path) -> None:
    for task in ("movie", "book"):
        (home / "runs" / task / "checkpoint-20" / "config.json").unlink()
    assert yaml.safe_load(_draft(home).text)["problem"] == "sequence_classification"


def test_a_language_model_without_prompts(tmp_path: Path) -> None:
    llama(tmp_path / "base")
    for seed, task in enumerate(("code", "poems")):
        finetuned(tmp_path / "base", tmp_path / task, seed)
        shutil.copy(tmp_path / "base" / "config.json", tmp_path / task)
        _examples(tmp_path / "data" / task, lambda n, seed: [{"text": row["prompt"]} for row in answers(n, seed)], seed)
    with inside(tmp_path):
        draft = draft_recipe("base", ["code", "poems"])
    content = yaml.safe_load(draft.text)
    assert content["problem"] == "causal_lm"
    assert content["problem_settings"]["prompt"] is None
    assert content["problem_settings"]["response"] == "text"
    assert content["posterior"] == {"settings": {"groups": "model", "examples": 50}}
    assert "metrics: [loss, perplexity, exact_match]" in draft.text
    assert check_recipe(write_recipe(draft, tmp_path / "recipe.yaml"), quick=True).ok


def test_an_architecture_nobody_knows_is_left_to_the_user(tmp_path: Path) -> None:
    for name in ("base", "a", "b"):
        write_params(tmp_path / name, {"w": torch.full((3, 3), float(len(name)))})
    draft = draft_recipe(tmp_path / "base", [str(tmp_path / "a"), str(tmp_path / "b")], folder=tmp_path)
    assert not draft.is_complete
    assert "# TODO: these models have no head" in draft.text
    path = write_recipe(draft, tmp_path / "recipe.yaml")
    assert "give a problem (model and data) or an evaluator" in invoke("check", path).err


@pytest.mark.parametrize("name", ["no", "1", "a: b", "träum", "#x", "{}", "- a"])
def test_names_that_yaml_would_misread_survive(name: str) -> None:
    parts = RecipeParts(
        f"base {name}", {name: {"checkpoint": f"x/{name}", "data": name}}, "causal_lm", {"prompt": None}
    )
    content = yaml.safe_load(recipe_text(parts))
    assert content["tasks"] == {name: {"checkpoint": f"x/{name}", "data": name}}
    assert content["base"] == f"base {name}"


@pytest.mark.parametrize(("tasks", "evaluations"), [(2, 10), (3, 15), (8, 40)])
def test_more_tasks_may_measure_more(tasks: int, evaluations: int) -> None:
    parts = RecipeParts("b", {f"t{n}": {"checkpoint": "c"} for n in range(tasks)}, None)
    assert yaml.safe_load(recipe_text(parts))["front"] == {"evaluations": evaluations}


def test_the_command_line_writes_it_and_says_what_is_next(home: Path) -> None:
    with inside(home):
        answer = invoke("init", "base", "runs/movie", "--task", "novels=runs/book", "--data", "novels=data/book")
        assert (answer.code, answer.err) == (0, "")
        assert answer.out.endswith("next: paretomerge check recipe.yaml\n")
        assert "recipe.yaml: 2 tasks, " in answer.out
        again = invoke("init", "base", "runs/movie")
        assert again.code == 2
        assert "recipe.yaml is there already" in again.err
        found = invoke("init", "base", "runs/movie", "runs/book", "--out", "other.yaml", "--json")
        assert found.json["path"] == "other.yaml"
        assert found.json["tasks"] == ["movie", "book"]
        assert found.json["recipe"] == (home / "other.yaml").read_text()
        for arguments, seen in (
            (["base"], "no finetunes"),
            (["base", "runs/movie", "--task", "x"], "--task 'x': write it as NAME=DIR"),
            (["base", "runs/movie", "--data", "x"], "--data 'x': write it as NAME=PATH"),
            (["base", "runs"], "it holds folders of models (book, movie): name those"),
        ):
            refused = invoke("init", *arguments, "--out", "z.yaml")
            assert refused.code == 2
            assert seen in refused.err
            assert not (home / "z.yaml").exists()


def test_image_classifiers_with_folders_of_images(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("PIL.Image", reason="the optional extra images is not installed")
    from tests.problems.picture_files import write_classes

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
    labels = {"id2label": {0: "bright", 1: "dark"}, "label2id": {"bright": 0, "dark": 1}}
    torch.manual_seed(0)
    model = transformers.ViTForImageClassification(
        transformers.ViTConfig(image_size=8, patch_size=4, **sizes, **labels)
    )
    model.save_pretrained(tmp_path / "base", save_original_format=False)
    preprocessor = {"image_processor_type": "ViTImageProcessor", "size": {"height": 8, "width": 8}}
    (tmp_path / "base" / "preprocessor_config.json").write_text(json.dumps(preprocessor), encoding="utf-8")
    for seed, task in enumerate(("day", "night")):
        finetuned(tmp_path / "base", tmp_path / task, seed)
        shutil.copy(tmp_path / "base" / "config.json", tmp_path / task)
        for split in ("train", "val", "test"):
            write_classes(tmp_path / "data" / task / split, count=3)
    with inside(tmp_path):
        draft = draft_recipe("base", ["day", "night"])
    content = yaml.safe_load(draft.text)
    assert draft.is_complete
    assert content["problem"] == "image_classification"
    assert content["tasks"]["day"] == {"checkpoint": "day", "data": "data/day"}
    assert check_recipe(write_recipe(draft, tmp_path / "recipe.yaml"), quick=True).ok
