"""How far work is, and when anybody may say how long it still takes."""

from __future__ import annotations

import pytest

from paretomerge.cli.pace import Pace, Step, duration, said


@pytest.mark.parametrize(
    ("message", "done", "total", "stage"),
    [
        ("evaluation 3 of 7", 2, 7, "evaluation"),
        ("evaluation 3 of at most 15", 2, 15, "evaluation"),
        ("joint grid: training 12 of 29 done", 12, 29, "joint grid: training"),
        ("3 of 70 MiB", 3, 70, "work"),
        ("joint finetuning at a=0.25: step 9 of 8, loss 0.5", 7, 8, "joint finetuning at a=#: step"),
        ("gradient of tweets", 0, None, "gradient of tweets"),
        ("point 0 of 0", 0, None, "point # of #"),
    ],
)
def test_messages_that_count(message: str, done: int, total: int | None, stage: str) -> None:
    step = Pace().note(message, 0.0)
    assert (step.message, step.done, step.total, step.stage) == (message, done, total, stage)
    assert step.remaining is None
    assert step.is_ceiling is ("at most" in message)


def test_nothing_is_promised_before_two_items_are_done() -> None:
    pace = Pace()
    assert pace.note("evaluation 1 of 5", 0.0).remaining is None
    assert pace.note("evaluation 2 of 5", 10.0).remaining is None
    assert pace.note("evaluation 3 of 5", 20.0).remaining == 30.0
    assert pace.at(24.0).remaining == 26.0
    assert pace.at(99.0).remaining == 0.0


def test_the_first_item_stops_counting_when_others_tell_more() -> None:
    pace = Pace()
    for number, now in enumerate((0.0, 100.0, 101.0, 102.0), start=1):
        step = pace.note(f"evaluation {number} of 10", now)
    assert step.remaining == 7.0


def test_what_is_recalled_makes_nothing_faster() -> None:
    """A resumed run starts at the seventh item: the six before it took no time in this sitting."""
    pace = Pace()
    for number, now in ((7, 0.0), (8, 10.0), (9, 20.0)):
        step = pace.note(f"evaluation {number} of 10", now)
    assert step.remaining == 20.0


def test_a_stage_that_begins_anew_forgets_its_pace() -> None:
    pace = Pace()
    for number, now in ((1, 0.0), (2, 1.0), (3, 2.0)):
        pace.note(f"batch {number} of 3", now)
    assert pace.note("batch 1 of 3", 50.0).remaining is None


def test_stages_have_a_pace_of_their_own_also_when_they_alternate() -> None:
    pace = Pace()
    for number in range(1, 5):
        pace.note(f"slow {number} of 6", 10.0 * number)
        step = pace.note(f"fast {number} of 6", 10.0 * number + 1)
    assert step.remaining == 30.0
    assert pace.note("looking around", 100.0).remaining is None
    assert pace.at(200.0).remaining is None


def test_the_same_number_twice_is_no_progress() -> None:
    pace = Pace()
    for number, now in ((1, 0.0), (1, 5.0), (2, 10.0), (2, 11.0), (3, 20.0)):
        step = pace.note(f"evaluation {number} of 4", now)
    assert step.remaining == 20.0


def test_words_say_when_it_may_be_less() -> None:
    assert said(Step("evaluation 3 of 7", "evaluation", 2, 7)) == "evaluation 3 of 7"
    assert said(Step("m", "m", 2, 7, False, 100.0)) == "m, about 1.7 min left"
    assert said(Step("m", "m", 2, 7, True, 31.0)) == "m, at most 35 s left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "5 s"),
        (5.0, "5 s"),
        (58.0, "60 s"),
        (59.0, "1.0 min"),
        (596.0, "9.9 min"),
        (5990.0, "100 min"),
        (7200.0, "2.0 h"),
    ],
)
def test_durations_are_no_more_precise_than_an_estimate(seconds: float, text: str) -> None:
    assert duration(seconds) == text
