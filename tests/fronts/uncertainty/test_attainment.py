from __future__ import annotations

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.errors import DataError
from paretomerge.fronts.uncertainty import AttainmentSurface, attainment_surfaces
from paretomerge.fronts.uncertainty import attainment as room
from paretomerge.types import Objective, to_minimised

A, B, UP = Objective("a"), Objective("b"), Objective("up", "maximise")
THREE = (A, B, Objective("c"))


def _draws(seed: int, draws: int = 40, points: int = 12, objectives: int = 2) -> np.ndarray:
    """A front that moves as a whole, and each point a little by itself."""
    rng = np.random.default_rng(seed)
    front = 1 - np.sqrt(rng.dirichlet(np.ones(objectives), size=points))
    return (
        front
        + 0.1 * rng.standard_normal((draws, 1, objectives))
        + 0.02 * rng.standard_normal((draws, points, objectives))
    )


def _share(draws: np.ndarray, point: np.ndarray) -> float:
    """How many of the draws (minimised) attain a point."""
    return float((draws <= point + 1e-12).all(axis=2).any(axis=1).mean())


@given(seed=st.integers(0, 100), objectives=st.integers(2, 5))
def test_enough_draws_attain_the_surface_and_too_few_what_is_better(seed: int, objectives: int) -> None:
    names = tuple(Objective(f"o{m}") for m in range(objectives))
    draws = _draws(seed, objectives=objectives)
    for surface in attainment_surfaces(draws, names, np.full(objectives, 1.3)):
        assert len(surface.points)
        for point in surface.points[:: 1 + len(surface.points) // 20]:
            assert _share(draws, point) >= surface.percentage / 100 - 1e-12
            assert _share(draws, point - 1e-6) < surface.percentage / 100


def test_two_objectives_are_moocores_surfaces() -> None:
    draws = _draws(0)
    surfaces = attainment_surfaces(draws, (A, B), [9.0, 9.0], percentages=(5, 50, 95))
    expected = moocore.eaf(draws.reshape(-1, 2), np.repeat(np.arange(40), 12), percentiles=[5, 50, 95])
    for surface in surfaces:
        rows = expected[expected[:, 2] == surface.percentage][:, :2]
        np.testing.assert_allclose(surface.points, rows[np.argsort(rows[:, 0])], rtol=1e-12)


@pytest.mark.parametrize("percentage", [5.0, 30.0, 50.0, 95.0, 100.0])
@pytest.mark.parametrize("objectives", [2, 3])
def test_rays_find_moocores_surface(percentage: float, objectives: int) -> None:
    """A ray from the corner leaves the attained region where the union of the surface's boxes ends."""
    draws = _draws(1, draws=20, objectives=objectives)
    corner = np.full(objectives, 1.4)
    counted = (draws <= corner).all(axis=2)
    found = room._on_rays(draws, counted, corner, [percentage])[0]
    sets = np.repeat(np.arange(20), 12)
    exact = moocore.eaf(draws.reshape(-1, objectives), sets, percentiles=[percentage])[:, :-1]
    scale = corner - draws[counted].min(axis=0)
    rays = room.rays_into(objectives)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(rays > 0, ((corner - exact) / scale)[:, None] / rays, np.inf).min(axis=2).max(axis=0)
    np.testing.assert_allclose(found, (corner - reach[:, None] * rays * scale)[reach > 0], rtol=1e-10)


def test_a_front_that_is_certain_is_its_own_surface_at_every_percentage() -> None:
    front = np.array([[0.0, 1.0], [0.4, 0.4], [1.0, 0.0]])
    for surface in attainment_surfaces(np.broadcast_to(front, (30, 3, 2)), (A, B), [2.0, 2.0]):
        np.testing.assert_array_equal(surface.points, front)


def test_surfaces_lie_in_the_objectives_own_directions() -> None:
    draws = _draws(2)
    turned = draws * [1.0, -1.0]
    for plain, other in zip(
        attainment_surfaces(draws, (A, B), [1.3, 1.3]), attainment_surfaces(turned, (A, UP), [1.3, -1.3]), strict=True
    ):
        np.testing.assert_allclose(to_minimised(other.points, (A, UP)), plain.points, rtol=1e-12)


def test_what_is_beyond_the_reference_point_does_not_count() -> None:
    draws = np.broadcast_to(np.array([[0.5, 3.0], [0.8, 0.8], [3.0, 0.5]]), (10, 3, 2))
    for surface in attainment_surfaces(draws, (A, B), [1.0, 1.0]):
        assert surface.points.tolist() == [[0.8, 0.8]]


@pytest.mark.parametrize("objectives", [2, 3])
def test_draws_that_attain_nothing_empty_the_surfaces_they_are_needed_for(objectives: int) -> None:
    """Four draws in ten lie beyond the reference point: the median front exists, the one to rely on does not."""
    draws = np.full((10, 1, objectives), 0.5)
    draws[:4] = 2.0
    names = (A, B, Objective("c"))[:objectives]
    few, median, most = attainment_surfaces(draws, names, np.ones(objectives))
    assert len(few.points)
    assert len(median.points)
    assert most.points.shape == (0, objectives)
    feasible = np.ones((10, 1), bool)
    feasible[4:6] = False
    _, median, _ = attainment_surfaces(draws, names, np.ones(objectives), feasible=feasible)
    assert not len(median.points)


def test_shares_of_draws_are_counted_without_rounding_up() -> None:
    """5 % of 20 draws is one draw: the best of them alone makes the surface."""
    draws = np.linspace(0.0, 0.95, 20)[:, None, None] * np.ones(3)
    surface = attainment_surfaces(draws, THREE, [1.0, 1.0, 1.0], percentages=(5.0,))[0]
    np.testing.assert_allclose(surface.points.min(axis=1), 0.0, atol=1e-12)
    assert [room._draws_needed(p, n) for p, n in ((5, 20), (5, 21), (95, 200), (100, 7), (1, 10))] == [1, 2, 190, 7, 1]


def test_a_large_staircase_is_thinned_and_keeps_its_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = _draws(3, points=60)
    whole = attainment_surfaces(draws, (A, B), [1.3, 1.3], percentages=(50.0,))[0].points
    monkeypatch.setattr(room, "LARGEST_SURFACE", 7)
    thin = attainment_surfaces(draws, (A, B), [1.3, 1.3], percentages=(50.0,))[0].points
    assert len(thin) == 7 < len(whole)
    np.testing.assert_array_equal(thin[[0, -1]], whole[[0, -1]])


@pytest.mark.parametrize("objectives", [3, 4, 8, 12])
def test_rays_are_few_and_of_length_one(objectives: int) -> None:
    rays = room.rays_into(objectives)
    assert 12 <= len(rays) <= 250
    np.testing.assert_allclose(np.linalg.norm(rays, axis=1), 1.0)
    assert (rays >= 0).all()


def test_a_surface_survives_json() -> None:
    for points in (np.array([[0.0, 1.0], [1.0, 0.0]]), np.zeros((0, 2))):
        again = AttainmentSurface.from_dict(AttainmentSurface(5.0, points).as_dict())
        assert again.percentage == 5.0
        np.testing.assert_array_equal(again.points, points)
        assert again.points.shape == points.shape


def test_what_does_not_fit_says_so() -> None:
    for percentages in ((0.0,), (101.0,)):
        with pytest.raises(DataError, match="each lies above 0 and is at most 100"):
            attainment_surfaces(_draws(0), (A, B), [1.0, 1.0], percentages)
    with pytest.raises(DataError, match=r"reference point has shape \[3\]"):
        attainment_surfaces(_draws(0), (A, B), [1.0, 1.0, 1.0])
