from __future__ import annotations

import sys

import pytest
import torch
from benchmarks.suite.methods.foreign import Environment, differences
from benchmarks.suite.methods.peers import peers
from benchmarks.suite.run import run_method
from tests.benchmarks.suite.tiny_setting import tiny_setting

from benchmarks.suite.methods import NotHere
from paretomerge.errors import FailureError

ABSENT = Environment("no_such_package", "NO_SUCH_PYTHON")


def test_a_package_that_is_nowhere_is_a_reason_that_says_what_to_set(monkeypatch):
    monkeypatch.delenv("NO_SUCH_PYTHON", raising=False)
    with pytest.raises(NotHere, match="no_such_package is not installed here: set NO_SUCH_PYTHON to a Python"):
        _ = ABSENT.python


def test_a_variable_that_names_no_program_is_a_reason(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_SUCH_PYTHON", str(tmp_path / "python"))
    with pytest.raises(NotHere, match=r"NO_SUCH_PYTHON is '.*python', which is no program"):
        _ = ABSENT.python


def test_this_python_serves_where_it_has_the_package_and_the_variable_comes_first(monkeypatch):
    monkeypatch.delenv("NO_SUCH_PYTHON", raising=False)
    assert Environment("torch", "NO_SUCH_PYTHON").python == sys.executable
    monkeypatch.setenv("NO_SUCH_PYTHON", "/bin/sh")
    assert Environment("torch", "NO_SUCH_PYTHON").python == "/bin/sh"


def test_a_script_that_fails_is_a_failure_with_what_it_said(monkeypatch):
    monkeypatch.setenv("NO_SUCH_PYTHON", sys.executable)
    with pytest.raises(FailureError, match=r"run_nothing\.py failed with 2: .*No such file"):
        ABSENT.run("run_nothing.py")


def test_methods_whose_program_is_not_there_are_skipped_with_the_reason_and_leave_nothing(
    tmp_path, monkeypatch, capsys
):
    for variable in ("MERGEKIT_PYTHON", "FUSION_BENCH_PYTHON"):
        monkeypatch.setenv(variable, "/nowhere/python")
    setting = tiny_setting(tmp_path)
    methods = peers(True)
    assert len(methods) == 6
    for method in methods:
        assert run_method(setting, tmp_path, method)
    said = capsys.readouterr().out.splitlines()
    assert sum("skipped, MERGEKIT_PYTHON is '/nowhere/python'" in line for line in said) == 4
    assert sum("skipped, FUSION_BENCH_PYTHON is '/nowhere/python'" in line for line in said) == 2
    assert not (tmp_path / "methods").exists()
    assert not (tmp_path / "tuned").exists()
    assert not (tmp_path / "failures").exists()


def test_differences_of_models_with_known_answers():
    base = {"w": torch.zeros(4), "n": torch.tensor([1, 2])}
    ours = [{"w": torch.tensor([2.0, 0, 0, 0]), "n": base["n"]}, {"w": torch.tensor([0, 0, 4.0, 0]), "n": base["n"]}]
    theirs = [{"w": torch.tensor([2.0, 0, 0, 1.0]), "n": base["n"]}, {"w": ours[1]["w"].clone(), "n": base["n"]}]
    assert differences(iter(theirs), iter(ours), base) == {
        "largest_difference": 1.0,
        "largest_update": 4.0,
        "differing_share": 1 / 8,
        "relative_difference": pytest.approx((1 / 20) ** 0.5),
    }
    assert differences(iter(ours), iter(ours), base)["differing_share"] == 0


def test_a_number_that_is_not_finite_differs():
    base, ours = {"w": torch.zeros(2)}, {"w": torch.ones(2)}
    found = differences(iter([{"w": torch.tensor([1.0, float("nan")])}]), iter([ours]), base)
    assert found["largest_difference"] == float("inf")
    assert found["differing_share"] == 0.5
