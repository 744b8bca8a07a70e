"""What the page chooses is what `paretomerge.choices` chooses: random fronts through both. Skipped without node."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import moocore
import numpy as np
import pytest

from paretomerge.choices import ByWeights, Knee, ReferencePoint, Thresholds
from paretomerge.errors import InfeasibleError
from paretomerge.reports.page import _template
from paretomerge.types import Front, Objective, to_minimised

NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")

RUN = """
const asked = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const rules = {
  knee: (front) => chooseKnee(front),
  thresholds: (front, limits, best) => chooseThresholds(front, limits, best),
  reference: (front, goals) => chooseReference(front, goals),
  weights: (front, weights) => chooseWeights(front, weights),
  general: (front, value, digits) => general(value, digits),
};
console.log(JSON.stringify(asked.map(({ rule, front, given }) => rules[rule](front, ...given))));
"""


def in_node(asked: list[dict[str, Any]]) -> list[Any]:
    script = _template("choices.js") + RUN
    done = subprocess.run([NODE, "-e", script], input=json.dumps(asked), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def random_front(generator: np.random.Generator) -> Front:
    """Mixed directions and units; sometimes convex, concave, flat, constant in an objective, or with equal points."""
    tasks, size = int(generator.integers(2, 5)), int(generator.integers(2, 5))
    count = int(generator.integers(1, 30))
    raw = generator.dirichlet(np.ones(size), count) ** generator.choice([0.5, 1.0, 2.0])
    if generator.random() < 0.2:
        raw[:, 0] = 0.25
    if generator.random() < 0.2:
        raw = np.concatenate([raw, raw[:1]])
    raw = raw[moocore.is_nondominated(raw, keep_weakly=True)]
    directions = generator.choice(["minimise", "maximise"], size)
    objectives = tuple(Objective(f"o{j} x", directions[j], task=f"t{j}") for j in range(size))
    units = 10.0 ** generator.integers(-3, 4, size)
    values = to_minimised(raw * units + generator.normal(size=size), objectives)
    weights = generator.dirichlet(np.ones(tasks), len(raw))
    names = tuple(f"t{t}" for t in range(tasks))
    return Front(names, weights, values, np.zeros_like(values), objectives, values[0], ("merged",) * len(raw))


def plain(front: Front) -> dict[str, Any]:
    return {
        "values": front.values.tolist(),
        "weights": front.weights.tolist(),
        "lower": [objective.direction == "minimise" for objective in front.objectives],
        "objectives": [objective.name for objective in front.objectives],
        "tasks": list(front.tasks),
    }


@pytest.fixture(scope="module")
def fronts() -> list[Front]:
    return [random_front(np.random.default_rng(seed)) for seed in range(150)]


def wishes_of(front: Front, generator: np.random.Generator, spread: float) -> list[float | None]:
    """A value around the front's range for some objectives, and exactly one of the front's for others."""
    low, high = front.values.min(axis=0), front.values.max(axis=0)
    wishes: list[float | None] = []
    for j in range(len(front.objectives)):
        around = low[j] + (high[j] - low[j]) * generator.uniform(-spread, 1 + spread)
        exact = front.values[generator.integers(len(front)), j]
        wishes.append([None, float(around), float(exact)][generator.integers(3)])
    if all(wish is None for wish in wishes):
        wishes[0] = float(low[0])
    return wishes


def named(front: Front, wishes: list[float | None]) -> dict[str, float]:
    pairs = zip(front.objectives, wishes, strict=True)
    return {objective.name: wish for objective, wish in pairs if wish is not None}


def test_the_knee(fronts: list[Front]) -> None:
    answers = in_node([{"rule": "knee", "front": plain(front), "given": []} for front in fronts])
    rules = set()
    for front, answer in zip(fronts, answers, strict=True):
        choice = Knee().choose(front)
        assert (answer["point"], answer["rule"]) == (choice.point.id, choice.rule)
        rules.add(choice.rule.split(" (")[0])
    assert len(rules) == 3  # a knee, none, and nothing to tell points apart


def test_thresholds_and_what_to_relax(fronts: list[Front]) -> None:
    generator = np.random.default_rng(1)
    wishes = [wishes_of(front, generator, 0.2) for front in fronts]
    best = [generator.choice([None, *range(len(front.objectives))]) for front in fronts]
    asked = [
        {"rule": "thresholds", "front": plain(front), "given": [wish, one]}
        for front, wish, one in zip(fronts, wishes, best, strict=True)
    ]
    refused = 0
    for front, wish, one, answer in zip(fronts, wishes, best, in_node(asked), strict=True):
        name = None if one is None else front.objectives[one].name
        rule, refusal = Thresholds(named(front, wish), name), None
        try:
            choice = rule.choose(front)
        except InfeasibleError as error:
            refusal = error
        if refusal is None:
            assert (answer["point"], answer["rule"]) == (choice.point.id, choice.rule)
            continue
        refused += 1
        assert refusal.closest is not None
        assert answer["infeasible"]["closest"] == refusal.closest.id
        for key, steps in (("relax", refusal.relax), ("alone", refusal.alone)):
            found = {
                front.objectives[step["objective"]].name: (step["wished"], step["reached"])
                for step in answer["infeasible"][key]
            }
            assert found == steps
    assert 20 < refused < 130


def test_aspirations(fronts: list[Front]) -> None:
    generator = np.random.default_rng(2)
    wishes = [wishes_of(front, generator, 0.5) for front in fronts]
    pairs = list(zip(fronts, wishes, strict=True))
    answers = in_node([{"rule": "reference", "front": plain(front), "given": [wish]} for front, wish in pairs])
    for (front, wish), answer in zip(pairs, answers, strict=True):
        choice = ReferencePoint(named(front, wish)).choose(front)
        assert (answer["point"], answer["rule"]) == (choice.point.id, choice.rule)


def test_task_weights(fronts: list[Front]) -> None:
    generator = np.random.default_rng(3)
    weights = [generator.dirichlet(np.ones(len(front.tasks))).tolist() for front in fronts]
    pairs = list(zip(fronts, weights, strict=True))
    answers = in_node([{"rule": "weights", "front": plain(front), "given": [wish]} for front, wish in pairs])
    for (front, wish), answer in zip(pairs, answers, strict=True):
        choice = ByWeights(dict(zip(front.tasks, wish, strict=True))).choose(front)
        assert (answer["point"], answer["rule"]) == (choice.point.id, choice.rule)


def test_numbers_in_words_are_written_alike() -> None:
    numbers = [0.0, 1.0, 0.1, 123456.7, 1234567.0, 1e-4, 1e-5, -0.000123456789, 1e300, 99999.96, 0.30000000000000004]
    asked = [
        {"rule": "general", "front": None, "given": [number, digits]} for number in numbers for digits in (3, 4, 6)
    ]
    assert in_node(asked) == [f"{number:.{digits}g}" for number in numbers for digits in (3, 4, 6)]
