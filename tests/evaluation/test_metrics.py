from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from paretomerge.errors import DataError
from paretomerge.evaluation import METRICS, metrics_of, problem_objectives, require_metrics
from paretomerge.types import Problem


def _problem(likelihood: Any = "categorical", **changes: Any) -> Problem:
    return Problem(("a", "b"), lambda: nn.Linear(2, 2), lambda task, split: [], likelihood, **changes)


@pytest.mark.parametrize(
    ("likelihood", "known"),
    [
        ("categorical", ("loss", "accuracy", "f1")),
        ("gaussian", ("loss",)),
        ("tokens", ("loss", "accuracy", "perplexity")),
        ("causal", ("loss", "accuracy", "perplexity", "exact_match", "choice_accuracy", "choice_accuracy_norm")),
    ],
)
def test_every_likelihood_has_its_metrics(likelihood: Any, known: tuple[str, ...]) -> None:
    assert metrics_of(_problem(likelihood)) == known
    assert require_metrics(_problem(likelihood), None) == known[:2][: 1 if likelihood == "gaussian" else 2]


def test_a_loss_of_the_problems_own_is_its_only_metric() -> None:
    problem = _problem(loss_fn=lambda module, batch: batch[1])
    assert metrics_of(problem) == ("loss",)
    with pytest.raises(DataError, match="a problem with a loss of its own has no 'accuracy': it has loss"):
        require_metrics(problem, ["accuracy"])


def test_objectives_come_metric_by_metric_in_the_order_asked_for() -> None:
    objectives = problem_objectives(_problem(), ["f1", "loss"])
    assert [objective.name for objective in objectives] == ["f1[a]", "f1[b]", "loss[a]", "loss[b]"]
    assert [(objective.task, objective.metric) for objective in objectives[1:3]] == [("b", "f1"), ("a", "loss")]
    assert [objective.direction for objective in objectives] == ["maximise"] * 2 + ["minimise"] * 2


def test_perplexity_is_at_least_one_and_losses_of_tokens_are_per_token() -> None:
    perplexity, _, loss, _ = problem_objectives(_problem("causal"), ["perplexity", "loss"])
    assert (perplexity.direction, perplexity.bounds, perplexity.unit) == ("minimise", (1.0, None), "")
    assert (loss.bounds, loss.unit) == ((0.0, None), "nats per token")


def test_shares_are_between_zero_and_one() -> None:
    for name in ("accuracy", "f1", "exact_match", "choice_accuracy", "choice_accuracy_norm"):
        assert (METRICS[name].direction, METRICS[name].bounds) == ("maximise", (0.0, 1.0))


def test_metrics_that_a_problem_does_not_have_are_named_with_those_it_has() -> None:
    with pytest.raises(DataError, match=r"likelihood 'categorical' has no 'perplexity': it has loss, accuracy, f1$"):
        require_metrics(_problem(), ["loss", "perplexity"])
    with pytest.raises(DataError, match=r"has no 'acuracy' \(did you mean 'accuracy'\?\)"):
        require_metrics(_problem(), ["acuracy"])
    with pytest.raises(DataError, match=r"name each once.*got loss, loss"):
        require_metrics(_problem(), ["loss", "loss"])
    with pytest.raises(DataError, match="at least one of loss, accuracy, f1"):
        require_metrics(_problem(), [])


def test_one_metric_may_be_given_as_a_word() -> None:
    assert require_metrics(_problem(), "f1") == ("f1",)
