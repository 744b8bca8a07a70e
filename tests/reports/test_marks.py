"""How origins and objectives are called and told apart."""

import pytest

from paretomerge.reports.marks import MARKS, clean, objective_label
from paretomerge.types import Objective
from paretomerge.types.scores import ORIGINS


def test_every_origin_has_its_own_shape_and_colours():
    assert set(MARKS) == set(ORIGINS)
    for attribute in ("shape", "light", "dark", "label"):
        assert len({getattr(mark, attribute) for mark in MARKS.values()}) == len(ORIGINS)


@pytest.mark.parametrize(
    ("objective", "label"),
    [
        (Objective("movie", metric="loss", unit="nats"), "movie loss [nats], lower is better"),
        (Objective("movie loss", metric="loss"), "movie loss, lower is better"),
        (Objective("accuracy", "maximise"), "accuracy, higher is better"),
    ],
)
def test_an_axis_label_says_name_unit_and_direction(objective, label):
    assert objective_label(objective) == label


def test_clean_removes_control_and_direction_characters():
    assert clean("a\x00b\u202ec\ud800d\ne") == "a b c d e"


def test_clean_cuts_with_an_ellipsis():
    assert clean("x" * 50, 10) == "x" * 9 + "…"
