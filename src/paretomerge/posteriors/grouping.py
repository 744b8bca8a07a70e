"""Which parameters move together: partitions of tensor names.

model    all of them
layer    one group per numbered layer (`encoder.layer.3`, `blocks.0`, `h.11`); outside of layers by the first name
block    each layer cut into what reads (queries and keys), what writes (values and output), the two halves of the
         feed-forward part, and norms
tensor   each by itself
(…)      a regular expression with groups: the captured text names the group, tensors it does not match are "rest"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from paretomerge.errors import PosteriorError, nearest

Named = Literal["model", "layer", "block", "tensor"]
Grouping = str | Callable[[str], str]
"""A name of the list above, a regular expression with groups, or a function from tensor name to group."""

_LAYER = re.compile(r"^(?P<layer>.*?\b(?:layers?|blocks?|h|encoder|stages?)\.\d+)\b")

_READ = "q|k|query|key|q_proj|k_proj|q_lin|k_lin|wq|wk|qkv|c_attn|in_proj|query_key_value"
_WRITE = "v|o|value|v_proj|o_proj|v_lin|out_lin|out_proj|wv|wo|out"
_UP = "up|gate|up_proj|gate_proj|gate_up_proj|fc1|lin1|c_fc|wi|wi_0|wi_1|w1|w3|intermediate|dense_h_to_4h"
_DOWN = "down|down_proj|fc2|lin2|w2|dense_4h_to_h|output"


def _word(names: str, more: str = "") -> re.Pattern[str]:
    return re.compile(rf"(?:^|[._])(?:{names})(?:[._]|$)" + (f"|{more}" if more else ""))


_PARTS = (
    ("norms", _word(r"ln\w*", "norm")),
    ("qk", _word(_READ)),
    ("vo", _word(_WRITE, r"att\w*[._](?:output|c_proj|dense)")),
    ("up", _word(_UP)),
    ("down", _word(_DOWN, r"mlp[._]c_proj")),
)
"""Parts of a transformer's layer by the names that common models give them; the first that matches."""


def group_names(names: Sequence[str], grouping: Grouping) -> dict[str, list[str]]:
    r"""Partition tensor names into groups.

    Raises:
        PosteriorError: an unknown grouping, or a regular expression that is not one or has no group.

    >>> group_names(["embed.weight", "blocks.0.q.weight", "blocks.0.k.weight", "head.bias"], "layer")
    {'embed': ['embed.weight'], 'blocks.0': ['blocks.0.q.weight', 'blocks.0.k.weight'], 'head': ['head.bias']}
    >>> group_names(["h.0.q.weight", "h.0.norm.bias", "h.1.q.weight"], "block")
    {'h.0.qk': ['h.0.q.weight'], 'h.0.norms': ['h.0.norm.bias'], 'h.1.qk': ['h.1.q.weight']}
    >>> group_names(["h.0.q.weight", "h.1.q.weight", "head.bias"], r"h\\.(\\d+)")
    {'0': ['h.0.q.weight'], '1': ['h.1.q.weight'], 'rest': ['head.bias']}
    """
    group_of = grouping_function(grouping)
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(group_of(name), []).append(name)
    return groups


def grouping_function(grouping: Grouping) -> Callable[[str], str]:
    """A grouping as a function from tensor name to group.

    Raises:
        PosteriorError: as `group_names`.
    """
    if callable(grouping):
        return grouping
    if grouping in _FUNCTIONS:
        return _FUNCTIONS[grouping]
    known = get_args(Named)
    try:
        pattern = re.compile(grouping)
    except re.error as error:
        raise PosteriorError(f"the grouping {grouping!r} is no regular expression: {error}") from error
    if not pattern.groups:
        raise PosteriorError(
            f"unknown grouping {grouping!r}{nearest(grouping, known)}: use {', '.join(known)}, a regular expression "
            "with a (group), or a function of the name"
        )
    return lambda name: _captured(pattern, name)


def _captured(pattern: re.Pattern[str], name: str) -> str:
    found = pattern.search(name)
    return ".".join(filter(None, found.groups())) if found else "rest"


def _layer(name: str) -> str:
    found = _LAYER.match(name)
    return found.group("layer") if found else name.split(".", maxsplit=1)[0]


def _block(name: str) -> str:
    """The layer, and the part of it; a layer's tensors of other names stay together."""
    found = _LAYER.match(name)
    if not found:
        return name.split(".", maxsplit=1)[0]
    rest = name[found.end() :].lower()
    part = next((part for part, pattern in _PARTS if pattern.search(rest)), None)
    return found.group("layer") if part is None else f"{found.group('layer')}.{part}"


_FUNCTIONS: dict[str, Callable[[str], str]] = {
    "model": lambda name: "model",
    "layer": _layer,
    "block": _block,
    "tensor": lambda name: name,
}
