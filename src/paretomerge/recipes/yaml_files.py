"""YAML that somebody else wrote: read within bounds, and refused with a message of ours.

Aliases (`*name`) repeat what an anchor holds. Nine lines of them can stand for a thousand million values, which take no
memory until somebody walks through them; so the values are counted as they would be written out. Of a key that is
there twice YAML keeps the last one without a word, which hides typing mistakes: it is refused.
"""

from __future__ import annotations

from typing import Any

import yaml

LARGEST_TEXT = 200_000
MOST_VALUES = 50_000
MOST_DIGITS = 400
DEEPEST = 100

_TAG = "tag:yaml.org,2002:"
_OTHER_TYPES = ("timestamp", "binary", "set", "omap", "pairs")


class _Loader(yaml.SafeLoader):
    """Refuses what lies too deep while it is read: the time that takes grows with the square of the depth."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """One more level."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError(f"lists or mappings lie more than {DEEPEST} deep within each other")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def read_yaml(text: str) -> Any:
    """The values of one YAML document: mappings, lists, texts, numbers; no objects.

    Raises:
        ValueError: no YAML, not one document, a value that is none of its type, a key that is there twice, or more than
            can be meant.
    """
    if len(text) > LARGEST_TEXT:
        raise ValueError(f"{len(text)} characters of YAML, at most {LARGEST_TEXT} are read")
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count(node, {}, ())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError as error:
        raise ValueError("lists or mappings lie too deep within each other") from error
    except ValueError:
        raise
    # PyYAML lets through what int(), date() and tables say of values that are none
    except Exception as error:
        why = str(error) if isinstance(error, yaml.YAMLError) else f"a value is not of the type of its tag ({error!r})"
        raise ValueError(why) from error


def _count(node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Values of a node, with everything that aliases repeat."""
    if id(node) in above or len(above) > DEEPEST:
        raise ValueError(f"lists or mappings contain themselves, or lie more than {DEEPEST} deep")
    if id(node) in known:
        return known[id(node)]
    inner = (*above, id(node))
    total = 1
    if isinstance(node, yaml.SequenceNode):
        total += sum(_count(part, known, inner) for part in node.value)
    elif isinstance(node, yaml.ScalarNode):
        _require_plain(node)
    elif isinstance(node, yaml.MappingNode):
        _require_unique(node)
        total += sum(_count(part, known, inner) for pair in node.value for part in pair)
    if isinstance(node, yaml.CollectionNode) and node.tag.removeprefix(_TAG) in _OTHER_TYPES:
        raise ValueError(
            f"a {node.tag.removeprefix(_TAG)} in line {node.start_mark.line + 1}: write a list or a mapping"
        )
    if total > MOST_VALUES:
        raise ValueError(f"aliases repeat its content to more than {MOST_VALUES} values")
    known[id(node)] = total
    return total


def _require_plain(node: yaml.ScalarNode) -> None:
    kind, where = node.tag.removeprefix(_TAG), f"in line {node.start_mark.line + 1}"
    if kind in _OTHER_TYPES:
        raise ValueError(f"{node.value[:80]!r} {where} is read as a {kind}: put it in quotes if it is text")
    if kind in ("int", "float") and (len(node.value) > MOST_DIGITS or node.value.lower() == ".nan"):
        raise ValueError(f"the number {node.value[:80]!r} {where} cannot be meant")
    try:
        node.value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{node.value[:80]!r} {where} is not valid text") from None
    if "\0" in node.value:
        raise ValueError(f"{node.value[:80]!r} {where} contains the character zero")


def _require_unique(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == f"{_TAG}merge":
            continue
        if (key.tag, key.value) in seen:
            raise ValueError(f"the key {key.value[:80]!r} is there twice, again in line {key.start_mark.line + 1}")
        seen.add((key.tag, key.value))
