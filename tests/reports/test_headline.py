"""The one-sentence result says what was measured and what was not."""

import dataclasses

import pytest

from paretomerge.reports.headline import headline, weights_text


def test_a_predicted_choice_is_said_to_be_not_measured(make_data):
    data = make_data(2)
    value = data.choice.values["movie"]
    sentence = headline(data)
    assert sentence.startswith("The chosen weighting (movie ")
    assert "is predicted (not measured) to reach" in sentence
    assert f"movie loss {value:.3f} ± 0.012 nats" in sentence


def test_the_interval_of_a_chosen_point_is_that_of_its_uncertainty(make_data):
    data = make_data(2, full=True)
    row = data.choice.id
    low, high = data.uncertainty.lower[row, 0], data.uncertainty.upper[row, 0]
    sentence = headline(data)
    assert f"movie loss {data.choice.values['movie']:.3f} [{low:.3f}, {high:.3f}] nats" in sentence
    assert sentence.endswith("(90 % intervals in brackets).")


def test_a_choice_that_was_scored_again_keeps_its_own_interval(make_data):
    data = make_data(2, full=True)
    measured = dataclasses.replace(data.choice, origin="merged")
    assert "±" in headline(dataclasses.replace(data, choice=measured))


@pytest.mark.parametrize(("origin", "words"), [("merged", "merged model"), ("trained", "jointly finetuned model")])
def test_a_measured_choice_says_on_which_model(make_data, origin, words):
    data = make_data(2)
    sentence = headline(dataclasses.replace(data, choice=dataclasses.replace(data.choice, origin=origin)))
    assert f"measured on the {words}" in sentence
    assert "predicted" not in sentence


def test_without_a_choice_the_front_is_counted(make_data):
    data = dataclasses.replace(make_data(2), choice=None)
    assert headline(data) == (
        f"The front over movie loss and amazon loss has {len(data.front)} trade-offs: {len(data.front)} predicted."
    )


def test_without_a_front_the_models_are_counted_by_origin(make_data):
    data = dataclasses.replace(make_data(2), choice=None, front=None)
    assert headline(data).endswith("21 predicted, 5 merged, 5 jointly finetuned. No front yet.")


def test_without_scores_it_says_so(make_data):
    data = make_data(2)
    empty = dataclasses.replace(data, scores=data.scores.take([]), front=None, choice=None)
    assert headline(empty) == "No model has been scored on movie loss and amazon loss yet."


def test_many_weights_are_summed_up_largest_first():
    assert weights_text({"a": 0.1, "b": 0.3, "c": 0.2, "d": 0.25, "e": 0.15}) == (
        "b 0.30, d 0.25, c 0.20, e 0.15, and 1 more"
    )
    assert weights_text({"a": 0.0, "b": 0.4, "c": 0.6, "d": 0.0, "e": 0.0}) == "c 0.60, b 0.40, the others 0"
