"""What scores and fronts print in a terminal."""

from __future__ import annotations

import numpy as np

from paretomerge.types import Front, Objective, Scores


def scores_of(objectives: int, count: int = 2, tasks: int = 2, name: str = "o{}") -> Scores:
    chosen = tuple(Objective(name.format(m)) for m in range(objectives))
    values = np.arange(count * objectives, dtype=float).reshape(count, objectives)
    names = tuple(f"t{t}" for t in range(tasks))
    return Scores(names, np.zeros((count, tasks)), values, np.zeros_like(values), chosen, "merged")


def test_scores_say_how_many_from_where_and_in_which_range():
    losses = (Objective("a", unit="nats"), Objective("b", "maximise"))
    scores = Scores(
        ("x", "y"), np.eye(2), [[0.25, 12.0], [0.125, 3.5]], np.zeros((2, 2)), losses, ("merged", "trained")
    )
    assert repr(scores) == (
        "Scores of 2 models (1 merged, 1 trained) over the weights of x, y\n"
        "  a [nats], lower is better: 0.125 to 0.25\n"
        "  b, higher is better: 3.5 to 12"
    )


def test_a_front_is_called_a_front_of_points():
    front = Front(("x",), [[1.0]], [[1.0]], [[0.0]], (Objective("a"),), [2.0], "predicted")
    assert repr(front).splitlines()[0] == "Front of 1 point (1 predicted) over the weights of x"


def test_no_models_have_no_range():
    assert repr(scores_of(1, count=0)) == "Scores of 0 models over the weights of t0, t1\n  o0, lower is better"


def test_long_lists_are_counted():
    lines = repr(scores_of(10, tasks=9)).splitlines()
    assert lines[0].endswith("over the weights of t0, t1, t2, t3, t4, t5, t6, t7 and 1 more")
    assert len(lines) == 10
    assert lines[-1] == "  and 2 more objectives"


def test_names_cannot_control_the_terminal():
    shown = repr(scores_of(1, name="\x1b[31m" + "long" * 20))
    assert "\x1b" not in shown
    assert "longlong" in shown
    assert max(map(len, shown.splitlines())) < 100
