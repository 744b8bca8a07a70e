from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from paretomerge.errors import EvaluationError
from paretomerge.evaluation.harness.scores import scores_of
from paretomerge.evaluation.harness.tasks import Measure
from paretomerge.types import Objective

MEASURE = Measure("m", "m", "none", Objective("m[a]"))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _samples(values: list[Any], metric: str = "m", filter_: str = "none") -> list[dict[str, Any]]:
    return [{"doc_id": number, "filter": filter_, metric: value} for number, value in enumerate(values)]


def _scores(samples: list[dict[str, Any]], total: float, aggregate: Any = _mean) -> dict[str, Any]:
    return scores_of(samples, [MEASURE], {"m"}, {"m,none": total}, {"m": aggregate}, "task")


def test_values_whose_mean_is_the_number_are_scores_in_the_order_of_the_examples() -> None:
    samples = _samples([1, 0.0, True, np.float64(1)])[::-1]
    np.testing.assert_array_equal(_scores(samples, 0.75)["m"], [1, 0, 1, 1])


def test_only_the_wanted_filter_counts() -> None:
    samples = _samples([1, 0]) + _samples([0, 0], filter_="strict")
    np.testing.assert_array_equal(_scores(samples, 0.5)["m"], [1, 0])


def test_the_error_of_what_is_no_mean_is_that_of_the_delta_method() -> None:
    rng = np.random.default_rng(0)
    losses = rng.gamma(2.0, size=600)

    def perplexity(values: list[float]) -> float:
        return math.exp(_mean(values))

    found = _scores(_samples(losses.tolist()), perplexity(losses.tolist()), perplexity)
    assert found["m"] == perplexity(losses.tolist())
    # Of 100 groups: a relative error of about 1 / √200.
    assert found["m_stderr"] == pytest.approx(found["m"] * losses.std(ddof=1) / math.sqrt(600), rel=0.25)


def test_the_jackknife_of_a_mean_with_one_example_per_group_is_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(size=40)
    found = _scores(_samples([(value, 1) for value in values]), 0.0, lambda pairs: _mean([one for one, _ in pairs]))
    assert found["m_stderr"] == pytest.approx(values.std(ddof=1) / math.sqrt(40), rel=1e-12)


def test_one_example_has_no_error() -> None:
    assert _scores(_samples([(1, 2)]), 3.0) == {"m": 3.0, "m_stderr": 0.0}


def test_a_wanted_metric_that_was_not_computed_is_named_with_those_that_were() -> None:
    with pytest.raises(EvaluationError, match=r"task 'task' computed no 'm' after the filter 'none' \(it computed n,"):
        scores_of(_samples([1], "n"), [MEASURE], {"m"}, {"n,none": 1.0, "n_stderr,none": 0.1}, {}, "task")
    assert scores_of(_samples([1], "n"), [MEASURE], set(), {"n,none": 1.0}, {}, "task") == {}
