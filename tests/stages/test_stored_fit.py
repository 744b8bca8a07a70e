"""A fit read back from a run folder is the fit that was measured."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml

from paretomerge.stages import fit_run, open_study
from paretomerge.types import simplex_grid


def test_models_of_a_resumed_fit_are_the_same(own: Path) -> None:
    """Centred twice and enriched: basis, anchors, curvature and damping all come back from the disk."""
    recipe = own / "recipe.yaml"
    content = yaml.safe_load(recipe.read_text())
    settings = {"groups": "layer", "enrich": "scaled_gradient", "centres": 2, "examples": 30}
    content["posterior"] = {"family": "subspace", "settings": settings, "dampings": [0.01, 0.1]}
    recipe.write_text(yaml.safe_dump(content))
    weights = simplex_grid(3, 2)
    measured = fit_run(open_study(recipe, own / "run"))
    again = fit_run(open_study(own / "run"))
    assert again.damping == measured.damping
    assert again.curvatures.ledger.gradient_passes == 0
    for one, other in zip(measured.models(weights), again.models(weights), strict=True):
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=1e-6, atol=1e-7)
