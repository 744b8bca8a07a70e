"""What the chooser embeds: every point with its interval and alternatives, and names as the command line takes them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from paretomerge.choices.choice import choice_of
from paretomerge.reports import embed
from paretomerge.reports.chooser import MOST_NUMBERS, chooser_of
from paretomerge.reports.embed import payload
from paretomerge.types import Front, Objective


def front_of(objectives: tuple[Objective, ...], tasks: tuple[str, ...] = ("a", "b"), count: int = 5) -> Front:
    along = np.linspace(0, 1, count)
    columns = [along if j % 2 == 0 else 1 - along for j in range(len(objectives))]
    values = np.stack(columns, axis=1) * [objective.sign for objective in objectives]
    weights = np.stack([along, 1 - along], axis=1)
    return Front(tasks, weights, values, np.full_like(values, 0.1), objectives, values[0], ("merged",) * count)


def test_every_point_has_the_interval_and_the_alternatives_that_python_gives(make_data):
    data = make_data(3, full=True)
    merged, joint = payload(data)["chooser"]["fronts"]
    for point in range(len(data.front)):
        choice = choice_of(data.front, point, "", data.uncertainty)
        assert merged["alternatives"][point] == [other.point.id for other in choice.alternatives]
        np.testing.assert_allclose(merged["intervals"][point], list(choice.interval.values()), rtol=1e-5)
        assert merged["nondominated"][point] == choice.probability_nondominated
    assert merged["level"] == data.uncertainty.level
    assert merged["values"] == data.front.values.tolist()
    assert (joint["nondominated"], joint["flag"], merged["flag"]) == (None, " --joint", "")
    assert joint["values"] == data.joint_front.values.tolist()


def test_points_are_found_again_among_those_of_the_charts(make_data):
    data = make_data(3, full=True)
    document = payload(data)
    merged, joint = document["chooser"]["fronts"]
    shown = [document["points"]["values"][row] for row in merged["rows"]]
    assert [values[:3] for values in shown] == data.front.values.tolist()
    assert set(joint["rows"]) == {None}
    assert document["chooser"]["chosen"] == {"front": 0, "point": data.choice.id, "rule": "best on movie"}


def test_points_that_were_left_out_of_the_charts_stay_in_the_chooser(make_data, monkeypatch):
    data = make_data(3, full=True)
    whole = len(json.dumps(payload(data)["chooser"]))
    monkeypatch.setattr(embed, "MOST_BYTES", whole + 9_000)
    document = payload(data)
    assert document["left_out"] > 0
    rows = document["chooser"]["fronts"][0]["rows"]
    assert len(rows) == len(data.front)
    shown = {point: document["points"]["values"][row] for point, row in enumerate(rows) if row is not None}
    assert 0 < len(shown) < len(rows)
    for point, values in shown.items():
        assert values[:3] == data.front.values[point].tolist()


def test_the_choice_is_looked_for_on_the_joint_front_too(make_data):
    data = make_data(2, full=True)
    kept = [point for point in range(len(data.front)) if point % 2]
    parts = (part[kept] for part in (data.front.weights, data.front.values, data.front.stdev))
    front = Front(data.front.tasks, *parts, data.front.objectives, data.front.reference, ("predicted",) * len(kept))
    changed = dataclasses.replace(data, front=front, uncertainty=None, choice=data.joint_front[1])
    assert payload(changed)["chooser"]["chosen"] == {"front": 1, "point": 1, "rule": "best on movie"}
    far = dataclasses.replace(data.choice, weights={"movie": 0.123, "amazon": 0.877})
    assert payload(dataclasses.replace(data, choice=far))["chooser"]["chosen"] is None


def test_objectives_go_by_their_task_where_it_has_no_other_and_names_the_command_line_cannot_take_have_none(make_data):
    objectives = (
        Objective("loss a", task="a"),
        Objective("speed", "maximise", task="b"),
        Objective("size", task="b"),
        Objective("x,y", task="c,d"),
        Objective("b", task="e"),
    )
    data = dataclasses.replace(make_data(2), front=None, choice=None)
    object.__setattr__(data, "front", front_of(objectives))
    object.__setattr__(data, "scores", data.front.scores)
    found = chooser_of(data, [None] * 5)
    assert found is not None
    [front] = found["fronts"]
    assert front["columns"] == [0, 1, 2, 3, 4]
    assert front["options"] == ["a", "speed", "size", None, "e"]
    assert front["lower"] == [True, False, True, True, True]


@pytest.mark.parametrize(
    ("run", "command"),
    [("run", "choose run"), ("a b/it's", "choose 'a b/it'\"'\"'s'"), ("", "choose RUN"), ("a\nb", "choose RUN")],
)
def test_the_command_names_the_run_as_a_shell_reads_it(make_data, run, command):
    data = dataclasses.replace(make_data(2), run=run)
    found = chooser_of(data, [None] * len(data.front))
    assert found["command"] == f"paretomerge {command}"
    assert found["export"] == f"paretomerge {command.replace('choose', 'export')} merged"


def test_nothing_to_choose_from_or_too_much_for_a_page_leaves_no_chooser(make_data):
    data = make_data(2)
    assert payload(dataclasses.replace(data, front=None, choice=None))["chooser"] is None
    count = MOST_NUMBERS // 8
    objectives = (Objective("a", task="a"), Objective("b", task="b"))
    for points, there in ((count, True), (count + 1, False)):
        object.__setattr__(data, "front", front_of(objectives, count=points))
        object.__setattr__(data, "scores", data.front.scores)
        object.__setattr__(data, "choice", None)
        found = chooser_of(data, [None] * points)
        assert (found is not None) is there
        assert len(json.dumps(found)) < 400_000
