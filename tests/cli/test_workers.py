from __future__ import annotations

from typing import Any

import pytest
from tests.tiny import invoke

from paretomerge.cli.workers import parse_executor
from paretomerge.distributed import ProcessPool, Ray
from paretomerge.errors import InputError


def test_options_name_an_executor() -> None:
    assert parse_executor(None, None, None, None) is None
    assert parse_executor(None, 3, None, None) == ProcessPool(3)
    assert parse_executor("ray", None, "node:6379", 0.5) == Ray(None, "node:6379", gpus_per_worker=0.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((None, None, "node:6379", None), "--ray-address goes with --executor ray"),
        (("pool", 2, None, 1.0), "--gpus-per-worker goes with --executor ray"),
        (("slurm", None, None, None), "unknown executor 'slurm'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_executor(*given)


@pytest.mark.parametrize("verb", ["front", "fit", "verify"])
def test_verbs_that_work_side_by_side_refuse_a_wrong_executor_before_they_open_anything(verb: str) -> None:
    answer = invoke(verb, "no-such-recipe.yaml", "--executor", "rays")
    assert answer.code == 2
    assert "unknown executor 'rays' (did you mean 'ray'?)" in answer.err
