from __future__ import annotations

from pathlib import Path

from tests.tiny import invoke, recipe_of, write_recipe

FLAT = {"family": "diagonal", "damping": 0.1}
"""Curvature at finetunes, in a metric without coupling: far too flat for these tasks."""


def test_every_sign_is_printed_with_its_remedy(own: Path) -> None:
    answer = invoke("diagnose", own / "recipe.yaml")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert any(line.startswith("note: sums and signs conflict: ") for line in lines)
    remedies = [line for line in lines if line.startswith("  try: ")]
    assert len(remedies) == sum(line.startswith(("note: ", "warning: ")) for line in lines)
    assert "a preview without any can still be wrong" in lines[-2]
    assert lines[-1] == f"next: paretomerge verify {own / 'recipe-run'} --points 1"


def test_json_has_the_numbers(own: Path) -> None:
    found = invoke("diagnose", own / "recipe.yaml", "--json").json
    assert found["run"] == str(own / "recipe-run")
    conflict = next(each for each in found["diagnoses"] if each["signature"] == "conflict")
    assert set(conflict) == {"signature", "severity", "message", "remedy", "evidence", "tasks"}
    assert -1 <= conflict["evidence"]["cosine"] <= 1


def test_a_run_can_be_diagnosed_for_free(own: Path) -> None:
    invoke("front", own / "recipe.yaml")
    invoke("diagnose", own / "recipe-run", "--free")
    stages = invoke("ledger", own / "recipe-run", "--json")
    if stages.code == 0:  # the ledger's own verb
        assert "diagnose" not in stages.out


def test_a_front_warns_on_standard_error_and_lists_diagnoses_in_json(own: Path) -> None:
    path = write_recipe(own, recipe_of(posterior=FLAT))
    answer = invoke("front", path)
    assert "warning: " in answer.err
    assert "the posterior is too flat. Try: curvature where merges land" in answer.err
    assert "too flat" not in answer.out
    found = invoke("front", path, "--json").json["diagnoses"]
    assert "disagreement" in {each["signature"] for each in found}
    assert answer.err.count("warning: ") >= sum(each["severity"] == "warning" for each in found)


def test_a_run_that_is_none_is_one_message(tmp_path: Path) -> None:
    answer = invoke("diagnose", tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert "Traceback" not in answer.err
