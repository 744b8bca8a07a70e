"""The legend names what is in the picture, and nothing that is not."""

import dataclasses

import pytest

from paretomerge.reports.figure_plan import plan_figure
from paretomerge.reports.legend import legend_handles

pytest.importorskip("matplotlib")


def labels(data, kind=None) -> list[str]:
    return [handle.get_label() for handle in legend_handles(plan_figure(data, None, kind, 6.75))]


def test_a_scatter_of_everything(make_data):
    assert labels(make_data(2, full=True)) == [
        "predicted",
        "merged",
        "jointly finetuned",
        "front",
        "90 % of fronts",
        "same weighting",
        "95 % interval",
        "chosen",
    ]


def test_maps_have_the_front_as_dots(make_data):
    assert labels(make_data(3)) == ["predicted", "merged", "jointly finetuned", "on the front", "chosen"]


def test_what_is_missing_is_not_named(make_data):
    data = make_data(2)
    merged = data.scores.take([row for row, word in enumerate(data.scores.origin) if word == "merged"])
    exact = dataclasses.replace(merged, stderr=merged.stderr * 0)
    assert labels(type(data).of_scores(exact)) == ["merged"]
    assert labels(type(data).of_scores(merged)) == ["merged", "95 % interval"]
    assert labels(data, "parallel") == ["predicted", "merged", "jointly finetuned", "chosen"]
