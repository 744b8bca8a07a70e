from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.problems.tiny_models import (
    WORDS,
    bert,
    finetuned,
    llama,
    reviews,
    transformers,
    write_jsonl,
    write_tokenizer,
)

import paretomerge
from paretomerge.checkpoints import open_checkpoint
from paretomerge.curvature import FitDiagonal, FitKronecker, FitSubspace, fit_curvatures
from paretomerge.errors import CheckpointError, DataError
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.problems import sequence_classification_problem
from paretomerge.training import TrainingRecipe, finetune
from paretomerge.types import Problem


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert(tmp_path_factory.mktemp("models") / "base")


def _texts(problem: Problem, task: str, split: Any) -> list[list[int]]:
    """Token numbers without padding, in the order of the batches."""
    found = []
    for inputs, _ in problem.batches(task, split):
        for row, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
            found.append(row[mask.bool()].tolist())
    return found


def _params(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = open_checkpoint(folder)
    return {name: checkpoint[name] for name in checkpoint}


def test_losses_are_those_of_transformers_text_by_text(base: Path) -> None:
    rows = reviews(60)
    problem = sequence_classification_problem(base, {"a": {"test": rows}}, batch_size=7)
    found = SupervisedEvaluator(problem)(_params(base), "a")
    model = transformers.BertForSequenceClassification.from_pretrained(base).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    losses, hits = [], []
    for row in rows:
        label = ("negative", "positive").index(row["label"])
        with torch.no_grad():
            given = model(**tokenizer(row["text"], return_tensors="pt"), labels=torch.tensor([label]))
        losses.append(float(given.loss))
        hits.append(float(given.logits.argmax()) == label)
    torch.testing.assert_close(sorted(found["loss"].tolist()), sorted(losses), rtol=1e-4, atol=1e-5)
    assert float(found["accuracy"].mean()) == pytest.approx(sum(hits) / 60)


def test_pairs_are_told_apart_as_the_tokenizer_does(base: Path) -> None:
    rows = [{"one": "good film", "two": "is it good ?", "label": 1}, {"one": "bad", "two": "no", "label": 0}]
    problem = sequence_classification_problem(base, {"a": {"test": rows}}, text="one", text_pair="two")
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    expected = {row["label"]: tokenizer(row["one"], row["two"], return_token_type_ids=True) for row in rows}
    ((inputs, targets),) = problem.batches("a", "test")
    for number, target in enumerate(targets.tolist()):
        length = int(inputs["attention_mask"][number].sum())
        assert inputs["input_ids"][number, :length].tolist() == expected[target]["input_ids"]
        assert inputs["token_type_ids"][number, :length].tolist() == expected[target]["token_type_ids"]


def test_long_pairs_are_cut_at_their_longer_text(base: Path) -> None:
    rows = [{"one": "good film", "two": " ".join(WORDS[:12]), "label": 1}]
    problem = sequence_classification_problem(base, {"a": {"test": rows}}, text="one", text_pair="two", max_length=9)
    with pytest.warns(UserWarning, match="1 of 1 examples have more than 9 tokens"):
        ((inputs, _),) = problem.batches("a", "test")
    assert inputs["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 1]]


def test_decoders_are_not_told_which_text_a_token_is_of(tmp_path: Path) -> None:
    folder = llama(tmp_path / "base", kind="LlamaForSequenceClassification")
    rows = [{"one": "good", "two": "film", "label": 1}]
    problem = sequence_classification_problem(folder, {"a": {"test": rows}}, text="one", text_pair="two")
    assert list(problem.batches("a", "test")[0][0]) == ["input_ids", "attention_mask"]
    assert len(SupervisedEvaluator(problem)(_params(folder), "a")["loss"]) == 1


def test_single_texts_carry_no_segments(base: Path) -> None:
    ((inputs, _),) = sequence_classification_problem(base, {"a": {"test": reviews(3)}}).batches("a", "test")
    assert list(inputs) == ["input_ids", "attention_mask"]


def test_all_tasks_share_the_labels(base: Path) -> None:
    """A task with one label only means the same output by it."""
    one = [{"text": "good", "label": "positive"}] * 3
    problem = sequence_classification_problem(base, {"a": {"test": reviews(20)}, "b": {"test": one}})
    ((_, targets),) = problem.batches("b", "test")
    assert targets.tolist() == [1, 1, 1]


def test_training_batches_are_random_samples_and_others_are_sorted_by_length(base: Path) -> None:
    rows = sorted(reviews(200), key=lambda row: len(row["text"]))
    problem = sequence_classification_problem(base, {"a": {"training": rows, "test": rows}}, batch_size=20)
    width = {
        split: sum(x["input_ids"].shape[1] for x, _ in problem.batches("a", split)) for split in ("training", "test")
    }
    assert width["test"] < width["training"]
    first = [len(text) for text in _texts(problem, "a", "training")[:40]]
    assert abs(sum(first) / 40 - sum(map(len, _texts(problem, "a", "training"))) / 200) < 1
    assert sorted(_texts(problem, "a", "training")) == sorted(_texts(problem, "a", "test"))
    assert problem.batches("a", "test") is problem.batches("a", "test")


def test_long_texts_are_cut_with_a_warning(base: Path) -> None:
    rows = [{"text": " ".join(WORDS[:length]), "label": length % 2} for length in (2, 9, 12)]
    problem = sequence_classification_problem(base, {"a": {"test": rows}}, max_length=10)
    message = (
        r"test rows of task 'a' \(test\): 2 of 3 examples have more than 10 tokens \(the longest 14\) .* raise max_"
    )
    with pytest.warns(UserWarning, match=message):
        texts = _texts(problem, "a", "test")
    assert sorted(map(len, texts)) == [4, 10, 10]
    assert {text[-1] for text in texts} == {3}  # the end token survives the cut
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problem.batches("a", "test")  # said once


def test_texts_are_cut_to_what_the_model_takes(base: Path) -> None:
    rows = [{"text": " ".join(WORDS * 2), "label": 1}]
    problem = sequence_classification_problem(base, {"a": {"test": rows}})
    with pytest.warns(UserWarning, match=r"more than 16 tokens .* the model takes no more, so max_length 128 cannot"):
        assert [len(text) for text in _texts(problem, "a", "test")] == [16]
    assert len(SupervisedEvaluator(problem)(_params(base), "a")["loss"]) == 1


def test_texts_in_another_language_are_warned_of(base: Path) -> None:
    rows = [{"text": "ein schöner film", "label": 1}]
    problem = sequence_classification_problem(base, {"a": {"test": rows}})
    foreign = [{"text": "x y z u v w", "label": 1}]
    with pytest.warns(
        UserWarning, match=r"75 % of the tokens are unknown to the tokenizer in .*: is it the model's own"
    ):
        sequence_classification_problem(base, {"a": {"test": foreign}}).batches("a", "test")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problem.batches("a", "test")  # two words of five tokens


def test_the_tokenizer_of_a_larger_model_is_refused(tmp_path: Path) -> None:
    folder = bert(tmp_path / "base")
    write_tokenizer(folder, words=[*WORDS, "actor"])
    problem = sequence_classification_problem(folder, {"a": {"test": [{"text": "actor", "label": 1}]}})
    with pytest.raises(DataError, match="writes the token 20, but the model knows only 20: put the model's own"):
        problem.batches("a", "test")


def test_a_text_without_tokens_is_named(tmp_path: Path) -> None:
    folder = llama(tmp_path / "base", kind="LlamaForSequenceClassification", start=False)
    rows = [{"text": "good", "label": 1}, {"text": "\u200b", "label": 1}]
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"String": "\u200b"}, "content": ""}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    problem = sequence_classification_problem(folder, {"a": {"test": rows}})
    with pytest.raises(DataError, match="row 2: the tokenizer makes no token of 'text'"):
        problem.batches("a", "test")


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([{"texts": "x", "label": 1}], {}, r"no column 'text' \(did you mean 'texts'\?\)"),
        ([{"text": "x", "lable": 1}], {}, r"no column 'label' \(did you mean 'lable'\?\): .* the setting 'label'"),
        ([{"text": "x", "label": 1}], {"text_pair": "other"}, "no column 'other'.* the setting 'text_pair'"),
        ([{"text": "", "label": 1}], {}, "row 1: 'text' is empty"),
        ([{"text": "x", "label": 2}], {}, "the label 2 is no output of the head"),
        ([{"text": "x", "label": 1}], {"max_length": 1}, "max_length: must be at least 2 tokens, got 1"),
        ([{"text": "x", "label": 1}], {"batch_size": 0}, "batch_size: must be at least 1, got 0"),
        ([{"text": "x", "label": 1}], {"examples": 0}, "examples: at least one"),
        ([{"text": "x", "label": 1}], {"shares": (1, 1, 1)}, "shares: .*sum to 1"),
    ],
)
def test_bad_examples_are_refused_when_the_problem_is_made(base: Path, rows: Any, settings: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        sequence_classification_problem(base, {"a": {"test": rows}}, **settings)


def test_a_split_that_is_not_there_is_named(base: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", reviews(4))
    problem = sequence_classification_problem(base, {"a": tmp_path}, labels=("negative", "positive"))
    with pytest.raises(
        DataError, match=r"task 'a' has no test examples: its data have training only; add a file test\.jsonl"
    ):
        problem.batches("a", "test")


def test_models_without_a_classifier_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="LlamaForCausalLM, which has no head of the kind SequenceClassification"):
        sequence_classification_problem(llama(tmp_path / "base"), {"a": reviews(9)})


def test_opening_a_problem_does_not_import_transformers(base: Path) -> None:
    """Verbs that measure nothing must not pay for it."""
    import subprocess
    import sys

    code = (
        "import sys; from paretomerge import sequence_classification_problem as make; "
        f"make({str(base)!r}, {{'a': [{{'text': str(i), 'label': i % 2}} for i in range(9)]}}); "
        "print(sorted({'transformers', 'tokenizers', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_it_is_public() -> None:
    assert paretomerge.sequence_classification_problem is sequence_classification_problem


@pytest.mark.parametrize(
    "method",
    [FitDiagonal("empirical"), FitDiagonal("true"), FitKronecker(), FitSubspace("layer", centres=1)],
    ids=lambda method: type(method).__name__ + getattr(method, "labels", ""),
)
def test_curvature_is_measured_through_eager_attention(base: Path, tmp_path: Path, method: Any) -> None:
    problem = sequence_classification_problem(base, {"a": reviews(30), "b": reviews(30, seed=1)}, batch_size=8)
    tunes = {task: _params(finetuned(base, tmp_path / task, seed)) for seed, task in enumerate(problem.tasks)}
    found = fit_curvatures(problem, _params(base), tunes, method)
    merged = paretomerge.merge(found.posteriors(), [[0.5, 0.5]])[0]
    assert all(bool(tensor.isfinite().all()) for tensor in merged.values())
    expected = SupervisedEvaluator(problem, "training")(tunes["a"], "a")["loss"].mean()
    assert found.losses["a"].at(tunes["a"]) == pytest.approx(float(expected), rel=0.2)


def test_a_classifier_learns_from_its_rows(base: Path) -> None:
    problem = sequence_classification_problem(base, {"a": reviews(200)}, shares=(0.8, 0.0, 0.2))
    start = _params(base)
    recipe = TrainingRecipe(steps=60, examples_per_task=16, learning_rate=1e-2)
    tuned = finetune(problem, start, {"a": 1.0}, recipe).params
    evaluator = SupervisedEvaluator(problem)
    assert float(evaluator(tuned, "a")["loss"].mean()) < float(evaluator(start, "a")["loss"].mean()) - 0.05


def test_real_texts_are_read(base: Path, tmp_path: Path) -> None:
    """Sentences of descriptions that travel inside scikit-learn: which data set is a sentence about?"""
    datasets = pytest.importorskip("sklearn.datasets", reason="the optional extra demo is not installed")
    rows = []
    for label, load in (("digits", datasets.load_digits), ("wine", datasets.load_wine)):
        sentences = [" ".join(line.split()) for line in load().DESCR.split(".")]
        rows += [{"text": text, "label": label} for text in sentences if len(text) > 20]
    words = sorted({word for row in rows for word in row["text"].split()})
    folder = bert(tmp_path / "base", vocab_size=len(words) + 4, max_position_embeddings=64)
    write_tokenizer(folder, words=words)
    problem = sequence_classification_problem(folder, {"a": rows}, max_length=40, shares=(0.6, 0.2, 0.2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts = {split: len(_texts(problem, "a", split)) for split in ("training", "validation", "test")}
    assert sum(counts.values()) == len(rows)
    assert counts["training"] > 10
