from __future__ import annotations

import pytest
import torch
from tests.gaussians import FAMILIES, draw_gaussian

from paretomerge.errors import PosteriorError
from paretomerge.merging import collect_inputs, merge
from paretomerge.merging.mixture_components import Components, Group, distances_from_own_soup
from paretomerge.posteriors import Isotropic, LowRank, Mixture


def test_components_stand_side_by_side_in_the_order_of_the_tasks():
    one, other = Isotropic({"w": torch.zeros(1)}), Isotropic({"w": torch.ones(1)})
    found = Components.of(collect_inputs({"a": Mixture([one, other], [0.0, 1.0]), "b": one}))
    assert found.inputs.tasks == ("a#0", "a#1", "b#0")
    assert found.inputs.posteriors == (one, other, one)
    assert found.counts == (2, 1)
    assert found.owners.tolist() == [0, 0, 1]
    assert found.equal.tolist() == [0.5, 0.5, 1.0]
    assert found.log_weights.exp().sum().item() == pytest.approx(2.0)
    shares = torch.tensor([[0.1, 0.9, 1.0]])
    assert found.weights(torch.tensor([[0.4, 0.6]]), shares)[0].tolist() == pytest.approx([0.04, 0.36, 0.6])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prior", [False, True])
def test_a_pass_measures_log_densities_at_the_merge(family: str, prior: bool):
    """Against the densities of whole posteriors at the parameters that `merge` gives."""
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_gaussian(family, generator) for _ in range(3)]
    before = draw_gaussian(family, generator).posterior if prior else None
    tasks = {"a": Mixture([g.posterior for g in drawn[:2]]), "b": drawn[2].posterior}
    found = Components.of(collect_inputs(tasks, before))
    group = Group(found, found.inputs.posteriors[0].blocks())
    weights = torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.1, 0.4 if prior else 0.8]], dtype=torch.float64)
    measured = group.measure(weights)
    flat = {f"r{k}": g.posterior for k, g in enumerate(drawn)}
    for row, (shares, merged) in enumerate(zip(weights, merge(flat, weights, prior=before), strict=True)):
        expected = [g.posterior.log_density(merged) for g in drawn]
        assert measured.components[row].tolist() == pytest.approx(expected, rel=1e-9), shares
        point = drawn[0].coordinates(merged)
        distances = [float((point - g.mean) @ g.precision @ (point - g.mean)) / 2 for g in drawn]
        assert measured.half_distances[row].tolist() == pytest.approx(distances, rel=1e-8)
        assert float(measured.prior[row]) == pytest.approx(before.log_density(merged) if prior else 0.0, rel=1e-9)
    assert bool((measured.magnitude[0] >= measured.components.abs() - 1e-9).all())


def test_what_a_search_meets_is_not_counted_as_what_the_merge_meets():
    inputs = collect_inputs({"a": Mixture([Isotropic({"w": torch.zeros(2)})] * 2)})
    found = Components.of(inputs)
    group = Group(found, ["w"])
    assert group._inputs.tally is not inputs.tally
    assert group._inputs.accumulate == torch.float64


def test_distances_are_those_from_the_soup_of_the_tasks_own_runs():
    def run(mean: float, precision: float) -> Isotropic:
        return Isotropic({"w": torch.tensor([mean]).double()}, precision)

    tasks = {"a": Mixture([run(0.0, 1.0), run(3.0, 2.0)], [0.0, 0.0]), "b": run(100.0, 1.0)}
    found = Components.of(collect_inputs(tasks))
    squared, logs = distances_from_own_soup(found, Group(found, ["w"]))
    assert squared.tolist() == pytest.approx([4.0, 2.0, 0.0])  # the soup of a is at 2
    assert float(logs[1] - logs[0]) == pytest.approx(0.5 * torch.tensor(2.0).log().item() + 1.0)


def test_a_low_rank_component_without_a_diagonal_is_refused():
    bare = LowRank({"w": torch.zeros(2)}, {"w": torch.zeros(2)}, {"w": torch.eye(2)})
    found = Components.of(collect_inputs({"a": Mixture([bare, bare])}))
    with pytest.raises(PosteriorError, match="component 0 of the task 'a' has no precision somewhere in 'all'"):
        Group(found, ["all"])
