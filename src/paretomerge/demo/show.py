"""What the demo prints for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from paretomerge.demo.methods import HEADLINE
from paretomerge.demo.study import DemoResult
from paretomerge.reports import compact_table
from paretomerge.types import Ledger


def show_demo(result: DemoResult, console: Console | None = None) -> None:
    """The table of methods, the costs, the chosen point, and where to look next."""
    console = console or Console()
    console.print(_methods(result))
    rows = {row["name"]: row for row in result.methods}
    best, plain, floor = rows[HEADLINE]["loss_error"], rows["averaging"]["loss_error"], result.joint_noise["loss_error"]
    console.print(
        f"{HEADLINE}: preview error {best:.4f} nats, {best / plain:.2f} x averaging's, {best / floor:.1f} x the noise "
        "of joint finetuning itself"
    )
    console.print(_costs(result))
    point = result.choice.point
    weights = ", ".join(f"{task} {weight:.3g}" for task, weight in point.weights.items())
    console.print(f"chosen: point {point.id} of {len(result.front)} by {result.choice.rule}: {weights}")
    reached = ", ".join(f"{task} {accuracy:.3f}" for task, accuracy in result.reloaded.items())
    console.print(f"exported, reloaded, test accuracies: {reached}")
    console.print(f"checkpoint {result.exported}", soft_wrap=True)
    console.print(f"open {result.report.page}", soft_wrap=True)


def _methods(result: DemoResult) -> Table:
    plain = next(row["loss_error"] for row in result.methods if row["name"] == "averaging")
    noise = {"name": "joint finetuning, another seed", **result.joint_noise, "seconds": None}
    rows = [*result.methods, noise]
    columns = [
        ("method", [row["name"] for row in rows]),
        ("hypervol.\nratio", [f"{row['hypervolume_ratio']:.3f}" for row in rows]),
        ("IGD+", [f"{row['igd_plus']:.4f}" for row in rows]),
        ("loss\nerror", [f"{row['loss_error']:.4f}" for row in rows]),
        ("x aver-\naging", [f"{row['loss_error'] / plain:.2f}" for row in rows]),
        ("accur.\nerror", [f"{row['accuracy_error']:.4f}" for row in rows]),
        ("rank\ncorr.", [_or_blank(row["rank_correlation"], ".3f") for row in rows]),
        ("sec.", [_or_blank(row["seconds"], ".1f") for row in rows]),
    ]
    styles = ["bold" if row["name"] == HEADLINE else "dim" if row is noise else "" for row in rows]
    return compact_table(
        columns, "previews of joint finetuning, on test data (truth: the joint grid)", left=1, styles=styles
    )


def _or_blank(value: float | None, spec: str) -> str:
    return "" if value is None else format(value, spec)


def _costs(result: DemoResult) -> Table:
    wanted = ("pretraining", "finetunes", f"preview: {HEADLINE}", "joint grid")
    costs = [result.ledger.get(stage, Ledger()) for stage in wanted]
    columns = [
        ("stage", wanted),
        ("trainings", [str(cost.trainings) for cost in costs]),
        ("gradient\npasses", [f"{cost.gradient_passes:,}" for cost in costs]),
        ("evaluations", [str(cost.evaluations) for cost in costs]),
        ("seconds", [f"{cost.seconds:.1f}" for cost in costs]),
    ]
    return compact_table(columns, "what it cost", left=1)
