"""A machine whose numbers are easy to calculate with."""

from __future__ import annotations

from paretomerge.planning import Cluster, Machine

ROUND = Machine("round", 4, {"float32": 1e12, "bfloat16": 4e12}, 1e11, 1e10, 1e11, 1e9, 5e8, 2e9, 1e10, 1e-5, 2.0, 3.6)
CLUSTER = Cluster(ROUND, 2)
