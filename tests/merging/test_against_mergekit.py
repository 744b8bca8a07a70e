"""Rules against mergekit's own functions, on random tensors; whole configurations are in `tests/recipes/mergekit`.

mergekit lives in its own environment; `MERGEKIT_PYTHON` names an interpreter that has it.
"""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.merging.naive import merged_by
from torch import Tensor

from paretomerge.merging import Breadcrumbs, Dare, Della, Slerp, Ties

PYTHON = os.environ.get("MERGEKIT_PYTHON") or (sys.executable if importlib.util.find_spec("mergekit") else None)
pytestmark = pytest.mark.skipif(PYTHON is None, reason="needs mergekit: set MERGEKIT_PYTHON to a Python that has it")

SHAPES = ((1,), (50,), (33, 70))
DENSITIES = (0.013, 0.2, 0.29, 0.5, 0.999, 1.0)
GAMMAS = (0.0, 0.01, 0.3)
COSINES = (0.0, 0.3, 0.9996, 1.0)
REPEATS = 400
DRAWN = (12, 40)


def tensor(*shape: int, seed: int = 0, few: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(*shape, generator=generator)
    return (drawn * 2).round() / 4 if few else drawn


def pair(cosine: float) -> tuple[Tensor, Tensor]:
    one, noise = tensor(500), tensor(500, seed=1)
    return one, 1.3 * (cosine * one + math.sqrt(1 - cosine**2) * noise)


def voters() -> tuple[Tensor, Tensor]:
    return tensor(4, 3000, few=True), torch.tensor([1.0, 0.5, -0.25, 0.75])


def jobs() -> dict[str, tuple[str, tuple[Tensor, ...], dict[str, Any]]]:
    asked: dict[str, Any] = {"elected": ("elected", voters(), {})}
    for shape in SHAPES:
        for few in (False, True):
            given = tensor(*shape, few=few)
            for density in DENSITIES:
                asked[f"magnitude {shape} {few} {density}"] = ("magnitude", (given,), {"density": density})
                for gamma in GAMMAS:
                    settings = {"density": density, "gamma": gamma}
                    asked[f"outliers {shape} {few} {density} {gamma}"] = ("magnitude_outliers", (given,), settings)
    for cosine in COSINES:
        for t in (0.0, 0.3, 1.0):
            asked[f"slerp {cosine} {t}"] = ("slerp", pair(cosine), {"t": t})
    for rescale in (False, True):
        settings = {"repeats": REPEATS, "rescale": rescale, "density": 0.4}
        asked[f"bernoulli {rescale}"] = ("bernoulli", (tensor(*DRAWN),), settings)
        asked[f"della {rescale}"] = ("della", (tensor(*DRAWN),), {**settings, "epsilon": 0.2})
    return asked


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    folder = tmp_path_factory.mktemp("mergekit")
    torch.save(jobs(), folder / "in.pt")
    script = Path(__file__).with_name("run_mergekit.py").resolve()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [str(PYTHON), str(script), str(folder / "in.pt"), str(folder / "out.pt")]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return torch.load(folder / "out.pt", weights_only=True)


def alone(rule: Any, given: Tensor) -> Tensor:
    return merged_by(rule, torch.zeros_like(given), {"a": given}, [[1.0]])[0].float()


def assert_same_selection(ours: Tensor, expected: Tensor, few: bool) -> None:
    """Equal; where magnitudes are equal mergekit's sort is not stable, and which of them are kept is open."""
    if not few:
        assert torch.equal(ours, expected)
        return
    assert torch.equal(ours.abs().flatten().sort().values, expected.abs().flatten().sort().values)
    differing = torch.where(ours != 0, ours, expected)[ours != expected].abs()
    assert len(differing.unique()) <= 2, "the magnitudes at the two thresholds"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("density", DENSITIES)
def test_trimming_is_mergekit_s(theirs, shape, few, density):
    given = tensor(*shape, few=few)
    assert_same_selection(alone(Ties(density), given), theirs[f"magnitude {shape} {few} {density}"], few)
    for gamma in GAMMAS:
        ours = alone(Breadcrumbs(density, gamma), given)
        assert_same_selection(ours, theirs[f"outliers {shape} {few} {density} {gamma}"], few)


def test_election_is_mergekit_s(theirs):
    """With votes of zero, entries of zero and a negative weight."""
    deltas, weights = voters()
    finetunes = dict(zip("abcd", deltas, strict=True))
    for normalize, expected in zip((False, True), theirs["elected"], strict=True):
        found = merged_by(Ties(1.0, normalize=normalize), torch.zeros(3000), finetunes, [weights.tolist()])[0]
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("cosine", COSINES)
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_slerp_is_mergekit_s(theirs, cosine, t):
    one, other = pair(cosine)
    found = merged_by(Slerp(), one, {"a": one, "b": other}, [[1 - t, t]])[0]
    torch.testing.assert_close(found.float(), theirs[f"slerp {cosine} {t}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize(
    ("name", "rule"),
    [("bernoulli", Dare(0.4)), ("della", Della(0.4, 0.2, elect_signs=False))],
)
def test_random_drops_have_mergekit_s_distribution(theirs, name, rule, rescale):
    """How often each entry is kept, and its mean: within five deviations of the difference, entry by entry."""
    given = tensor(*DRAWN)
    rules = [replace(rule, rescale=rescale, seed=seed) for seed in range(REPEATS)]
    drawn = torch.stack([alone(each, given) for each in rules]).double()
    frequency, mean = theirs[f"{name} {rescale}"]
    found = (drawn != 0).double().mean(0)
    deviation = torch.sqrt(2 * frequency * (1 - frequency) / REPEATS)
    assert ((found - frequency).abs() < 5 * deviation).all()
    # over all entries the deviations average out
    assert abs(float((found - frequency).mean())) < 5 * float(deviation.mean()) / math.sqrt(given.numel())
    spread = torch.sqrt(2 * drawn.var(0) / REPEATS)
    assert ((drawn.mean(0) - mean).abs() < 5 * spread).all()
    share = (drawn.mean(0).abs().sum() / given.abs().sum(), mean.abs().sum() / given.abs().sum())
    # mergekit's factor is that of the sums of magnitudes, for DARE here it is one over the probability
    assert abs(float(share[0] - share[1])) < 0.02
