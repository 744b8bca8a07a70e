from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.suite.methods.anchored import anchored, continued, rows_of
from tests.benchmarks.suite.tiny_setting import tiny_setting


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return tiny_setting(tmp_path_factory.mktemp("setting"))


def test_the_joint_run_is_given_back_and_left_out_of_errors(setting) -> None:
    found = continued("one").find(setting)

    models = list(found.models)
    assert found.facts["trained_rows"] == [0]
    for name, tensor in setting.train(setting.weights[0]).items():
        assert torch.allclose(models[0][name], tensor, atol=1e-6)
        assert not torch.allclose(models[1][name], tensor, atol=1e-4)


def test_the_joint_run_is_paid_for(setting) -> None:
    found = continued("one").find(setting)

    training = setting.training_cost(setting.weights[:1])
    expansions = 3 * (48 + 3 * 16)
    assert found.cost.trainings == 1
    assert found.cost.gradient_passes == training["gradient_passes"] + expansions
    assert found.core_seconds == training["core_seconds"] > 0


def test_a_run_of_another_seed_is_another_run(setting) -> None:
    first, other = (next(iter(continued("one", repeat=repeat).find(setting).models)) for repeat in (0, 1))

    assert any(not torch.equal(first[name], tensor) for name, tensor in other.items())


def test_fading_changes_only_unequal_weightings(setting) -> None:
    plain, faded = (list(continued("one", faded=faded).find(setting).models) for faded in (False, True))

    for name, tensor in plain[0].items():
        assert torch.allclose(faded[0][name], tensor, atol=1e-6)
    assert any(not torch.allclose(faded[1][name], tensor, atol=1e-4) for name, tensor in plain[1].items())


def test_fading_pays_for_the_merges_too(setting) -> None:
    plain, faded = (continued("one", faded=faded).find(setting).cost for faded in (False, True))

    assert faded.gradient_passes > plain.gradient_passes
    assert faded.trainings == 1


def test_names_are_unique_and_missing_rows_are_none(setting) -> None:
    names = [method.name for method in anchored(False)]

    assert len(set(names)) == len(names)
    assert rows_of(setting, np.array([0.2, 0.3, 0.5])) == []
