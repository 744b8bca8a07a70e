"""Merges of centred fits are held against validation data: the first against the average, further ones against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from paretomerge.curvature import Curvatures, FitSubspace, Piece, fit_curvatures, subspaces
from paretomerge.errors import DataError
from paretomerge.merging import merge_coordinates
from paretomerge.testing import LinearRegressionTasks
from paretomerge.types import Batch

TASKS, PARAMETERS, EXAMPLES = 3, 20, 40
HELD_OUT = (25, 30, 35)
"""Validation examples of each task."""

PLAIN = FitSubspace("model", "centred", "none", 2, damping=0.3)
DEFAULT = FitSubspace("model", damping=0.3)
METHODS = pytest.mark.parametrize("method", [PLAIN, DEFAULT], ids=["plain", "enriched"])


@dataclass(frozen=True, eq=False)
class Setting:
    """Quadratic losses, and whatever validation data: each further merge with equal weights has less training loss."""

    regression: LinearRegressionTasks
    base: dict[str, Tensor]
    finetunes: dict[str, dict[str, Tensor]]
    validation: Callable[[int], list[Batch]]
    said: list[str] = field(default_factory=list)

    def fit(self, method: FitSubspace, store: Any = None, **changes: Any) -> Curvatures:
        """The fit; what it says is in `said`."""
        training = self.regression.problem(batch_size=7)

        def data(task: str, split: str) -> Any:
            assert split != "test"
            return training.data(task, "training") if split == "training" else self.validation(int(task[-1]))

        problem = replace(training, data=data)
        self.said.clear()
        return fit_curvatures(
            problem, self.base, self.finetunes, method, progress=self.said.append, store=store, **changes
        )


def quadratic(validation: Callable[[LinearRegressionTasks, int], list[Batch]]) -> Setting:
    regression = LinearRegressionTasks.random(TASKS, PARAMETERS, EXAMPLES, torch.Generator().manual_seed(5))
    base = torch.randn(PARAMETERS, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    tunes = {task: regression.as_params(regression.finetune(t)) for t, task in enumerate(regression.tasks)}
    return Setting(regression, regression.as_params(base), tunes, lambda task: validation(regression, task))


def same_data() -> Setting:
    """Validation data that agree with training data: the second merge is better."""
    return quadratic(lambda regression, t: [(regression.inputs[t], regression.targets[t][:, None])])


def contradicting(method: FitSubspace) -> tuple[Setting, list[float]]:
    """Validation data which the merge of the first centre minimises, and its loss on those of each task."""
    first = same_data().fit(replace(method, centres=1))
    best = at_equal_weights(first, method)
    noise = [residuals(task) for task in range(TASKS)]

    def validation(regression: LinearRegressionTasks, t: int) -> list[Batch]:
        inputs = regression.inputs[t][: HELD_OUT[t]]
        targets = (inputs @ best + noise[t])[:, None]
        return list(zip(inputs.split(8), targets.split(8), strict=True))

    return quadratic(validation), [float(0.5 * each.square().mean()) for each in noise]


def residuals(task: int) -> Tensor:
    """Noise in the targets that no parameters explain, larger for later tasks."""
    inputs = quadratic(lambda *_: []).regression.inputs[task][: HELD_OUT[task]]
    noise = torch.randn(len(inputs), generator=torch.Generator().manual_seed(task), dtype=torch.float64)
    return (1 + task) * (noise - inputs @ torch.linalg.lstsq(inputs, noise[:, None]).solution[:, 0])


def at_equal_weights(curvatures: Curvatures, method: FitSubspace) -> Tensor:
    posteriors: Any = curvatures.posteriors(method.damping)
    landed = merge_coordinates(posteriors, [1 / TASKS] * TASKS)[0]
    return next(iter(posteriors.values())).at(landed)["linear.weight"][0]


def assert_equal_fits(found: Curvatures, expected: Curvatures) -> None:
    """To the last bit: directions, anchors, curvature, and the constant of the predicted losses."""
    assert list(found.bare) == list(expected.bare)
    for task, one in found.bare.items():
        other: Any = expected.bare[task]
        assert one.digest == other.digest
        assert one.basis.labels == other.basis.labels  # type: ignore[union-attr]
        assert torch.equal(one.precision, other.precision)  # type: ignore[union-attr]
        assert torch.equal(one.precision_mean, other.precision_mean)  # type: ignore[union-attr]
        assert torch.equal(one.basis.anchor(task), other.basis.anchor(task))  # type: ignore[union-attr]
        assert found.losses[task].offset == expected.losses[task].offset


def passes(curvatures: Curvatures) -> int:
    return curvatures.ledger.gradient_passes


@METHODS
def test_a_centre_that_helps_is_kept(method: FitSubspace) -> None:
    setting = same_data()
    found = setting.fit(method)
    assert not any("left out" in message for message in setting.said)
    assert found.ledger.evaluations == 3  # the average, and two merges
    always = setting.fit(replace(method, validated=False))
    assert_equal_fits(found, always)
    assert passes(found) == passes(always)
    once = setting.fit(replace(method, centres=1))
    before, after = (
        sum(float(setting.regression.loss(t, at_equal_weights(fit, method))) for t in range(TASKS))
        for fit in (once, found)
    )
    assert after < before


@METHODS
def test_a_centre_that_validation_data_contradict_is_left_out(method: FitSubspace) -> None:
    setting, noise = contradicting(method)
    found = setting.fit(method)
    message = setting.said[-1]
    once, twice = setting.fit(replace(method, centres=1)), setting.fit(replace(method, validated=False))
    assert_equal_fits(found, once)
    assert found.bare["task0"].digest != twice.bare["task0"].digest
    # Both centres were paid for, an evaluation each, and one of the average.
    assert passes(found) == passes(twice) > passes(once)
    assert (found.ledger.evaluations, twice.ledger.evaluations, once.ledger.evaluations) == (3, 0, 2)
    # The mean over tasks of the mean over examples, before and after.
    step = at_equal_weights(twice, method) - at_equal_weights(once, method)
    moved = [setting.regression.inputs[t][: HELD_OUT[t]] @ step for t in range(TASKS)]
    before = sum(noise) / TASKS
    after = before + sum(float(0.5 * each.square().mean()) for each in moved) / TASKS
    assert message == f"centre 2 is left out: validation loss {after:.4g}, {before:.4g} before"


def test_after_a_centre_that_is_left_out_there_is_no_other() -> None:
    setting, _ = contradicting(PLAIN)
    found = setting.fit(replace(PLAIN, centres=4))
    twice = setting.fit(PLAIN)
    assert_equal_fits(found, twice)
    assert (passes(found), found.ledger.evaluations) == (passes(twice), 3)


def test_a_third_centre_is_compared_with_the_second() -> None:
    setting = same_data()
    three, two = (setting.fit(replace(PLAIN, centres=centres)) for centres in (3, 2))
    assert three.ledger.evaluations == 4
    assert_equal_fits(three, setting.fit(replace(PLAIN, centres=3, validated=False)))
    assert passes(three) * 2 == passes(two) * 3
    # Validation data that the second merge minimises leave out the third, though it is better than the first.
    best = at_equal_weights(two, PLAIN)
    setting = quadratic(lambda regression, t: [(regression.inputs[t], (regression.inputs[t] @ best)[:, None])])
    assert_equal_fits(setting.fit(replace(PLAIN, centres=3)), two)
    assert setting.fit(replace(PLAIN, centres=5)).ledger.evaluations == 4


def test_equal_validation_losses_leave_a_centre_out() -> None:
    """Inputs that are zero: the loss is the same whatever the parameters."""
    nothing = [(torch.zeros(2, PARAMETERS, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64))]
    setting = quadratic(lambda regression, t: nothing)
    assert_equal_fits(setting.fit(PLAIN), setting.fit(replace(PLAIN, centres=1)))


def test_a_first_centre_stays_whatever_its_validation_loss() -> None:
    broken = [(torch.full((2, PARAMETERS), torch.nan, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64))]
    setting = quadratic(lambda regression, t: broken)
    assert_equal_fits(setting.fit(PLAIN), setting.fit(replace(PLAIN, centres=1)))


def test_a_centre_without_a_merge_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no direction has any curvature (the first merge ran away), there is nothing to evaluate."""
    setting = same_data()
    once = setting.fit(replace(PLAIN, centres=1))
    real, seen = subspaces.expand_in_subspace, []

    def flat_at_second(*what: Any) -> Any:
        seen.append(real(*what))
        return seen[-1] if len(seen) <= TASKS else replace(seen[-1], curvature=0 * seen[-1].curvature)

    monkeypatch.setattr(subspaces, "expand_in_subspace", flat_at_second)
    found = setting.fit(PLAIN)
    assert_equal_fits(found, once)
    assert found.ledger.evaluations == 2
    assert "centre 2 is left out: validation loss inf" in setting.said[-1]


