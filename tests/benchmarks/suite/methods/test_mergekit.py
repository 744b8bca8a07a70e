"""The program of mergekit on plain state dicts; it lives in its own environment, which `MERGEKIT_PYTHON` names."""

from __future__ import annotations

import os

import numpy as np
import pytest
from benchmarks.suite.methods.classic import thinned
from benchmarks.suite.methods.foreign import NotHere
from benchmarks.suite.methods.mergekit import MERGEKIT, RULES, configuration, mergekit_methods
from tests.benchmarks.suite.tiny_setting import tiny_setting


def is_here() -> bool:
    try:
        return bool(MERGEKIT.python)
    except NotHere:
        return False


@pytest.mark.skipif(not is_here(), reason="needs mergekit: set MERGEKIT_PYTHON to a Python that has it")
@pytest.mark.parametrize("number", range(4))
def test_mergekit_makes_the_merges_of_our_rules_but_for_what_is_drawn(tmp_path, number):
    setting = tiny_setting(tmp_path, kind="statistics")
    method, rule = mergekit_methods(True)[number], RULES[number]
    found = method.find(setting)
    models = list(found.models)
    assert len(models) == len(setting.weights)
    assert models[0]["1.num_batches_tracked"].equal(setting.base["1.num_batches_tracked"])
    checks = found.checks()
    against = checks["against_ours"]
    assert against["largest_update"] > 0.01
    if rule.is_drawn:
        assert 0 < against["relative_difference"] < 2 * checks["ours_against_another_draw"]["relative_difference"]
    else:
        assert against["largest_difference"] < 1e-6
    expected = len(thinned(rule.ours.candidates(3), True)) * 4
    assert found.cost.evaluations == expected
    place = found.models.folder.name
    assert os.path.exists(place)
    found.models.folder.cleanup()
    assert not os.path.exists(place)


def test_a_configuration_says_what_our_rule_was_given(tmp_path):
    averaging, arithmetic, ties, dare = RULES
    row = np.array([0.25, 0.75])
    said = configuration(tmp_path, ties, {"density": 0.2, "scale": 1.5}, row)
    assert said["merge_method"] == "ties"
    assert said["parameters"] == {"normalize": True, "lambda": 1.5}
    assert [each["parameters"] for each in said["models"]] == [
        {"weight": 0.25, "density": 0.2},
        {"weight": 0.75, "density": 0.2},
    ]
    assert said["base_model"].endswith("base.safetensors")
    assert "base_model" not in configuration(tmp_path, averaging, {}, row)
    assert configuration(tmp_path, arithmetic, {"scale": 0.7}, row)["parameters"] == {"normalize": False, "lambda": 0.7}
    assert configuration(tmp_path, dare, {"density": 0.2, "scale": 1.0}, row)["merge_method"] == "dare_linear"
