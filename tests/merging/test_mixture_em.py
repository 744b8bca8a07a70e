from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from paretomerge.errors import FailureError
from paretomerge.merging import collect_inputs
from paretomerge.merging.mixture_components import Components, LogDensities
from paretomerge.merging.mixture_em import Expectation, maximise, prior_weight, starting_shares
from paretomerge.posteriors import Isotropic, Mixture

COUNTS = (2, 3)
LOGS = torch.log(torch.tensor([0.5, 0.5, 0.2, 0.3, 0.5])).double()
VALUES = torch.tensor([[0.4, 0.6]]).double()


def found(*rows: list[float], prior: float = 0.0, size: float = 0.0) -> LogDensities:
    logs = torch.tensor(rows).double()
    ones = torch.ones(len(rows)).double()
    return LogDensities(logs, prior * ones, torch.zeros_like(logs), (size + 0 * logs, 0 * ones))


def expectation(*temperatures: float) -> Expectation:
    return Expectation(COUNTS, LOGS, torch.tensor(temperatures).double())


def components(*counts: int) -> Components:
    def run(k: int) -> Isotropic:
        return Isotropic({"w": torch.tensor([float(k)])})

    tasks = {f"t{number}": Mixture([run(k) for k in range(count)]) for number, count in enumerate(counts)}
    return Components.of(collect_inputs(tasks))


def test_responsibilities_and_objective_by_hand():
    logs = found([1.0, 2.0, 0.0, 1.0, -1.0], prior=-3.0)
    shares = expectation(1.0, 2.0).shares(logs)
    first = [0.5 * math.e, 0.5 * math.e**2]
    second = [math.sqrt(pi * math.exp(log)) for pi, log in zip([0.2, 0.3, 0.5], [0.0, 1.0, -1.0], strict=True)]
    expected = [x / sum(first) for x in first] + [x / sum(second) for x in second]
    assert shares[0].tolist() == pytest.approx(expected)
    weighted = 0.4 * math.log(sum(first)) + 0.6 * 2 * math.log(sum(second))
    assert float(expectation(1.0, 2.0).objective(logs, VALUES)) == pytest.approx(weighted)
    assert float(expectation(1.0, 2.0).objective(logs, VALUES / 2)) == pytest.approx(weighted / 2 + 0.5 * -3.0)


def test_log_densities_of_a_million_neither_overflow_nor_underflow():
    logs = found([-1e6, -1e6 - 1, 1e6, 1e6, 1e6 - 3])
    assert torch.isfinite(expectation(1.0, 1.0).shares(logs)).all()
    assert expectation(1.0, 1.0).shares(logs)[0, 0].item() == pytest.approx(1 / (1 + math.exp(-1)))
    assert math.isfinite(float(expectation(1.0, 1.0).objective(logs, VALUES)))


def test_the_prior_has_no_weight_on_the_simplex_whatever_the_rounding():
    rows = torch.tensor([[0.1, 0.2, 0.7], [0.1, 0.2, 0.7 + 1e-15], [0.1, 0.2, 0.3]], dtype=torch.float64)
    assert prior_weight(rows)[:2].tolist() == [0.0, 0.0]
    assert float(prior_weight(rows)[2]) == pytest.approx(0.4)


def test_an_objective_that_falls_is_a_defect_and_says_its_numbers():
    """No M step at all: the log densities come down with every call."""
    calls: list[int] = []

    def falling(values: Tensor, shares: Tensor) -> LogDensities:
        calls.append(1)
        return found(*[[-1.0 * len(calls), 0.0, 0.0, 0.0, -5.0 * len(calls)]] * len(values))

    with pytest.raises(
        FailureError, match=r"went from .* to .* in step 2 of .*, which never lowers it: .* please report"
    ):
        maximise(falling, expectation(1.0, 1.0), VALUES, torch.full((1, 5), 0.3).double(), 10, 0.0)


def test_a_fall_of_the_size_of_rounding_is_none():
    calls: list[int] = []

    def rounding(values: Tensor, shares: Tensor) -> LogDensities:
        calls.append(1)
        wobble = 1e-5 * (-1) ** len(calls)
        return found(*[[wobble, 0.0, 0.0, 0.0, len(calls) + 0.0]] * len(values), size=1e9)

    maximise(rounding, expectation(1.0, 1.0), VALUES, torch.full((1, 5), 0.3).double(), 10, 0.0)
    assert len(calls) == 10


