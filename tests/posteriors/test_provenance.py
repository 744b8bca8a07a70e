from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.errors import PosteriorError
from paretomerge.posteriors import UNITS, Provenance

numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.text(max_size=5),
    st.integers(0, 10**9),
    st.sampled_from(sorted(UNITS)),
    st.none() | numbers.map(abs),
    st.none() | numbers,
)
def test_it_survives_json_to_the_last_bit(route: str, examples: int, units: Any, damping: Any, offset: Any) -> None:
    whole = Provenance(route, "finetune", examples, units, damping=damping, offset=offset, base="b", settings="FitX()")
    assert Provenance.of(json.loads(json.dumps(whole.as_dict()))) == whole


def test_the_scale_in_words_is_that_of_the_units_unless_it_is_told() -> None:
    assert Provenance(units="sum").scale == "curvature of the loss summed over all examples"
    assert Provenance(scale="per token").scale == "per token"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": None}, "location must be text, got None"),
        ({"examples": True}, "examples must be a whole number >= 0, got True"),
        ({"units": "bits"}, "unknown units 'bits'"),
        ({"damping": -1e-9}, "damping must be a finite number >= 0"),
        ({"offset": float("-inf")}, "offset must be a finite number, got -inf"),
        ({"offset": True}, "offset must be a finite number, got True"),
    ],
)
def test_what_cannot_be_meant_is_refused(entries: dict[str, Any], message: str) -> None:
    with pytest.raises(PosteriorError, match=message):
        Provenance(**entries)


def test_entries_of_a_newer_version_are_left_out() -> None:
    assert Provenance.of({"route": "ivon", "colour": "blue"}) == Provenance("ivon")
    with pytest.raises(PosteriorError, match="must be a mapping, got list"):
        Provenance.of([])
