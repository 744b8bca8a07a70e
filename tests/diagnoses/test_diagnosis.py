from __future__ import annotations

import json

from paretomerge.diagnoses import Diagnosis, gravest_first


def test_a_diagnosis_survives_json() -> None:
    found = Diagnosis("barrier", "warning", "a wall", "walk around", {"height": 0.5}, ("a", "b"))
    assert Diagnosis.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_text_says_what_was_seen_and_what_to_try() -> None:
    assert str(Diagnosis("power", "note", "few examples", "more")) == "few examples. Try: more"


def test_warnings_come_first_and_the_rest_stays_in_order() -> None:
    found = [
        Diagnosis("power", severity, name, "") for name, severity in zip("abcd", ("note", "warning") * 2, strict=True)
    ]  # type: ignore[arg-type]
    assert [each.message for each in gravest_first(found)] == ["b", "d", "a", "c"]
