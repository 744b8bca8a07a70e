from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from paretomerge.problems import Columns, probe_columns
from paretomerge.problems.tables import table_of

WORDS = ["a", "fine", "film", "with", "poor", "plot", "and", "good", "actors", "not", "very", "bad", "at", "all"]


def _sentence(number: int, words: int = 8) -> str:
    draw = random.Random(number * 100 + words)
    return " ".join(draw.choice(WORDS) for _ in range(words))


def _probe(make: Any, count: int = 50) -> dict[str, str]:
    """The roles that were found."""
    found = probe_columns(table_of([make(number) for number in range(count)], "mine"))
    roles = {role: getattr(found, role) for role in Columns.__dataclass_fields__ if role != "why"}
    assert set(found.why) == {role for role, name in roles.items() if name is not None}
    return {role: name for role, name in roles.items() if name is not None}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda n: {"idx": n, "sentence": _sentence(n), "label": n % 2}, {"text": "sentence", "label": "label"}),
        (lambda n: {"Review": _sentence(n), "Sentiment": "ab"[n % 2]}, {"text": "Review", "label": "Sentiment"}),
        (
            lambda n: {"premise": _sentence(n), "hypothesis": _sentence(n, 4), "label": n % 3},
            {"text": "premise", "text_pair": "hypothesis", "label": "label"},
        ),
        (lambda n: {"label": _sentence(n), "text": _sentence(n, 3), "s": n % 5}, {"text": "text", "label": "s"}),
        (lambda n: {"n": n, "phrase": _sentence(n), "mood": "ab"[n % 2]}, {"text": "phrase", "label": "mood"}),
        (lambda n: {"text": WORDS[n % 14], "label": "ab"[n % 2]}, {"label": "label"}),
        (lambda n: {"phrase": _sentence(n), "idx": n % 2, "mood": n % 3}, {"text": "phrase", "label": "mood"}),
        (lambda n: {"text": _sentence(n), "label": n / 7}, {"text": "text"}),
        (lambda n: {"text": _sentence(n), "label": n % 2 if n else None}, {"text": "text", "label": "label"}),
    ],
)  # fmt: skip
def test_texts_and_labels_are_found_by_name_then_by_value(make: Any, expected: dict[str, str]) -> None:
    found = _probe(make)
    assert {role: name for role, name in found.items() if role not in ("response", "prompt")} == expected


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda n: {"prompt": _sentence(n), "response": "yes"}, ("prompt", "response")),
        (lambda n: {"instruction": _sentence(n), "output": _sentence(n, 3)}, ("instruction", "output")),
        (lambda n: {"q": _sentence(n), "a": _sentence(n, 3)}, ("q", "a")),
        (lambda n: {"text": _sentence(n)}, (None, "text")),
        (lambda n: {"content": _sentence(n), "label": n % 2}, (None, "content")),
        (lambda n: {"n": n}, (None, None)),
    ],
)
def test_prompts_and_responses_are_found(make: Any, expected: tuple[str | None, str | None]) -> None:
    found = _probe(make)
    assert (found.get("prompt"), found.get("response")) == expected


@pytest.mark.parametrize(
    ("make", "image"),
    [
        (lambda n: {"image": {"bytes": b"x", "path": None}, "label": n % 5}, "image"),
        (lambda n: {"picture": b"x", "label": n % 5}, "picture"),
        (lambda n: {"where": f"{n}.PNG", "label": n % 5}, "where"),
        (lambda n: {"file_name": f"{n}.jpg", "label": n % 5}, "file_name"),
        (lambda n: {"image": f"words {n}", "label": n % 5}, None),
    ],
)
def test_images_are_found_encoded_and_as_paths(make: Any, image: str | None) -> None:
    found = _probe(make)
    assert found.get("image") == image
    assert found["label"] == "label"
    assert image is None or "text" not in found


def test_choices_and_the_right_one_are_found() -> None:
    found = _probe(lambda n: {"question": _sentence(n), "options": ["yes", "no"], "answer": n % 2})
    assert (found["choices"], found["answer"], found["prompt"]) == ("options", "answer", "question")
    assert "answer" not in _probe(lambda n: {"question": _sentence(n), "answer": "yes"})


def test_a_parquet_table_is_probed_with_its_class_names(tmp_path: Path) -> None:
    """A `ClassLabel` is a label, however often it repeats, and only the first rows are read."""
    datasets = pytest.importorskip("datasets", reason="the optional extra data is not installed")
    from paretomerge.problems import read_sample

    rows = {"words": [_sentence(n) for n in range(3)], "kind": [0, 1, 2]}
    kinds = datasets.ClassLabel(names=["a", "b", "c"])
    features = datasets.Features({"words": datasets.Value("string"), "kind": kinds})
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train.parquet")
    found = probe_columns(read_sample(tmp_path))
    assert (found.text, found.label) == ("words", "kind")
