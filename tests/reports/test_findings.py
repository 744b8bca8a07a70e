"""Diagnoses and verification, as sections of the page."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from paretomerge.diagnoses import Diagnosis
from paretomerge.errors import DataError
from paretomerge.reports import Intervals, ReportData, Verified
from paretomerge.reports.embed import payload
from paretomerge.reports.findings import diagnoses_html, verification_columns, verification_html
from paretomerge.types import Objective, Scores

LOSSES = (Objective("loss[a]", unit="nats", task="a", metric="loss"), Objective("loss[b]", task="b", metric="loss"))


def scores(values, stderr, origin) -> Scores:
    return Scores(("a", "b"), [[0.25, 0.75], [0.5, 0.5]], values, stderr, LOSSES, origin)


@pytest.fixture
def verified() -> Verified:
    previews = scores([[0.30, 0.8], [0.45, 0.6]], [[0.03, 0.01], [0.03, 0.01]], "merged")
    truths = scores([[0.25, 0.9], [0.45, 0.6]], [[0.04, 0.0], [0.04, 0.0]], "trained")
    width, inside = np.full((2, 2), 0.07), np.array([[True, False], [True, True]])
    before = Intervals(previews.values, previews.values - width, previews.values + width, inside)
    guess = truths.values + np.array([[0.0, 0.02], [-0.001, -0.00001]])
    after = Intervals(guess, guess - width, guess + width, ~inside)
    return Verified(previews, truths, before, after, 0.8, (0, 4), ["it holds"])


def test_every_verified_weighting_and_objective_has_a_row_with_its_error(verified):
    found = verification_columns(verified, LOSSES)
    assert [column.name for column in found] == [
        *("a / b", "objective", "preview", "jointly finetuned", "error", "inside 80 %"),
        *("recalibrated without it", "error then", "inside 80 %"),
    ]
    weights, names, preview, truth, error, inside, guess, left, within = found
    assert weights.cells == ("0.25/0.75", "0.25/0.75", "0.50/0.50", "0.50/0.50")
    assert names.cells == ("a loss [nats]", "b loss", "a loss [nats]", "b loss")
    assert preview.cells[:2] == ("0.300 ± 0.059", "0.800 ± 0.020")
    assert truth.cells[:2] == ("0.250 ± 0.078", "0.900")
    assert error.cells == ("+0.050", "-0.100", "0.000", "0.000")
    assert error.keys == pytest.approx((0.05, -0.1, 0.0, 0.0))
    assert inside.cells == ("yes", "no", "yes", "yes")
    assert guess.cells == ("0.250", "0.920", "0.449", "0.600")
    assert left.cells == ("0.000", "+0.020", "-0.001", "0.000")
    assert within.cells == ("no", "yes", "no", "no")


def test_without_intervals_there_are_preview_and_truth_alone(verified):
    bare = Verified(verified.previews, verified.truths)
    assert len(verification_columns(bare, LOSSES)) == 5
    assert payload(with_scores(bare))["verified"][0]["recalibrated"] == []
    assert "survive" not in verification_html(dataclasses.replace(with_scores(bare), verification=bare))


def with_scores(verified: Verified) -> ReportData:
    both = Scores.concatenate([verified.previews, verified.truths])
    return dataclasses.replace(ReportData.of_scores(both), verification=verified)


def test_only_the_objectives_of_the_front_are_shown(verified):
    assert verification_columns(verified, LOSSES[1:])[1].cells == ("b loss", "b loss")
    assert verification_columns(verified, [Objective("other")])[0].cells == ()


def test_the_section_has_a_table_a_place_for_the_chart_and_the_sentences(verified):
    data = with_scores(verified)
    text = verification_html(data)
    assert 'id="verified"' in text
    assert "<li>it holds</li>" in text
    assert text.count("<tr>") == 5
    assert "<summary>The 2 points of the front that survive</summary><p>0, 4</p>" in text
    [one, other] = payload(data)["verified"]
    assert (one["name"], one["truth"], one["preview_half"]) == ("a loss", [0.25, 0.45], [1.96 * 0.03] * 2)
    assert one["recalibrated"] == pytest.approx([0.25, 0.449])
    assert other["preview"] == [0.8, 0.6]
    empty = Verified(verified.previews.take([]), verified.truths.take([]))
    assert verification_html(dataclasses.replace(data, verification=empty)) == ""
    assert verification_html(dataclasses.replace(data, verification=None)) == ""
    assert payload(dataclasses.replace(data, verification=None))["verified"] == []


def test_previews_and_truths_of_different_weightings_are_refused(verified):
    with pytest.raises(DataError, match="of different weightings"):
        Verified(verified.previews, verified.truths.take([1, 0]))
    with pytest.raises(DataError, match="same tasks, objectives and weightings"):
        Verified(verified.previews, verified.truths.columns([0]))
    with pytest.raises(DataError, match="same tasks, objectives and weightings"):
        Verified(verified.previews, verified.truths.take([0]))
    one = Intervals(*(np.ones((1, 2)) for _ in range(4)))
    with pytest.raises(DataError, match=r"intervals have shape \[1, 2\], expected \[2, 2\]"):
        Verified(verified.previews, verified.truths, one)


def test_a_diagnosis_says_what_was_seen_what_to_try_and_the_numbers():
    found = [
        Diagnosis("conflict", "warning", "a <b> conflict", "Verify & see", {"cosine_of": -0.25004, "n": 3.0}),
        Diagnosis("power", "note", "30 examples tell little.", "more"),
    ]
    text = diagnoses_html(found)
    assert '<li class="warning"><p class="seen"><strong>Warning.</strong> A &lt;b&gt; conflict.</p>' in text
    assert "<p>Try: Verify &amp; see.</p>" in text
    assert "cosine of -0.25, n 3" in text
    assert '<li class="note">' in text
    assert "30 examples tell little.</p>" in text
    assert text.count("<li") == 2
    assert diagnoses_html([]) == ""


def test_what_belongs_to_another_front_or_other_tasks_is_refused(make_data, verified):
    data = make_data(2, full=True)
    with pytest.raises(DataError, match="uncertainty is of another front"):
        dataclasses.replace(data, front=data.joint_front)
    with pytest.raises(DataError, match="uncertainty is of another front"):
        dataclasses.replace(data, front=None)
    with pytest.raises(DataError, match="the verification has the tasks a, b, the scores have movie, amazon"):
        dataclasses.replace(data, verification=verified)
    other = make_data(3, full=True).joint_front
    with pytest.raises(DataError, match="the joint front has objectives that the scores lack: tweets"):
        dataclasses.replace(data, joint_front=other)


def test_a_long_list_of_verified_weightings_is_cut():
    count = 150
    weights = np.tile([[0.5, 0.5]], (count, 1))
    many = [
        Scores(("a", "b"), weights, np.ones((count, 2)), np.zeros((count, 2)), LOSSES, o) for o in ("merged", "trained")
    ]
    assert len(verification_columns(Verified(*many), LOSSES)[0].cells) == 200


def test_diagnoses_that_differ_in_a_name_and_numbers_only_are_said_once_with_all_their_numbers():
    several = [
        Diagnosis("power", "note", f"{name}: {number} examples tell little", "score on more", {"needed": number})
        for name, number in (("a", 30), ("b", 50))
    ]
    other = Diagnosis("power", "warning", "a: 30 examples tell little", "score on more")
    text = diagnoses_html([other, *several], ["a", "b"])
    assert text.count("<li") == 2
    assert "A and b: 30 and 50 examples tell little." in text
    assert "needed 30; needed 50" in text
    assert text.index('class="warning"') < text.index('class="note"')
