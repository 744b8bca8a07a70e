"""JSON objects whose keys are all different: of two equal ones Python keeps the last, and other readers the first."""

from __future__ import annotations

from typing import Any


class RepeatedKeyError(ValueError):
    """A key that an object has twice; its text is the key."""


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs, for the `object_pairs_hook` of `json.loads`.

    Raises:
        RepeatedKeyError: a key is there twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise RepeatedKeyError(key)
            seen.add(key)
    return found
