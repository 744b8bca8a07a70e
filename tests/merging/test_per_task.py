from __future__ import annotations

import math
from dataclasses import replace

import pytest

from paretomerge.errors import RecipeError
from paretomerge.merging import Breadcrumbs, Dare, Della, Ties
from paretomerge.merging.per_task import for_tasks, frozen_setting
from paretomerge.recipes import method


def test_one_number_is_that_of_every_task():
    assert frozen_setting("density", 1) == 1.0
    assert isinstance(frozen_setting("density", 1), float)
    assert for_tasks("density", 0.5, ("a", "b")) == [0.5, 0.5]


def test_a_mapping_is_read_by_name():
    setting = frozen_setting("density", {"b": 1, "a": 0.5})
    assert setting == (("a", 0.5), ("b", 1.0))
    assert for_tasks("density", setting, ("b", "a")) == [1.0, 0.5]


@pytest.mark.parametrize("kind", [Ties, Dare, Della, Breadcrumbs])
def test_rules_compare_hash_and_print_by_what_they_say(kind):
    one, other = kind({"a": 0.5, "b": 0.4}), kind({"b": 0.4, "a": 0.5})
    assert one == other
    assert hash(one) == hash(other)
    assert repr(one) == repr(other)
    assert "(('a', 0.5), ('b', 0.4))" in repr(one)
    assert one != kind({"a": 0.5, "b": 0.5})
    assert replace(one, scale=2.0).density == one.density
    assert method("rule", kind.__name__.lower(), {"density": {"a": 0.5, "b": 0.4}}) == one


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "density must be a finite number, got nan"),
        ("half", "density must be a finite number, got 'half'"),
        (True, "density must be a finite number, got True"),
        (None, "density must be a finite number, got None"),
        ({"a": 0.5, "b": math.inf}, "density of 'b' must be a finite number, got inf"),
        ({}, "density is an empty mapping: give one number, or a number for every task"),
    ],
)
def test_what_is_no_number_is_refused(value, message):
    with pytest.raises(RecipeError, match=message):
        frozen_setting("density", value)


def test_tasks_have_to_match():
    setting = frozen_setting("density", {"movie": 0.5, "tweets": 0.1})
    with pytest.raises(RecipeError, match=r"'tweets', which is no task \(did you mean 'tweet'\?\): 'movie', 'tweet'"):
        for_tasks("density", setting, ("movie", "tweet"))
    with pytest.raises(RecipeError, match="density is not given for 'news', 'mail': give one number, or"):
        for_tasks("density", setting, ("movie", "tweets", "news", "mail"))