def average(setting: Setting) -> Tensor:
    return torch.stack([setting.regression.finetune(t) for t in range(TASKS)]).mean(0)


def with_minimum(best: Tensor) -> Setting:
    """Validation data that `best` fits without error."""
    return quadratic(lambda regression, t: [(regression.inputs[t], (regression.inputs[t] @ best)[:, None])])


def validation_loss(setting: Setting, at: Tensor) -> float:
    losses = [
        sum(float((inputs @ at - targets[:, 0]).square().sum()) for inputs, targets in setting.validation(t))
        / sum(2 * len(inputs) for inputs, _ in setting.validation(t))
        for t in range(TASKS)
    ]
    return sum(losses) / TASKS


@pytest.mark.parametrize("share", [0.0, 0.04, 0.3])
@METHODS
def test_a_first_merge_that_leads_astray_is_damped_as_far_as_it_helps(method: FitSubspace, share: float) -> None:
    """Validation data are best at a part of the step: at the average, near it, or nearer to it than to the merge."""
    method = replace(method, centres=1)
    plain = same_data().fit(replace(method, validated=False))
    start = average(same_data())
    setting = with_minimum(start + share * (at_equal_weights(plain, method) - start))
    found = setting.fit(method)

    dampings = [0.3 * 10.0**power for power in range(5)]
    losses = [validation_loss(setting, at_equal_weights(plain, replace(method, damping=each))) for each in dampings]
    before = validation_loss(setting, start)
    expected = 0
    while expected < 4 and not (losses[expected] <= before and losses[expected + 1] >= losses[expected]):
        expected += 1
    assert losses[0] > before
    assert expected > 0
    assert found.method.damping == pytest.approx(dampings[expected], rel=1e-12)
    assert_equal_fits(found, plain)
    assert found.ledger.evaluations == 2 + min(expected + 1, 4)
    assert setting.said[-1] == f"damping {dampings[expected]:g}: validation loss {losses[expected]:.4g}"
    assert not [said for said in same_data().said if "more damping" in said]


