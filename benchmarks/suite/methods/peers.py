"""Other people's own code for the classic rules, at equal budgets: is what we hold ourselves against what they ship?

`MERGEKIT_PYTHON` and `FUSION_BENCH_PYTHON` name Pythons that have them; without, these methods are skipped.
"""

from __future__ import annotations

from benchmarks.suite.methods.base import Method
from benchmarks.suite.methods.fusion_bench import fusion_bench_methods
from benchmarks.suite.methods.mergekit import mergekit_methods


def peers(smoke: bool) -> list[Method]:
    """Merges by the program of mergekit, and by fusion_bench's own functions for Fisher merging."""
    return [*mergekit_methods(smoke), *fusion_bench_methods(smoke)]
