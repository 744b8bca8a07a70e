"""Every YAML block of the README and the documentation is a recipe, or a part of one."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from tests.docs.pages import Block, blocks

from paretomerge.errors import RecipeError
from paretomerge.recipes import parse_recipe
from paretomerge.recipes.schema import Recipe

REST: dict[str, Any] = {
    "base": "base/",
    "tasks": {"a": {"checkpoint": "a/"}, "b": {"checkpoint": "b/"}},
    "problem": "problem.py:build",
}
# Other people's configurations, told by a key that recipes do not have.
FOREIGN = re.compile("^(merge_method|dataset_path|test_split):", re.MULTILINE)
YAML = [block for block in blocks("yaml") if not FOREIGN.search(block.content)]


def completed(content: dict[str, Any]) -> dict[str, Any]:
    """A part of a recipe with the rest of one: tasks of the same names where the part names some."""
    rest = dict(REST)
    sections = content.get("evaluator")
    named = content.get("posterior", {}).get("files", {})
    for section in sections if isinstance(sections, list) else [sections]:
        if isinstance(section, dict):
            named = {**named, **section.get("lm_eval", {})}
    if named:
        rest["tasks"] = {task: {"checkpoint": f"{task}/"} for task in named}
    if "problem_settings" in content and "problem" not in content:
        kind = "causal_lm" if {"prompt", "response", "choices", "answer"} & set(content["problem_settings"]) else None
        rest["problem"] = kind or "sequence_classification"
        rest["tasks"] = {task: {**section, "data": f"{task}.csv"} for task, section in rest["tasks"].items()}
    return {**rest, **content}


def test_there_are_recipes() -> None:
    """The pages hold recipes, so blocks are still found."""
    assert len(YAML) >= 5


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.name)
def test_recipes_parse(block: Block) -> None:
    """Every key and value is one that a recipe may have."""
    content = yaml.safe_load(block.content)
    assert isinstance(content, dict)
    parse_recipe(completed(content), block.name)


def test_an_unknown_key_is_found() -> None:
    """These tests can fail."""
    with pytest.raises(RecipeError, match="evalations"):
        parse_recipe(completed({"front": {"evalations": 15}}))


def test_completing_adds_only_what_is_missing() -> None:
    """What a block says is kept."""
    assert completed({"base": "mine/"})["base"] == "mine/"
    assert set(completed({})) <= set(Recipe.model_fields)
