from __future__ import annotations

import pytest
import torch

from paretomerge.errors import PosteriorError
from paretomerge.posteriors import LowRank, damp
from paretomerge.types import spec_of

MEAN = {"w": torch.ones(2, 3), "steps": torch.tensor(4)}


def low_rank(diagonal=None, factors=None, mean=MEAN) -> LowRank:
    return LowRank(
        mean,
        {"w": torch.ones(2, 3)} if diagonal is None else diagonal,
        {"w": torch.ones(2, 2, 3)} if factors is None else factors,
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"diagonal": {}}, "no diagonal for 'w'"),
        ({"factors": {}}, "no factor for 'w'"),
        ({"diagonal": {"w": torch.ones(3)}}, r"diagonal of 'w' has shape \[3\], expected \[2, 3\]"),
        ({"factors": {"w": torch.ones(2, 3, 2)}}, r"factor of 'w' has shape \[2, 3, 2\], expected \[2, 2, 3\]"),
        ({"diagonal": {"w": -torch.ones(2, 3)}}, "negative"),
        ({"factors": {"w": torch.full((1, 2, 3), torch.nan)}}, "factors of 'w' has 6 NaN"),
        ({"mean": {"steps": torch.tensor(1)}}, "no floating-point tensor"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(PosteriorError, match=message):
        low_rank(**given)


def test_counters_are_carried_along():
    posterior = low_rank()
    assert posterior.names() == ("w",)
    assert int(posterior.sample(torch.Generator())["steps"]) == 4


def test_samples_have_the_covariance_of_the_precision():
    generator = torch.Generator().manual_seed(0)
    factors = torch.tensor([[[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]], dtype=torch.float64)
    posterior = LowRank({"w": torch.zeros(2, 3).double()}, {"w": torch.full((2, 3), 0.5).double()}, {"w": factors})
    draws = torch.stack([posterior.sample(generator)["w"].reshape(-1) for _ in range(4000)])
    matrix = 0.5 * torch.eye(6).double() + factors.reshape(1, 6).T @ factors.reshape(1, 6)
    whitened = draws.T @ draws / 4000 @ matrix
    assert torch.allclose(whitened, torch.eye(6).double(), atol=0.35)
    along = factors.reshape(6) / factors.norm()
    # a mean of 4000 squares of normal numbers: relative error √(2/4000)
    assert float((draws @ along).square().mean()) == pytest.approx(1 / 6.5, rel=5 * (2 / 4000) ** 0.5)


def test_damping_is_relative_to_the_whole_diagonal():
    damped = damp({"a": low_rank()}, 0.1)["a"]
    # the diagonal of H is 1 + 1 + 1
    assert torch.allclose(damped.diagonal["w"].double(), torch.full((2, 3), 1.3).double())


def test_without_damping_nothing_is_sampled():
    posterior = low_rank({"w": torch.zeros(2, 3)})
    with pytest.raises(PosteriorError, match="zero diagonal somewhere: damp"):
        posterior.sample(torch.Generator())
    assert posterior.log_density(MEAN) == -torch.inf


def test_ranks_may_differ_between_tasks_but_not_shapes():
    low_rank().require_same_kind(low_rank(factors={"w": torch.ones(5, 2, 3)}))
    other = LowRank({"v": torch.ones(1)}, {"v": torch.ones(1)}, {"v": torch.ones(1, 1)})
    with pytest.raises(PosteriorError, match="different parameters"):
        low_rank().require_same_kind(other)


def test_the_digest_knows_all_three_parts():
    found = {
        low_rank().digest,
        low_rank({"w": 2 * torch.ones(2, 3)}).digest,
        low_rank(factors={"w": torch.zeros(2, 2, 3)}).digest,
        low_rank(mean={"w": torch.zeros(2, 3), "steps": torch.tensor(4)}).digest,
    }
    assert len(found) == 4


def test_names_and_rank_are_looked_up_once():
    """A merge asks for them at every tensor: looking them up each time costs the square of their number."""

    class Counting(dict):
        asked = 0

        def __iter__(self):
            Counting.asked += 1
            return super().__iter__()

        def spec(self, name):
            return spec_of(dict(self), name)

    mean = Counting({f"w{number}": torch.ones(2) for number in range(5)})
    factors = {name: torch.ones(3, 2) for name in mean}
    posterior = LowRank(mean, {name: torch.ones(2) for name in mean}, factors)
    before = Counting.asked
    for name in posterior.names():
        _, diagonal, _ = posterior.read(name)
        posterior.displacement("all", {name: diagonal})
    assert posterior.rank == 3
    assert Counting.asked == before
