"""Text settings: splits do not overlap, heads are separate, and frozen layers that run once change nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from benchmarks.assets.texts import Labelled

pytest.importorskip("transformers")
pytest.importorskip("sklearn")
from benchmarks.sentiment_example import fetch, load_texts
from benchmarks.suite.settings import heterogeneous, language_model, sentiment_four, small_language_model
from benchmarks.suite.settings.small_language_model import Answer, LastLayers, read_parts
from benchmarks.suite.settings.text_heads import CLASSES, Heads, columns_of
from benchmarks.suite.settings.text_splits import divide, key_of
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

from paretomerge import FitDiagonal, FitSubspace, LoraSettings, Problem, TrainingRecipe, finetune, fit_curvatures
from paretomerge.training.inputs import join_inputs, take_inputs

ASSETS = os.environ.get("PARETOMERGE_ASSETS", "")
needs_assets = pytest.mark.skipif(not ASSETS, reason="needs a folder of packages: PARETOMERGE_ASSETS=DIR")
SIZES = {"test": 6, "validation": 4, "training": 100}


def alone(problem: Problem, task: str) -> dict[str, float]:
    return {each: float(each == task) for each in problem.tasks}


def labelled(texts: Sequence[str], labels: Sequence[int], groups: Sequence[str]) -> Labelled:
    return Labelled(tuple(texts), tuple(labels), tuple(groups), ("a", "b"))


def test_groups_are_in_one_split_and_splits_are_full() -> None:
    texts = [f"text number {number}" for number in range(30)]
    splits = divide(labelled(texts, [0, 1] * 15, [str(n // 3) for n in range(30)]), SIZES, [0])
    homes = {split: {texts.index(text) // 3 for text in found.texts} for split, found in splits.items()}
    assert not homes["test"] & homes["training"]
    assert not homes["test"] & homes["validation"]
    assert [len(splits[split].texts) for split in ("test", "validation")] == [6, 4]
    assert all(
        label == texts.index(text) % 2
        for found in splits.values()
        for text, label in zip(found.texts, found.labels, strict=True)
    )


def test_repetitions_are_there_once_and_contradictions_not_at_all() -> None:
    found = labelled(["Same text.", "same  TEXT", "both", "Both!", "alone"], [0, 0, 0, 1, 1], list("abcde"))
    splits = divide(found, {"training": 10}, [0])
    assert sorted(key_of(text) for text in splits["training"].texts) == ["alone", "same text"]


def test_seeds_divide_differently() -> None:
    found = labelled([f"t{n}" for n in range(40)], [0] * 40, [str(n) for n in range(40)])
    assert divide(found, SIZES, [0]) == divide(found, SIZES, [0])
    assert divide(found, SIZES, [0])["test"] != divide(found, SIZES, [1])["test"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=16,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


SIZES_OF_HEADS = {"two": 2, "three": 3}


@pytest.fixture(scope="module")
def heads(bert: Path) -> Problem:
    generator = torch.Generator().manual_seed(0)
    batches = {}
    for number, (task, columns) in enumerate(columns_of(SIZES_OF_HEADS).items()):
        tokens = torch.randint(1, 30, (6, 4 + 2 * number), generator=generator)
        inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), CLASSES: columns.expand(6, -1)}
        batches[task] = [(inputs, torch.arange(6) % SIZES_OF_HEADS[task])]
    torch.manual_seed(0)
    return Problem(tuple(SIZES_OF_HEADS), lambda: Heads(bert, 5).eval(), lambda task, split: batches[task])


def test_columns_of_tasks_follow_each_other() -> None:
    assert {task: found.tolist() for task, found in columns_of(SIZES_OF_HEADS).items()} == {
        "two": [1, 2],
        "three": [3, 4, 5],
    }


def test_a_batch_of_one_task_has_its_own_rows_of_the_wide_layer(heads: Problem) -> None:
    module = heads.build()
    for task, rows in (("two", [0, 1]), ("three", [2, 3, 4])):
        inputs = heads.batches(task, "test")[0][0]
        expected = module.head(module.features(inputs["input_ids"], inputs["attention_mask"]))[:, rows]
        torch.testing.assert_close(module(**inputs), expected, rtol=1e-5, atol=1e-6)


def test_a_joint_batch_gives_every_task_its_own_loss(heads: Problem) -> None:
    module = heads.build()
    pairs = [heads.batches(task, "training")[0] for task in heads.tasks]
    alone = [torch.nn.functional.cross_entropy(module(**x), y, reduction="none") for x, y in pairs]
    joint = take_inputs(join_inputs([x for x, _ in pairs]), torch.arange(12).flip(0))
    together = module(**joint).flip(0)
    found = torch.nn.functional.cross_entropy(together, torch.cat([y for _, y in pairs]), reduction="none")
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-5, atol=1e-5)
    assert float(together[:6].softmax(-1)[:, 2].detach().max()) == 0


def test_other_tasks_heads_have_no_curvature_and_do_not_move(heads: Problem) -> None:
    base = {name: tensor.clone() for name, tensor in heads.build().state_dict().items()}
    recipe = TrainingRecipe(3, examples_per_task=4, learning_rate=1e-2)
    tuned = {task: finetune(heads, base, alone(heads, task), recipe).params for task in heads.tasks}
    assert torch.equal(tuned["two"]["head.weight"][2:], base["head.weight"][2:])
    assert not torch.equal(tuned["two"]["head.weight"][:2], base["head.weight"][:2])
    fitted = fit_curvatures(heads, base, tuned, FitDiagonal(examples=6))
    precision = fitted.bare["two"].precision["head.weight"]  # type: ignore[union-attr]
    assert float(precision[2:].abs().max()) == 0
    assert float(precision[:2].abs().max()) > 0
    merged = fit_curvatures(heads, base, tuned, FitSubspace(examples=6, validated=False))
    assert all(np.isfinite(loss.examples) for loss in merged.losses.values())


class Letters:
    """A tokenizer of one token per letter."""

    eos_token_id = 1

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        assert not add_special_tokens
        return {"input_ids": [2 + ord(letter) % 20 for letter in text]}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=22, hidden_size=8, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=True, initializer_range=0.3, max_position_embeddings=64,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


ANSWERS = {
    "short": {split: [Answer("ab", "cd"), Answer("a", "e")] for split in ("training", "validation", "test")},
    "long": {split: [Answer("abcdefgh", "x", ends=False)] * 2 for split in ("training", "validation", "test")},
}


@pytest.fixture(scope="module")
def language(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    kept = tmp_path_factory.mktemp("kept") / "states.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.AutoTokenizer.from_pretrained", lambda folder: Letters())
        # In float32, so that results can be compared closely.
        patch.setattr(small_language_model.torch, "autocast", lambda *args, **options: torch.no_grad())
        problem, base = small_language_model.language_problem(llama, ANSWERS, kept, layers=2)
    return SimpleNamespace(problem=problem, base=base, kept=kept)


def test_a_text_is_scored_as_by_the_whole_model(llama: Path, language: SimpleNamespace) -> None:
    whole = LlamaForCausalLM.from_pretrained(llama, attn_implementation="eager").eval()
    module = language.problem.build().eval()
    for task, answers in ANSWERS.items():
        for inputs, targets in language.problem.batches(task, "training"):
            found = module(**inputs).log_softmax(-1)
            for row, answer in enumerate(answers["training"]):
                text = small_language_model.encode(Letters(), answer, 64)
                logits = whole(input_ids=torch.tensor([text.tokens])).logits[0].log_softmax(-1)
                for place in range(text.labelled):
                    token = len(text.tokens) - text.labelled + place
                    assert int(targets[row, place]) == text.tokens[token]
                    torch.testing.assert_close(found[row, place], logits[token - 1], rtol=1e-4, atol=1e-4)
                assert (targets[row, text.labelled :] == -100).all()


def test_only_what_adapters_change_is_a_parameter(language: SimpleNamespace) -> None:
    ends = {name.rsplit(".", 2)[1] for name in language.base}
    assert ends == set(small_language_model.ADAPTED)
    assert len(language.base) == 2 * 4
    names = dict(language.problem.build().named_parameters())
    assert set(names) == set(language.base)


def test_modules_share_what_is_frozen_but_not_their_parameters(language: SimpleNamespace) -> None:
    one, other = language.problem.build(), language.problem.build()
    assert isinstance(one, LastLayers)
    assert one.states.data_ptr() == other.states.data_ptr()
    name = next(iter(language.base))
    assert one.state_dict()[name].data_ptr() != other.state_dict()[name].data_ptr()


def test_states_are_read_back(llama: Path, language: SimpleNamespace) -> None:
    again = read_parts(llama, 2, [[3, 4]], language.kept)
    assert torch.equal(again.states, language.problem.build().states)
    assert not again.states[0].any()


def test_adapters_train_jointly_and_their_curvature_can_be_measured(language: SimpleNamespace) -> None:
    problem, base = language.problem, language.base
    lora = LoraSettings(2, 4.0, target_modules=small_language_model.ADAPTED, modules_to_save=())
    recipe = TrainingRecipe(4, examples_per_task=2, learning_rate=1e-2, lora=lora)
    tuned = {task: finetune(problem, base, alone(problem, task), recipe).params for task in problem.tasks}
    joint = finetune(problem, base, {"short": 0.5, "long": 0.5}, recipe).params
    assert set(joint) == set(base)
    assert all(not torch.equal(joint[name], base[name]) for name in base)
    for name in base:
        moved = torch.linalg.matrix_rank((tuned["short"][name] - base[name]).double(), rtol=1e-4)
        assert int(moved) <= 2, name
    fitted = fit_curvatures(problem, base, tuned, FitSubspace(examples=2, validated=False))
    assert all(float(each.curvature.precision.diagonal().max()) > 0 for each in fitted.losses.values())  # type: ignore[union-attr]


@needs_assets
def test_the_fourth_domain_leaves_the_other_three_as_they_are() -> None:
    _, sdist = fetch(Path(ASSETS))
    three, four = load_texts(sdist), load_texts(sdist, fourth=True)
    assert [*four] == [*three, "newspaper"]
    for task, splits in three.items():
        assert all(splits[split].texts == four[task][split].texts for split in splits)
    sizes = {split: len(found.texts) for split, found in four["newspaper"].items()}
    assert (sizes["test"], sizes["validation"]) == (650, 300)
    assert sizes["training"] > 1500
    everything = [
        " ".join(t.lower().split()) for splits in four.values() for found in splits.values() for t in found.texts
    ]
    assert len(everything) == len(set(everything))


@needs_assets
def test_unlike_tasks_share_no_text_among_their_splits_and_every_class_is_trained() -> None:
    classes, texts = heterogeneous.load_tasks(Path(ASSETS), 100)
    assert tuple(classes.values()) == (2, 8, 2, 2, 20)
    for task, splits in texts.items():
        keys = [{key_of(text) for text in found.texts} for found in splits.values()]
        assert len(set.union(*keys)) == sum(map(len, keys)), task
        assert set(splits["training"].labels) == set(range(classes[task])), task
        assert len(splits["test"].texts) == 200


@needs_assets
def test_phrases_are_in_one_split_of_both_languages_and_answers_balanced() -> None:
    answers = language_model.load_answers(Path(ASSETS), 100)
    prompts = {
        split: {each.prompt for each in answers["german"][split]} for split in ("training", "validation", "test")
    }
    assert all(prompts[split] == {each.prompt for each in answers["french"][split]} for split in prompts)
    assert not prompts["training"] & (prompts["test"] | prompts["validation"])
    for found in answers["questions"].values():
        assert abs(sum(each.response == "Yes" for each in found) / len(found) - 0.5) < 0.01
    asked = [each.prompt for found in answers["questions"].values() for each in found]
    assert len(asked) == len(set(asked))


@needs_assets
@pytest.mark.slow
@pytest.mark.parametrize("settings", [sentiment_four, heterogeneous, language_model], ids=lambda each: each.__name__)
def test_a_smoke_version_trains_at_a_corner_and_inside(settings: object, tmp_path: Path) -> None:
    setting = settings.build(tmp_path, Path(ASSETS), 100, smoke=True)  # type: ignore[attr-defined]
    np.testing.assert_allclose(settings.build(tmp_path, Path(ASSETS), 100).weights.sum(1), 1)  # type: ignore[attr-defined]
    for row in (np.eye(len(setting.tasks))[0], setting.weights[0]):
        tuned = setting.train(row)
        assert set(tuned) == set(setting.base)
        assert any(not torch.equal(tuned[name], setting.base[name]) for name in tuned)