def test_the_second_centre_lies_where_the_damped_merge_lands() -> None:
    plain = same_data().fit(replace(PLAIN, centres=1, validated=False))
    start = average(same_data())
    setting = with_minimum(start + 0.04 * (at_equal_weights(plain, PLAIN) - start))
    found = setting.fit(PLAIN)
    raised = found.method.damping
    assert raised > PLAIN.damping
    alone = with_minimum(start).fit(replace(PLAIN, damping=raised, validated=False))
    once = with_minimum(start).fit(replace(PLAIN, damping=raised, validated=False, centres=1))
    assert_equal_fits(found, once if "left out" in setting.said[-1] else alone)


def test_merges_use_the_damping_that_the_fit_has_raised() -> None:
    start = average(same_data())
    setting = with_minimum(start)
    found = setting.fit(replace(PLAIN, centres=1))
    landed = merge_coordinates(found.posteriors(), [1 / TASKS] * TASKS)[0]  # type: ignore[arg-type]
    merged = next(iter(found.posteriors().values())).at(landed)["linear.weight"][0]  # type: ignore[attr-defined]
    assert found.method.damping == pytest.approx(0.3e4)
    assert float((merged - start).norm()) < 1e-3 * float(start.norm())


@pytest.mark.parametrize("method", [PLAIN, FitSubspace(), replace(PLAIN, centres=1)])
def test_without_validation_data_nothing_is_begun(method: FitSubspace) -> None:
    setting = quadratic(lambda regression, t: [] if t else [(regression.inputs[0], regression.targets[0][:, None])])
    message = (
        "the validation split of task 'task1' has no examples: .*It is needed to see that merges are better than "
        "the average; with validated=False it is not"
    )
    with pytest.raises(DataError, match=message):
        setting.fit(method)
    assert not setting.said


