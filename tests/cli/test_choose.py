"""`paretomerge choose`: every way of choosing, and what it answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.tiny import copy_folder, invoke, plain

from paretomerge.choices import (
    ByWeights,
    ChoiceRule,
    Classification,
    Knee,
    MinimumRegret,
    OneStandardError,
    ReferencePoint,
    Thresholds,
)
from paretomerge.recipes import digest_recipe
from paretomerge.stages import choose_point, estimate_run_front, front_of, open_study

SUMS, SIGNS, SWAPS = "loss[sums]", "loss[signs]", "loss[swaps]"


@pytest.fixture(scope="module")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("choose") / "study"
    copy_folder(tiny, folder, posterior={"family": "isotropic", "damping": 0.1})
    study = open_study(folder / "recipe.yaml")
    estimate_run_front(study)
    return study.folder.path


EVEN = {"sums": 0.5, "signs": 0.25, "swaps": 0.25}


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ("--weights swaps=0.25,sums=0.5,signs=0.25", ByWeights(EVEN)),
        ("--at-least sums=1.3 --best signs", Thresholds({SUMS: 1.3}, SIGNS)),
        ("--reference sums=1,loss[signs]=1", ReferencePoint({SUMS: 1.0, SIGNS: 1.0})),
        ("--improve sums --keep signs --from 0", Classification(0, improve=[SUMS], keep=[SIGNS])),
        (
            "--improve sums,signs --relax swaps=9 --from 0",
            Classification(0, improve=[SUMS, SIGNS], relax_to={SWAPS: 9}),
        ),
        ("--improve-to sums=1.3 --from 0", Classification(0, improve_to={SUMS: 1.3})),
        ("--regret", MinimumRegret()),
        ("--regret --risk 0.9", MinimumRegret(risk=0.9)),
        ("--regret --knee", MinimumRegret(Knee())),
        ("--regret --at-least sums=1.3 --risk 0.75", MinimumRegret(Thresholds({SUMS: 1.3}), 0.75)),
        ("--knee --one-se", OneStandardError(Knee())),
        (
            "--one-se --reference sums=1 --towards sums=0.5,signs=0.25,swaps=0.25",
            OneStandardError(ReferencePoint({SUMS: 1.0}), EVEN),
        ),
    ],
)
def test_every_way_of_choosing_is_the_librarys(run: Path, options: str, rule: ChoiceRule) -> None:
    expected = choose_point(open_study(run), rule)
    assert invoke("choose", run, *options.split(), "--json").json == plain(asdict(expected))


def test_improving_goes_on_from_the_chosen_point(run: Path) -> None:
    first = invoke("choose", run, "--knee", "--json").json["point"]
    second = invoke("choose", run, "--improve", "sums", "--json").json["point"]
    third = invoke("choose", run, "--improve", "signs", "--from", first["id"], "--json").json["point"]
    assert second["values"][SUMS] < first["values"][SUMS]
    assert third["values"][SIGNS] < first["values"][SIGNS]


def test_the_answer_says_what_is_given_up_the_interval_and_what_the_alternatives_would_change(run: Path) -> None:
    answer = invoke("choose", run, "--at-least", "sums=1.3", "--best", "signs")
    choice = choose_point(open_study(run), Thresholds({SUMS: 1.3}, SIGNS))
    shown = " ".join(answer.out.split())
    low, high = choice.interval[SIGNS]
    assert f"[{low:#.4g}, {high:#.4g}]" in shown
    assert f"{choice.gives_up[SWAPS]:#.2g}" in shown
    assert "gives" in shown
    assert f"it keeps what was asked for: {100 * (choice.probability_fulfilled or 0):.0f} %" in shown
    assert (
        f"no other point of the front is better in everything: {100 * (choice.probability_nondominated or 0):.0f} %"
        in (shown)
    )
    assert f"compared with point {choice.point.id}" in shown
    assert [
        name for name in choice.alternatives[0].gains if f"{choice.alternatives[0].gains[name]:#.2g} better" in shown
    ]
    assert [
        name for name in choice.alternatives[0].loses if f"{choice.alternatives[0].loses[name]:#.2g} worse" in shown
    ]
    assert answer.err == ""


def test_an_infeasible_wish_is_answered_in_json_too_and_still_an_error(run: Path) -> None:
    answer = invoke("choose", run, "--at-least", "sums=0.001,swaps=1", "--json")
    assert answer.code == 2
    assert answer.err.startswith("error: none of the")
    refusal = json.loads(answer.out)
    assert set(refusal) == {"error", "closest", "relax", "alone"}
    assert refusal["error"] in answer.err
    reached = refusal["closest"]["values"][SUMS]
    assert refusal["relax"][SUMS] == {"wished": 0.001, "reached": reached}
    relaxed = (
        f"sums={refusal['relax'][SUMS]['reached']!r},swaps={refusal['relax'].get(SWAPS, {'reached': 1})['reached']!r}"
    )
    assert invoke("choose", run, "--at-least", relaxed, "--json").code == 0
    assert invoke("choose", run, "--at-least", "sums=0.001").out == ""


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ("--knee --reference sums=1", "exactly one of --weights, --at-least, --reference, --knee, --improve"),
        ("--knee --improve sums", "exactly one of"),
        ("--one-se", "--one-se goes with another rule: --knee --one-se"),
        ("--one-se --regret --knee", "--regret and --one-se are two answers to uncertainty"),
        ("--knee --keep sums", "--keep, --relax and --from go with --improve"),
        ("--knee --relax sums=1", "--keep, --relax and --from go with --improve"),
        ("--knee --from 3", "--keep, --relax and --from go with --improve"),
        ("--knee --risk 0.9", "--risk goes with --regret"),
        ("--knee --towards sums=1", "--towards goes with --one-se"),
        ("--regret --risk often", "--risk 'often': write mean, or a quantile such as 0.9"),
        ("--regret --risk 90", "risk is 90.0, expected 'mean' or a quantile between 0 and 1"),
        ("--improve sums --from start", "--from 'start': give the number of a point, or 'chosen'"),
        ("--improve sums --from 99", "the current point is number 99, the front has points 0 to"),
        ("--improve sums,,signs --from 0", "--improve 'sums,,signs': write a,b"),
        ("--improve sums,sums --from 0", "'sums' is given twice"),
        ("--improve sum --from 0", "unknown task or objective 'sum' (did you mean 'sums'?)"),
        ("--improve sums --keep sums --from 0", "'loss[sums]' is named twice, in improve and keep"),
        ("--improve-to sums=99 --from 0", "no worse than 99 already"),
        ("--knee --joint", "there is no joint front yet: paretomerge verify RUN --points 3"),
    ],
)
def test_wishes_that_are_none(run: Path, options: str, seen: str) -> None:
    answer = invoke("choose", run, *options.split())
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert seen in answer.err


def test_without_a_choice_there_is_nothing_to_improve_from(run: Path) -> None:
    with open_study(run).folder.open_journal() as journal:
        journal.note("choice", None)
    answer = invoke("choose", run, "--improve", "sums")
    assert answer.code == 2
    assert "improve from where? No point of this front was chosen yet: name one, such as --from 0" in answer.err


def test_on_the_joint_front_the_next_step_is_joint_finetuning(run: Path) -> None:
    study = open_study(run)
    front = front_of(study)
    with study.folder.open_journal() as journal:
        journal.note("joint_front", {"recipe": digest_recipe(study.recipe), **front.as_dict()})
    answer = invoke("choose", run, "--knee", "--joint")
    assert f"next: paretomerge finetune {run} joint/ --point chosen" in answer.out
    assert "no other point of the front" not in answer.out
    assert invoke("choose", run, "--knee", "--joint", "--json").json["point"] == plain(
        vars(choose_point(study, Knee()).point)
    )
    with study.folder.open_journal() as journal:
        journal.note("joint_front", None)
