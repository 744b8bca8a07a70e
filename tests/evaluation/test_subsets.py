from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.errors import DataError, EvaluationError
from paretomerge.evaluation import Part, count_examples, in_own_order, join_parts, require_means, takes_examples


def _scored(part: Part, scores: np.ndarray) -> tuple[Part, dict[str, np.ndarray]]:
    return part, {"loss": scores[part.examples], "accuracy": -scores[part.examples]}


@given(count=st.integers(1, 40), cuts=st.lists(st.integers(1, 39), max_size=5), seed=st.integers(0, 5))
def test_parts_in_any_order_join_to_the_whole_in_its_own_order(count: int, cuts: list[int], seed: int) -> None:
    edges = sorted({0, count, *(cut for cut in cuts if cut < count)})
    scores = np.arange(count) + 0.5
    parts = [_scored(Part(low, high, count, seed), scores) for low, high in pairwise(edges)]
    for order in (parts, parts[::-1]):
        joined = join_parts(order)
        assert joined is not None
        assert joined[0] == Part(0, count, count, seed)
        whole = in_own_order(*joined)
        assert whole["loss"].tolist() == scores.tolist()
        assert whole["accuracy"].tolist() == (-scores).tolist()


@given(count=st.integers(2, 50), seed=st.integers(0, 5), data=st.data())
def test_longer_prefixes_of_an_order_contain_the_shorter_ones(count: int, seed: int, data: Any) -> None:
    stop = data.draw(st.integers(1, count))
    whole = Part(0, count, count, seed).examples
    assert sorted(whole.tolist()) == list(range(count))
    assert Part(0, stop, count, seed).examples.tolist() == whole[:stop].tolist()


def test_the_order_depends_on_the_seed_and_looks_random() -> None:
    orders = [Part(0, 1000, 1000, seed).examples for seed in range(2)]
    assert (orders[0] != orders[1]).any()
    for order in orders:
        assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.15


def test_overlapping_parts_count_once_and_a_gap_ends_the_prefix() -> None:
    scores = np.arange(10) * 1.0
    parts = [_scored(Part(start, stop, 10), scores) for start, stop in ((0, 4), (2, 6), (1, 3), (8, 10))]
    joined = join_parts(parts)
    assert joined is not None
    assert joined[0] == Part(0, 6, 10)
    assert joined[1]["loss"].tolist() == scores[Part(0, 6, 10).examples].tolist()
    assert join_parts(parts[1:]) is None
    assert join_parts([]) is None


def test_parts_survive_being_written() -> None:
    part = Part(3, 8, 20, 7)
    assert Part.parse(str(part)) == part
    assert str(part) != str(Part(3, 8, 20, 6))


def test_parts_that_are_none_are_refused() -> None:
    for start, stop, count in ((0, 0, 4), (3, 2, 4), (-1, 2, 4), (0, 5, 4)):
        with pytest.raises(DataError, match=f"examples {start} to {stop} of {count} are no part"):
            Part(start, stop, count)
    with pytest.raises(DataError, match="only the examples 0 to 3 of 4"):
        in_own_order(Part(0, 3, 4), {})


def test_an_evaluator_with_changing_metrics_is_refused() -> None:
    one, other = (Part(0, 2, 4), {"loss": np.zeros(2)}), (Part(2, 4, 4), {"f1": np.zeros(2)})
    with pytest.raises(EvaluationError, match="returned 'loss' on some examples and 'f1' on others"):
        join_parts([one, other])


class _Counting:
    def __call__(self, model: Any, task: str, examples: Any = None) -> None: ...

    def count_examples(self, task: str) -> int:
        return len(task)


def test_what_an_evaluator_can_do_is_read_from_its_signature() -> None:
    def plain(model: Any, task: str) -> None: ...
    def able(model: Any, task: str, *, examples: Any = None) -> None: ...

    assert not takes_examples(plain)
    assert takes_examples(able)
    assert takes_examples(partial(able))
    assert takes_examples(_Counting())
    assert not takes_examples(max)
    assert count_examples(_Counting(), "abc") == 3
    assert count_examples(able, "abc") is None


def test_an_evaluator_that_stands_for_others_says_what_they_can_do() -> None:
    class Standing(_Counting):
        takes_examples = False

        def count_examples(self, task: str) -> Any:
            return None

    assert not takes_examples(Standing())
    assert count_examples(Standing(), "abc") is None


def test_what_is_no_mean_is_refused_with_advice() -> None:
    class Ratio(_Counting):
        not_means = ("perplexity",)

    require_means(_Counting())
    with pytest.raises(DataError, match=r"'perplexity' is no mean over examples.*leave 'perplexity' out"):
        require_means(Ratio())