@pytest.mark.parametrize(
    "method",
    [
        replace(PLAIN, validated=False),
        replace(DEFAULT, validated=False),
        replace(PLAIN, centres=1, validated=False),
        FitSubspace("model", "finetune"),
    ],
    ids=["two plain", "two enriched", "one plain", "finetune"],
)
def test_where_nothing_is_chosen_validation_data_are_never_read(method: FitSubspace) -> None:
    def forbidden(*_: Any) -> list[Batch]:
        raise AssertionError("validation data were read")

    found = quadratic(forbidden).fit(method)
    assert found.ledger.evaluations == 0
    contradicted = contradicting(PLAIN)[0].fit(method)
    assert_equal_fits(contradicted, found)
    assert_equal_fits(found, same_data().fit(method))


def test_gradients_take_the_first_examples_that_they_are_given() -> None:
    setting = same_data()
    method = FitSubspace("model", "centred", "none", 1, examples=11)
    whole, few = setting.fit(method), setting.fit(replace(method, gradient_examples=9))
    # One output: a backward pass per example for the curvature, and one for the gradient.
    assert (passes(whole), passes(few)) == (TASKS * (11 + EXAMPLES), TASKS * (11 + 9))
    regression = setting.regression
    centre = torch.stack([regression.finetune(t) for t in range(TASKS)]).mean(0)
    for t, task in enumerate(regression.tasks):
        posterior: Any = few.bare[task]
        V = torch.stack([direction["linear.weight"][0] for direction in posterior.basis.directions], 1)
        inputs, targets = regression.inputs[t][:9], regression.targets[t][:9]
        slope = V.T @ (inputs.T @ (inputs @ centre - targets)) / 9
        place = torch.full((TASKS,), 1 / TASKS, dtype=torch.float64)
        torch.testing.assert_close(posterior.precision @ place - posterior.precision_mean, slope, rtol=1e-9, atol=1e-12)
        assert torch.equal(posterior.precision, whole.bare[task].precision)  # type: ignore[union-attr]


def test_gradients_of_all_centres_are_limited_and_more_than_there_are_is_all() -> None:
    setting = same_data()
    method = replace(DEFAULT, examples=11, validated=False)
    curved = passes(setting.fit(replace(method, gradient_examples=1))) - 2 * TASKS
    assert passes(setting.fit(replace(method, gradient_examples=9))) - curved == 2 * TASKS * 9
    assert passes(setting.fit(replace(method, gradient_examples=1000))) - curved == 2 * TASKS * EXAMPLES
    assert_equal_fits(setting.fit(replace(method, gradient_examples=EXAMPLES)), setting.fit(method))


class StoppedError(Exception):
    """The process ended here."""


class Memory:
    """A store that keeps everything, and ends the process when it is full."""

    def __init__(self) -> None:
        self.held: dict[str, Piece] = {}
        self.room = 0

    def get(self, key: str) -> Piece | None:
        return self.held.get(key)

    def put(self, key: str, piece: Piece) -> None:
        if self.room == 0:
            raise StoppedError
        self.room -= 1
        self.held[key] = piece


@METHODS
@pytest.mark.parametrize("rejects", [True, False], ids=["left out", "kept"])
def test_an_interrupted_fit_with_a_further_centre_goes_on_where_it_stopped(method: FitSubspace, rejects: bool) -> None:
    setting = contradicting(method)[0] if rejects else same_data()
    whole = setting.fit(method)
    assert any("left out" in message for message in setting.said) == rejects
    store, pieces = Memory(), 2 * 2 * TASKS  # a gradient and an expansion of each task at each centre
    for _ in range(pieces - 1):
        store.room = 1
        with pytest.raises(StoppedError):
            setting.fit(method, store)
    store.room = 1
    assert_equal_fits(setting.fit(method, store), whole)
    assert len(store.held) == pieces
    resumed = setting.fit(method, store)  # nothing is left to measure: there is no room for it
    assert_equal_fits(resumed, whole)
    # What earlier sittings measured is on the bill; the choice is made again.
    assert replace(resumed.ledger, seconds=0.0) == replace(whole.ledger, seconds=0.0)
    assert any("left out" in message for message in setting.said) == rejects
