"""What the page interpolates is what `PredictedGrid.at` interpolates. Skipped without node."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest

from paretomerge.reports.grid import DIVISIONS, PredictedGrid
from paretomerge.reports.page import _template
from paretomerge.types import Objective, simplex_grid

NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")

RUN = """
const { landscape, tasks, queries } = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const report = { landscape };
prepareLandscape(landscape, tasks);
console.log(JSON.stringify({ weights: landscape.weights, found: queries.map((weights) => predictAt(weights)) }));
"""


@pytest.mark.parametrize("tasks", sorted(DIVISIONS))
def test_both_interpolate_alike_at_random_weights_on_edges_and_on_grid_points(tasks):
    generator = np.random.default_rng(tasks)
    divisions = min(DIVISIONS[tasks], 12)
    weights = simplex_grid(tasks, divisions)
    values = generator.normal(size=(len(weights), 2))
    far = generator.random(len(weights)) < 0.5
    grid = PredictedGrid(
        tuple("abcdef"[:tasks]), (Objective("x"), Objective("y")), divisions,
        values, values - 1, values + 2, 0.9, np.array([0.1, 0.2]), np.array([0.3, 0.4]), far,
    )  # fmt: skip
    edges = generator.dirichlet(np.ones(tasks), 20)
    edges[:, generator.integers(tasks)] = 0
    edges /= edges.sum(axis=1, keepdims=True)
    queries = np.concatenate([generator.dirichlet(np.ones(tasks), 60), edges, weights[:: max(1, len(weights) // 20)]])
    landscape = {name: getattr(grid, name).tolist() for name in ("values", "lower", "upper", "error", "edge_error")}
    landscape |= {"divisions": divisions, "far": grid.far.astype(int).tolist()}
    asked = json.dumps({"landscape": landscape, "tasks": list(grid.tasks), "queries": queries.tolist()})
    script = _template("landscape.js") + RUN
    done = subprocess.run([NODE, "-e", script], input=asked, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    np.testing.assert_allclose(answer["weights"], weights, atol=1e-15)
    for name, expected in zip(("values", "lower", "upper"), grid.at(queries), strict=True):
        np.testing.assert_allclose([each[name] for each in answer["found"]], expected, atol=1e-12)
    inner, corner = answer["found"][0], answer["found"][-1]
    near = (queries[0] < 1 / divisions).any()
    assert inner["error"] == (grid.edge_error if near else grid.error).tolist()
    assert corner["error"] == [0, 0]
