"""Intervals and paired tests over seeds."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.suite.statistics import mean_with_interval, ratio_with_interval, sign_flips, wilcoxon
from scipy import stats


def test_five_seeds_of_one_sign_have_the_smallest_p_value_there_is():
    assert sign_flips([1, 2, 3, 4, 5]) == pytest.approx(2 / 32)


def test_sign_flips_agree_with_scipy():
    values = np.random.default_rng(0).normal(0.4, 1, 9)
    found = stats.permutation_test(
        (values,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flips(values) == pytest.approx(found.pvalue)


def test_many_pairs_are_sampled_and_never_at_zero():
    values = np.random.default_rng(0).normal(1, 0.1, 40)
    assert 0 < sign_flips(values) < 0.001
    assert sign_flips(np.random.default_rng(1).normal(0, 1, 40)) > 0.05


def test_signed_ranks_need_five_pairs_that_differ():
    assert wilcoxon([1, 2, 3, 4]) is None
    assert wilcoxon([0, 0, 0, 0, 0]) is None
    assert wilcoxon([1, 2, 3, 4, 5]) == pytest.approx(0.0625)


def test_ratios_are_of_means_and_paired():
    one, other = np.array([2.0, 4.0, 60.0]), np.array([1.0, 2.0, 30.0])
    ratio, interval = ratio_with_interval(one, other)
    assert ratio == pytest.approx(2)
    assert interval == pytest.approx((2, 2))  # every resample has the ratio of the pairs


def test_one_seed_has_no_interval():
    assert mean_with_interval(np.array([3.0])) == (3.0, None)
    assert ratio_with_interval(np.array([3.0]), np.array([2.0])) == (1.5, None)


def test_intervals_hold_the_mean():
    mean, interval = mean_with_interval(np.array([1.0, 2.0, 3.0, 4.0]))
    assert interval is not None
    assert interval[0] < mean < interval[1]
