"""The page's first lines after the headline: how sure this is, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from paretomerge.reports.chooser import run_word
from paretomerge.reports.data import ReportData
from paretomerge.reports.folding import folded
from paretomerge.reports.grid import DIVISIONS
from paretomerge.reports.marks import clean, objective_name
from paretomerge.types.summaries import counted


def summary_html(data: ReportData, more_warnings: Sequence[str] = ()) -> str:
    """Two cards, and the warnings below them."""
    sure = "".join(f"<li>{sentence}</li>" for sentence in sureness(data))
    cards = _card("sure", "How sure is this?", f"<ul>{sure}</ul>" if sure else "")
    cards += _card("next", "What next?", "".join(_step(*step) for step in next_steps(data)))
    warnings = warnings_html([*data.warnings, *more_warnings], data)
    content = (f'<div class="cards">{cards}</div>' if cards else "") + warnings
    if not content:
        return ""
    return f'<section id="summary" aria-label="Summary" data-title="Summary">{content}</section>'


def sureness(data: ReportData) -> list[str]:
    """What is measured, what was verified, how probable the choice is on the front, and what warns: HTML sentences."""
    found = []
    counts = {origin: data.scores.origin.count(origin) for origin in ("merged", "trained")}
    if data.front is not None:
        predicted = data.front.origin.count("predicted")
        rests = counted(counts["merged"], "measured merged model")
        which = f"All {predicted}" if predicted == len(data.front) else f"{predicted} of the {len(data.front)}"
        if predicted:
            found.append(f"{which} points of the front are predicted, from {rests}.")
        else:
            found.append(f"All {len(data.front)} points of the front are measured.")
    probability = _nondominated(data)
    if probability is not None:
        share = "more than 99" if probability > 0.99 else f"{100 * probability:.0f}"
        found.append(f"With {share}\u00a0% probability no other point of the front beats the chosen one on everything.")
    found += _verified(data)
    warned = [each for each in data.diagnoses if each.severity == "warning"]
    if warned:
        words = "diagnosis warns" if len(warned) == 1 else "diagnoses warn"
        found.append(f'<a href="#diagnoses">{len(warned)} {words}</a> that the preview may fail.')
    return found


def next_steps(data: ReportData) -> list[tuple[str, str]]:
    """Sentence and command, in order of use; nothing for scores without a run."""
    if not data.run or data.front is None:
        return []
    run, steps = run_word(data), []
    if data.choice is None:
        steps.append(
            ("Choose a point: below, with sliders and wishes, or at the knee", f"paretomerge choose {run} --knee")
        )
    if data.verification is None or not len(data.verification.truths):
        steps.append(("Hold the preview against jointly finetuned models", f"paretomerge verify {run} --points 3"))
    if data.choice is not None:
        steps.append(("Write the chosen model", f"paretomerge export {run} merged --point chosen"))
    simplex = np.allclose(data.front.weights.sum(axis=1), 1, atol=1e-6)
    if data.landscape is None and simplex and len(data.front.tasks) in DIVISIONS and "predicted" in data.front.origin:
        steps.append(("Add live predictions to the sliders; nothing is measured again", f"paretomerge front {run}"))
    return steps


def warnings_html(warnings: Sequence[str], data: ReportData) -> str:
    """Warnings, those that repeat each other folded into one."""
    if not warnings:
        return ""
    sentences = folded([clean(warning) for warning in warnings], [clean(name) for name in names_of(data)])
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence, _ in sentences)
    heading = "Warning" if len(sentences) == 1 else "Warnings"
    return (
        f'<div class="warnings" id="warnings" role="region" aria-labelledby="h-warnings">'
        f'<h3 id="h-warnings">{heading}</h3><ul>{items}</ul></div>'
    )


def names_of(data: ReportData) -> list[str]:
    """The tasks and objectives, as sentences may call them."""
    objectives = data.scores.objectives
    names = [*data.scores.tasks, *(each.name for each in objectives), *(objective_name(each) for each in objectives)]
    return list(dict.fromkeys(names))


def _card(name: str, heading: str, content: str) -> str:
    if not content:
        return ""
    return f'<div class="card" role="region" aria-labelledby="h-{name}"><h3 id="h-{name}">{heading}</h3>{content}</div>'


def _step(sentence: str, command: str) -> str:
    return f'<p>{escape(sentence)}:</p><div class="copy command"><code tabindex="0">{escape(command)}</code></div>'


def _nondominated(data: ReportData) -> float | None:
    """Of the chosen point, where it is one of the front's."""
    if data.choice is None or data.front is None or data.uncertainty is None:
        return None
    known = 0 <= data.choice.id < len(data.front) and data.front[data.choice.id].weights == data.choice.weights
    return float(data.uncertainty.nondominated[data.choice.id]) if known else None


def _verified(data: ReportData) -> list[str]:
    verified = data.verification
    if verified is None or not len(verified.truths):
        trained = data.scores.origin.count("trained")
        if trained:
            return [f"The charts show {counted(trained, 'jointly finetuned model')} beside the previews."]
        return ["Nothing is verified: no preview was held against a jointly finetuned model."]
    models = counted(len(verified.truths), "jointly finetuned model")
    found = []
    for what, intervals in (("previews'", verified.before), ("recalibration's", verified.after)):
        if intervals is not None:
            inside = int(intervals.inside.sum())
            found.append(
                f"{inside} of {intervals.inside.size} scores in the {what} {100 * verified.level:g}\u00a0% intervals"
            )
    said = f": {', '.join(found)}" if found else ""
    return [f'<a href="#verification">Held against {models}</a>{said}.']