def test_nonsense_is_no_rise():
    with pytest.raises(FailureError, match="to nan in step 1"):
        maximise(
            lambda values, shares: found([math.nan] * 5),
            expectation(1.0, 1.0),
            VALUES,
            torch.ones(1, 5).double(),
            3,
            0.0,
        )


def test_each_row_stops_by_itself_and_the_best_start_is_kept():
    """Where the first share is a half the second task's densities rise with every pass: that row never settles."""
    sizes = []

    def measure(values: Tensor, shares: Tensor) -> LogDensities:
        sizes.append(len(shares))
        rising = torch.where(shares[:, :1] == 0.5, 0.01 * len(sizes), 0.0)
        height = torch.where(shares[:, :1] == 0.8, 9.0, 0.0)
        flat = torch.cat([height + torch.log(shares[:, :2]), rising, 0 * rising, 0 * rising], 1)
        return LogDensities(flat, 0 * flat[:, 0], 0 * flat, (0 * flat, 0 * flat[:, 0]))

    even = Expectation(COUNTS, torch.zeros(5).double(), torch.ones(2).double())
    thirds = [1 / 3] * 3
    starts = torch.tensor([[0.5, 0.5, *thirds], [0.8, 0.2, *thirds], [0.6, 0.4, *thirds]], dtype=torch.float64)
    best = maximise(measure, even, VALUES.repeat(2, 1), starts, 4, 1e-6)
    assert sizes == [6, 2, 2, 2]
    assert (best.start.tolist(), best.steps.tolist(), best.converged.tolist()) == ([1, 1], [1, 1], [True, True])
    assert best.shares.tolist() == starts[[1, 1]].tolist()
    best = maximise(measure, even, VALUES, starts[[0, 2]], 4, 1e-6)
    assert (best.start.tolist(), best.steps.tolist(), best.converged.tolist()) == ([0], [4], [False])


def test_ties_go_to_the_first_start_whatever_the_last_digit():
    def measure(values: Tensor, shares: Tensor) -> LogDensities:
        logs = torch.log(shares) + 1e-13 * torch.arange(len(shares))[:, None]
        return LogDensities(logs, 0 * logs[:, 0], 0 * logs, (0 * logs, 0 * logs[:, 0]))

    starts = torch.full((3, 5), 0.3).double()
    even = Expectation(COUNTS, torch.zeros(5).double(), torch.ones(2).double())
    assert maximise(measure, even, VALUES, starts, 5, 1.0).start.tolist() == [0]


def test_starts_are_the_soup_then_every_combination_then_drawn_ones():
    names, shares = starting_shares(components(2, 3), ["a", "b"], 9, 0)
    assert names[:3] == ("soup", "runs 0, 0", "runs 0, 1")
    assert names[6:] == ("runs 1, 2", "drawn 0", "drawn 1")
    assert shares[0].tolist() == pytest.approx([1 / 2] * 2 + [1 / 3] * 3)
    assert shares[6].tolist() == [0, 1, 0, 0, 1]
    assert len({tuple(row) for row in shares.tolist()}) == 9
    for part in shares.split((2, 3), 1):
        torch.testing.assert_close(part.sum(1), torch.ones(9).double())


def test_where_combinations_are_too_many_one_task_at_a_time_takes_a_single_run():
    names, shares = starting_shares(components(2, 3, 1), ["a", "b", "c"], 6, 0)
    assert names == ("soup", "run 0 of a", "run 1 of a", "run 0 of b", "run 1 of b", "run 2 of b")
    assert shares[4].tolist() == pytest.approx([1 / 2, 1 / 2, 0, 1, 0, 1])
    assert starting_shares(components(2, 3, 1), ["a", "b", "c"], 2, 0)[0] == ("soup", "run 0 of a")
    assert starting_shares(components(2, 3, 1), ["a", "b", "c"], 1, 0)[0] == ("soup",)


def test_drawn_starts_depend_on_the_seed_and_the_task_and_not_on_the_order():
    names, shares = starting_shares(components(2, 2), ["a", "b"], 8, 0)
    turned = starting_shares(components(2, 2), ["b", "a"], 8, 0)[1]
    other = starting_shares(components(2, 2), ["a", "b"], 8, 1)[1]
    drawn = [number for number, name in enumerate(names) if name.startswith("drawn")]
    assert len(drawn) == 3
    assert torch.equal(shares[drawn][:, :2], turned[drawn][:, 2:])
    assert not torch.equal(shares[drawn][:, :2], shares[drawn][:, 2:])
    assert not torch.equal(shares[drawn], other[drawn])
