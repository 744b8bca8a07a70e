"""One parameter under two names: the input embedding that is the output matrix as well, and its like."""

from __future__ import annotations

import re
from collections.abc import Collection

from paretomerge.checkpoints.views import same_values
from paretomerge.types import Params, spec_of

MOST_TIES_READ = 8  # tensors compared by value to explain one name

# names that are usually the second name of an embedding
SECOND_NAME = re.compile(
    r"(^|\.)((lm_head|decoder|embed_out|output_projection|output)\.weight|(encoder|decoder)\.embed_tokens\.weight)$"
)


def find_twin(name: str, holder: Params, among: Collection[str]) -> str | None:
    """The name of `among` whose tensor in `holder` equals that of `name`, if there is one.

    Only matrices are compared: vectors of zeros or ones are often equal by chance.
    """
    spec = spec_of(holder, name)
    if len(spec.shape) < 2 or not spec.numel:
        return None
    same = [other for other in holder if other != name and other in among and spec_of(holder, other) == spec]
    if not same or len(same) > MOST_TIES_READ:
        return None
    values = holder[name]
    return next((twin for twin in same if same_values(values, holder[twin])), None)


def base_ties(base: Params) -> dict[str, str]:
    """Second name → first name of the parameters that `base` holds twice, with equal values."""
    ties: dict[str, str] = {}
    for second in base:
        if SECOND_NAME.search(second) and spec_of(base, second).is_mergeable:
            first = find_twin(second, base, set(base) - set(ties))
            if first is not None:
                ties[second] = first
    return ties


def are_equal(params: Params, name: str, twin: str) -> bool:
    """Whether `params` has both names with equal shape, dtype and values."""
    both = name in params and twin in params
    return both and spec_of(params, name) == spec_of(params, twin) and same_values(params[name], params[twin])
