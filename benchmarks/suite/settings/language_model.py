"""SmolLM2-135M with low-rank adapters on German, on French, and on questions: small enough for a processor.

Finetunes enter as the weights that the adapters made, `W + s·B·A`, of the layers that have adapters: sums of such
weights are what merging means whatever the adapters' own coordinates are, and what has no adapter is no parameter.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.assets.texts import phrases, smollm2, yes_no_questions
from benchmarks.suite.setting import Definition, Setting
from benchmarks.suite.settings.small_language_model import ADAPTED, Answer, language_problem
from benchmarks.suite.settings.text_splits import key_of
from paretomerge import LoraSettings, TrainingRecipe

LANGUAGES = {"german": "de", "french": "fr"}
PHRASES = {"test": 110, "validation": 40, "training": 350}
QUESTIONS = {"test": 160, "validation": 60, "training": 500}
SMOKE = {"test": 6, "validation": 6, "training": 10}
LAYERS = 8
MAX_LENGTH = 72
PASSAGE = 22
"""Words of a passage: what a question is about stands at its beginning."""
ASKED = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
"""As the model was taught to be asked; without, it gives the end of an answer a loss of twenty nats."""
RECIPE = TrainingRecipe(
    120, examples_per_task=4, learning_rate=1e-3, warmup=0.06, mix="proportional", precision="bfloat16"
)
TWENTY_FOURTHS = ((8, 8, 8), (14, 5, 5), (5, 14, 5), (5, 5, 14))


def build(folder: Path, assets: Path, seed: int, smoke: bool = False) -> Setting:
    """Two languages that the prompt does not tell apart, and questions; two seeds of the joint grid."""
    answers = load_answers(assets, seed, smoke)
    layers, adapted = (1, ADAPTED[:2]) if smoke else (LAYERS, ADAPTED)
    states = folder / "states.safetensors"
    problem, base = language_problem(smollm2(assets), answers, states, layers, MAX_LENGTH, adapted)
    recipe = replace(RECIPE, lora=LoraSettings(8, 16.0, target_modules=adapted, modules_to_save=()))
    weights = np.array(TWENTY_FOURTHS) / 24
    sizes = {task: {split: len(found) for split, found in splits.items()} for task, splits in answers.items()}
    return Setting(
        "language-model",
        seed,
        folder,
        problem,
        base,
        replace(recipe, steps=2, examples_per_task=1) if smoke else recipe,
        weights[:2] if smoke else weights,
        repeated=1 if smoke else len(weights),
        examples=4 if smoke else 20,
        bfloat16=True,
        first_seed=10 * seed,
        facts={
            "small": f"adapters in the last {layers} of 30 layers, examples of at most {MAX_LENGTH} tokens",
            "parameters": sum(tensor.numel() for tensor in base.values()),
            "state_megabytes": sum(tensor.nbytes for tensor in base.values()) / 1e6,
            "tasks": sizes,
        },
    )


def load_answers(assets: Path, seed: int, smoke: bool = False) -> dict[str, dict[str, Sequence[Answer]]]:
    """Task → split → examples; a phrase is in the same split of both languages."""
    rng = random.Random(20240 + seed)
    translated = {task: phrases(assets, locale) for task, locale in LANGUAGES.items()}
    unlike = {key_of(phrase): phrase for phrase in set.intersection(*(set(pairs) for pairs in translated.values()))}
    common = sorted(unlike.values())
    rng.shuffle(common)
    found: dict[str, dict[str, Sequence[Answer]]] = {}
    for task, pairs in translated.items():
        rows = [Answer(ASKED.format(f"Translate: {phrase}"), pairs[phrase]) for phrase in common]
        found[task] = cut(rows, SMOKE if smoke else PHRASES)
    found["questions"] = cut(asked(assets, rng), SMOKE if smoke else QUESTIONS)
    return found


def asked(assets: Path, rng: random.Random) -> list[Answer]:
    """One question of each passage, in a random order; as many are answered with yes as with no."""
    questions = yes_no_questions(assets)
    rng.shuffle(questions)
    unlike = list({key_of(each.passage): each for each in questions}.values())
    yes, no = ([each for each in unlike if each.answer is wanted] for wanted in (True, False))
    rows = []
    for pair in zip(yes, no, strict=False):
        for each in pair:
            passage = " ".join(each.passage.split()[:PASSAGE])
            prompt = ASKED.format(f"{passage}\nYes or no: {each.question}?")
            rows.append(Answer(prompt, "Yes" if each.answer else "No", ends=False))
    return rows


def cut(rows: Sequence[Answer], sizes: dict[str, int]) -> dict[str, Sequence[Answer]]:
    """Consecutive parts of these sizes."""
    ends = np.cumsum([0, *sizes.values()]).tolist()
    return {split: rows[start:end] for split, start, end in zip(sizes, ends, ends[1:], strict=False)}


DEFINITION = Definition(
    "language-model",
    build,
    (0, 1, 2),
    ("classic", "posteriors"),
    "SmolLM2-135M with low-rank adapters in its last eight layers: German, French, and yes-or-no questions",
)
