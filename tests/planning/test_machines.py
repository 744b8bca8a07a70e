from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from tests.planning.machines import CLUSTER, ROUND

from paretomerge.errors import InputError
from paretomerge.planning import EXAMPLES, Cluster, example_cluster


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_survives_its_file(name: str) -> None:
    """What `as_dict` writes is read back the same."""
    cluster = example_cluster(name)
    assert Cluster.parse(yaml.safe_load(yaml.safe_dump(cluster.as_dict()))) == cluster


def test_a_file_starts_from_an_example_and_replaces_what_it_says() -> None:
    """Quantities are text with units, numbers of SI units, or mappings of them."""
    content = yaml.safe_load("{like: 8xh100, machines: 125, price: 20, memory: 141 GB, flops: {bfloat16: 500 TFLOP/s}}")
    found = Cluster.parse(content)
    assert (found.machines, found.devices, found.price) == (125, 1000, 2500.0)
    assert found.machine.memory == 141e9
    assert found.machine.flops == {"bfloat16": 5e14}
    assert found.machine.read == EXAMPLES["8xh100"].machine.read


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1]", "expected a mapping"),
        ("like: 8xh10", "did you mean '8xh100'"),
        ("{like: 8xh100, memroy: 3}", "did you mean 'memory'"),
        ("{devices: 3}", "'flops' is missing"),
        ("{like: 8xh100, memory: lots}", "'80 GB'"),
        ("{like: 8xh100, memory: [1]}", "'80 GB'"),
        ("{like: 8xh100, memory: true}", "'80 GB'"),
        ("{like: 8xh100, memory: 1..2 GB}", "expected a"),
        ("{like: 8xh100, memory: -3}", "positive"),
        ("{like: 8xh100, read: 0}", "positive"),
        ("{like: 8xh100, price: .nan}", "positive"),
        ("{like: 8xh100, flops: 3}", "expected a mapping"),
        ("{like: 8xh100, flops: {}}", "names no dtype"),
        ("{like: 8xh100, flops: {float32: 0}}", "flops float32"),
        ("{like: 8xh100, machines: 1.5}", "whole number"),
        ("{like: 8xh100, machines: 0}", "at least one machine"),
        ("{like: 8xh100, devices: 0}", "at least 1"),
    ],
)
def test_a_bad_file_is_refused_with_its_reason(content: str, said: str) -> None:
    """Never a traceback of somebody else's."""
    with pytest.raises(InputError, match=said):
        Cluster.parse(yaml.safe_load(content), "cluster.yaml")


def test_half_precisions_stand_for_each_other_and_float64_is_half_as_fast() -> None:
    """What a description leaves out."""
    assert ROUND.flops_of("float16") == ROUND.flops_of("bfloat16") == 4e12
    assert ROUND.flops_of("float64") == 5e11
    only_half: Any = replace(ROUND, flops={"bfloat16": 1e12})
    with pytest.raises(InputError, match="says nothing of float32"):
        only_half.flops_of("float32")


def test_a_cluster_has_the_devices_and_the_price_of_its_machines() -> None:
    """Two machines of four devices."""
    assert (CLUSTER.devices, CLUSTER.price) == (8, 7.2)
    assert not ROUND.shares_memory
    assert replace(ROUND, memory=1e11).shares_memory
