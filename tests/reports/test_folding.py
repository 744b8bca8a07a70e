"""Sentences that repeat each other are said once, and nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st

from paretomerge.reports.folding import folded


def texts(sentences, names):
    return [text for text, _ in folded(sentences, names)]


def test_the_same_of_several_names_is_said_once_with_every_number():
    sentences = [f"loss[{name}]: R² {number} of 4 scores" for name, number in (("a", -0.2), ("b", -0.58), ("c", 1e-05))]
    assert folded(sentences, ["a", "b", "c", "loss[a]", "loss[b]", "loss[c]"]) == [
        ("loss[a], loss[b] and loss[c]: R² -0.2, -0.58 and 1e-05 of 4 scores", [0, 1, 2])
    ]


def test_exact_repetitions_are_said_once_and_the_order_stays():
    assert folded(["x", "y 1", "x"], []) == [("x", [0, 2]), ("y 1", [1])]


def test_other_numbers_of_the_same_thing_stay_apart():
    assert texts(["a lost 3 points", "a lost 5 points"], ["a"]) == ["a lost 3 points", "a lost 5 points"]
    assert texts(["3 lost", "5 lost"], []) == ["3 lost", "5 lost"]


def test_names_are_whole_words_and_the_longest_wins():
    assert texts(["movie is far", "movies is far"], ["movie"]) == ["movie is far", "movies is far"]
    assert texts(["a b is far", "a is far"], ["a", "a b"]) == ["a b and a is far"]


def test_names_that_look_like_patterns_or_numbers_are_names():
    assert texts(["(.*: far", "[x]: far"], ["(.*", "[x]"]) == ["(.* and [x]: far"]
    assert texts(["task 1: far", "task 2: far"], ["task 1", "task 2"]) == ["task 1 and task 2: far"]


@given(st.lists(st.text("ab 12.-", max_size=12), max_size=8))
def test_every_sentence_is_accounted_for_once(sentences):
    found = folded(sentences, ["a", "b"])
    assert sorted(number for _, numbers in found for number in numbers) == list(range(len(sentences)))
    for text, numbers in found:
        if len(numbers) == 1:
            assert text == sentences[numbers[0]]
