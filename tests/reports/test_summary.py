"""The page's summary says how sure the front is and what to do next."""

import dataclasses
import html
import re

import numpy as np
import pytest

from paretomerge.reports import Intervals, ReportData, Verified
from paretomerge.reports.summary import next_steps, summary_html, sureness, warnings_html


@pytest.fixture
def data(make_data):
    return make_data(3, full=True)


def test_sureness_counts_what_is_predicted_measured_verified_and_warned(data):
    words = [re.sub("<[^>]*>", "", sentence) for sentence in sureness(data)]
    merged = data.scores.origin.count("merged")
    assert words[0] == f"All {len(data.front)} points of the front are predicted, from {merged} measured merged models."
    beaten = "probability no other point of the front beats the chosen one on everything."
    assert words[1] == f"With more than 99\u00a0% {beaten}"
    doubted = np.where(np.arange(len(data.front)) == data.choice.id, 0.734, data.uncertainty.nondominated)
    unsure = dataclasses.replace(data, uncertainty=dataclasses.replace(data.uncertainty, nondominated=doubted))
    assert sureness(unsure)[1] == f"With 73\u00a0% {beaten}"
    assert words[2] == f"Held against {len(data.verification.truths)} jointly finetuned models."
    assert words[3] == "1 diagnosis warns that the preview may fail."


def test_intervals_of_previews_and_recalibration_are_counted_each(data):
    truths = data.verification.truths
    inside = np.zeros(truths.values.shape, bool)
    inside[0] = True
    before = Intervals(truths.values, truths.values, truths.values, inside)
    after = Intervals(truths.values, truths.values, truths.values, ~inside)
    verified = Verified(data.verification.previews, truths, before, after, 0.9)
    said = next(word for word in sureness(dataclasses.replace(data, verification=verified)) if "Held" in word)
    total = truths.values.size
    assert f": 3 of {total} scores in the previews' 90\u00a0% intervals, {total - 3} of {total} scores in the " in said


def test_a_measured_front_and_a_run_without_verification_say_so(data):
    measured = dataclasses.replace(data.front, origin=("merged",) * len(data.front))
    plain = dataclasses.replace(data, front=measured, verification=None, uncertainty=None, diagnoses=(), choice=None)
    assert sureness(plain) == [
        f"All {len(measured)} points of the front are measured.",
        "The charts show 6 jointly finetuned models beside the previews.",
    ]
    untrained = [row for row, origin in enumerate(data.scores.origin) if origin != "trained"]
    assert sureness(dataclasses.replace(plain, scores=data.scores.take(untrained)))[1] == (
        "Nothing is verified: no preview was held against a jointly finetuned model."
    )


def commands(data):
    return [command for _, command in next_steps(data)]


def test_next_steps_follow_what_is_done_already(data):
    export = "paretomerge export 'runs/a b' merged --point chosen"
    verify = "paretomerge verify 'runs/a b' --points 3"
    choose = "paretomerge choose 'runs/a b' --knee"
    assert commands(data) == [export]
    assert commands(dataclasses.replace(data, verification=None)) == [verify, export]
    assert commands(dataclasses.replace(data, verification=None, choice=None)) == [choose, verify]
    assert commands(dataclasses.replace(data, landscape=None)) == [export, "paretomerge front 'runs/a b'"]
    assert commands(dataclasses.replace(data, run="")) == []


def test_a_run_whose_name_cannot_be_typed_is_called_run(data):
    assert commands(dataclasses.replace(data, run="a\nb")) == ["paretomerge export RUN merged --point chosen"]


def test_scores_alone_have_no_summary(data):
    alone = ReportData.of_scores(data.scores)
    assert summary_html(dataclasses.replace(alone, verification=None)).count("<h3") <= 1
    assert "What next" not in summary_html(alone)


def test_warnings_are_folded_and_escaped(data):
    text = warnings_html(["movie: R² 0.1 <b>", "amazon: R² 0.2 <b>", "few"], data)
    assert html.unescape(text).count("<li>") == 2
    assert "movie and amazon: R² 0.1 and 0.2 &lt;b&gt;" in text
    assert ">Warnings</h3>" in text
    assert warnings_html([], data) == ""


def test_more_warnings_join_those_of_the_run(data):
    assert "something was left out" in summary_html(data, ["something was left out"])
