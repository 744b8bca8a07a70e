from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.curvature.examples import Counted, take_examples
from paretomerge.errors import DataError


@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=6), limit=st.none() | st.integers(1, 30))
def test_exactly_the_first_examples_are_taken(sizes, limit):
    numbers = torch.arange(sum(sizes))
    batches = [({"x": part, "m": -part}, 10 * part) for part in numbers.split(sizes)]
    if not len(numbers):
        with pytest.raises(DataError, match="no examples"):
            list(take_examples(batches, limit))
        return
    taken = list(take_examples(batches, limit))
    assert torch.equal(torch.cat([inputs["x"] for inputs, _ in taken]), numbers[:limit])
    assert torch.equal(torch.cat([inputs["m"] for inputs, _ in taken]), -numbers[:limit])
    assert torch.equal(torch.cat([targets for _, targets in taken]), 10 * numbers[:limit])
    assert all(len(targets) for _, targets in taken)


def test_nothing_is_read_beyond_the_limit():
    def batches():
        yield torch.zeros(2, 1), torch.zeros(2)
        raise AssertionError("read on")

    assert len(list(take_examples(batches(), 2))) == 1


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_that_is_not_positive_is_refused(limit):
    with pytest.raises(DataError, match="the limit is"):
        list(take_examples([(torch.zeros(2, 1), torch.zeros(2))], limit))


@pytest.mark.parametrize(("limit", "total"), [(None, 3), (2, 1), (3, 2), (4, 2), (99, 3)])
def test_batches_say_which_of_them_is_read(limit, total):
    batches = [(torch.zeros(2, 1), torch.zeros(2)) for _ in range(3)]
    said: list[str] = []
    counted = Counted(batches, limit, said.append, "gradient of movie")
    for _ in range(2):
        said.clear()
        assert sum(len(targets) for _, targets in take_examples(counted, limit)) == min(limit or 6, 6)
        assert said == [f"gradient of movie: batch {number} of {total}" for number in range(1, total + 1)]
