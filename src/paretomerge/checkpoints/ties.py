"""One parameter under two names: the input embedding that is the output matrix as well, and its like."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from paretomerge.checkpoints.views import same_values
from paretomerge.types import Params, TensorSpec, spec_of

MOST_TIES_READ = 8  # tensors compared by value to explain one name
ENTRIES_LOOKED_AT = 4096  # of a matrix that may be constant

# names that are usually the second name of an embedding
SECOND_NAME = re.compile(
    r"(^|\.)((lm_head|decoder|embed_out|output_projection|output)\.weight|(encoder|decoder)\.embed_tokens\.weight)$"
)


def find_twins(names: Iterable[str], holder: Params, among: Iterable[str]) -> dict[str, str]:
    """Name → the name of `among` whose tensor in `holder` is equal, for those of `names` that have one.

    Only matrices are compared, and only those whose entries differ: vectors and matrices that start as zeros or ones
    are often equal by chance. Where many tensors have one shape, none is read.
    """
    by_spec: defaultdict[TensorSpec, list[str]] = defaultdict(list)
    for other in among:
        if other in holder:
            by_spec[spec_of(holder, other)].append(other)
    found = {}
    for name in names:
        spec = spec_of(holder, name)
        same = [other for other in by_spec.get(spec, ()) if other != name]
        if len(spec.shape) < 2 or not spec.numel or not 0 < len(same) <= MOST_TIES_READ:
            continue
        values = holder[name]
        start = values.reshape(-1)[:ENTRIES_LOOKED_AT]
        if not bool((start == start[0]).all()):
            twin = next((other for other in same if same_values(values, holder[other])), None)
            if twin is not None:
                found[name] = twin
    return found


def base_ties(base: Params) -> dict[str, str]:
    """Second name → first name of the parameters that `base` holds twice, with equal values."""
    ties: dict[str, str] = {}
    for second in base:
        if SECOND_NAME.search(second) and spec_of(base, second).is_mergeable:
            ties |= find_twins([second], base, [name for name in base if name not in ties])
    return ties


def are_equal(params: Params, name: str, twin: str) -> bool:
    """Whether `params` has both names with equal shape, dtype and values."""
    both = name in params and twin in params
    return both and spec_of(params, name) == spec_of(params, twin) and same_values(params[name], params[twin])
