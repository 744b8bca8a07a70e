from __future__ import annotations

import math

import pytest
import torch
from tests.gaussians import FAMILIES, SHAPES, draw_gaussian

from paretomerge.errors import PosteriorError
from paretomerge.posteriors import (
    Diagonal,
    Elementwise,
    Factored,
    Isotropic,
    Kronecker,
    KroneckerFactors,
    LowRank,
    Matrix,
    Posterior,
    Product,
    Subspace,
    block_centre,
    block_log_density,
    half_distance,
    log_normaliser,
)
from paretomerge.posteriors.block_density import Point
from paretomerge.types import Layout, Params


def random_params(count: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(5)
    return [
        {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in SHAPES.items()}
        for _ in range(count)
    ]


def point_of(posterior: Posterior, block: str, rows: list[Params]) -> Point:
    """Parameters as points of one block."""
    if isinstance(posterior, Product):
        part, inner = block.split("/")
        return point_of(posterior.parts[part], inner, rows)
    if isinstance(posterior, Subspace):
        return torch.stack([posterior.project(row) for row in rows])
    if isinstance(posterior, LowRank):
        return {name: torch.stack([row[name] for row in rows]) for name in posterior.names()}
    if isinstance(posterior, Kronecker):
        return torch.stack([posterior.natural(block).factors.gather(row) for row in rows])
    if isinstance(posterior, Isotropic | Diagonal):
        return torch.stack([row[block] for row in rows])
    layout = Layout({name: spec.shape for name, spec in posterior.specs.items()})
    return torch.stack([layout.flatten(row) for row in rows])


@pytest.mark.parametrize("family", FAMILIES)
def test_densities_of_the_blocks_add_up_to_the_whole(family: str):
    """Of every family, at three points at once, and as PyTorch's own normal distribution has it."""
    known = draw_gaussian(family, torch.Generator().manual_seed(1))
    rows = random_params(3)
    if family == "subspace":
        frame = known.posterior
        rows = [frame.at(torch.randn(3, generator=torch.Generator().manual_seed(k)).double()) for k in range(3)]
    found = sum(
        block_log_density(known.posterior.natural(block), point_of(known.posterior, block, rows))
        for block in known.posterior.blocks()
    )
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx([known.posterior.log_density(row) for row in rows], rel=1e-10)
    expected = [float(known.log_density(known.coordinates(row))) for row in rows]
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sums_are_in_double_whatever_the_dtypes(dtype: torch.dtype):
    """A thousand times a precision that a sum in the dtype itself would lose."""
    natural = Elementwise(torch.full((1001,), 2.0, dtype=dtype), torch.zeros(1001, dtype=dtype))
    point = torch.ones(1, 1001, dtype=dtype)
    assert float(half_distance(natural, point)) == 1001.0
    assert log_normaliser(natural) == pytest.approx(0.5 * 1001 * math.log(2 / (2 * math.pi)), rel=1e-14)


def test_one_number_of_precision_counts_for_every_element():
    natural = Isotropic({"w": torch.zeros(2, 3)}, 4.0).natural("w")
    assert log_normaliser(natural) == pytest.approx(3 * math.log(4 / (2 * math.pi)))
    assert half_distance(natural, torch.ones(5, 2, 3)).tolist() == [12.0] * 5


@pytest.mark.parametrize("shape", [(), (0,), (0, 3)])
def test_scalars_and_empty_tensors_have_densities(shape: tuple[int, ...]):
    natural = Diagonal({"w": torch.zeros(shape)}, {"w": torch.ones(shape)}).natural("w")
    count = math.prod(shape)
    assert block_log_density(natural, torch.zeros(2, *shape)).tolist() == pytest.approx(
        [-0.5 * count * math.log(2 * math.pi)] * 2
    )


def test_where_a_precision_is_zero_there_is_no_density():
    half = torch.tensor([[1.0, 0.0]])
    layer = KroneckerFactors("w", None, None, None, half)
    assert log_normaliser(Elementwise(half[0], torch.zeros(2))) == -math.inf
    assert log_normaliser(Factored(layer, torch.zeros(1, 2).double())) == -math.inf
    assert log_normaliser(LowRank({"w": torch.zeros(2)}, {"w": half[0]}, {"w": torch.ones(1, 2)})) == -math.inf
    with pytest.raises(PosteriorError, match="the precision of a component is not positive definite"):
        log_normaliser(Matrix(torch.diag(half[0].double()), torch.zeros(2).double()))


def test_the_centre_of_a_matrix_is_its_mean_and_can_be_given():
    known = draw_gaussian("dense", torch.Generator().manual_seed(3))
    natural = known.posterior.natural("all")
    centre = block_centre(natural)
    torch.testing.assert_close(centre, known.mean, rtol=1e-10, atol=0)
    point = torch.ones(1, len(known.mean), dtype=torch.float64)
    assert float(half_distance(natural, point, centre + 1)) != pytest.approx(float(half_distance(natural, point)))
    assert block_centre(Elementwise(torch.ones(2), torch.ones(2))) is None
