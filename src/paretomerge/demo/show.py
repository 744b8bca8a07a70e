"""What the demo prints for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from paretomerge.demo.methods import HEADLINE
from paretomerge.demo.study import DemoResult
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
    console.print(f"chosen: point {point.id} of {len(result.front)} ({result.choice.rule}): {weights}")
    reached = ", ".join(f"{task} {accuracy:.3f}" for task, accuracy in result.reloaded.items())
    console.print(f"exported to {result.exported}, reloaded, test accuracies: {reached}", soft_wrap=True)
    console.print(f"open {result.report.page}", soft_wrap=True)


def _methods(result: DemoResult) -> Table:
    table = Table(title="previews of joint finetuning, on test data (truth: the joint grid)", title_justify="left")
    table.add_column("method")
    for name in ("hypervolume ratio", "IGD+", "loss error", "x averaging", "accuracy error", "rank corr.", "seconds"):
        table.add_column(name, justify="right")
    plain = next(row["loss_error"] for row in result.methods if row["name"] == "averaging")
    noise = {"name": "joint finetuning, another seed", **result.joint_noise, "seconds": None}
    for row in (*result.methods, noise):
        style = "bold" if row["name"] == HEADLINE else "dim" if row is noise else ""
        rank, seconds = row["rank_correlation"], row["seconds"]
        table.add_row(
            row["name"],
            f"{row['hypervolume_ratio']:.3f}",
            f"{row['igd_plus']:.4f}",
            f"{row['loss_error']:.4f}",
            f"{row['loss_error'] / plain:.2f}",
            f"{row['accuracy_error']:.4f}",
            "" if rank is None else f"{rank:.3f}",
            "" if seconds is None else f"{seconds:.1f}",
            style=style,
        )
    return table


def _costs(result: DemoResult) -> Table:
    table = Table(title="what it cost", title_justify="left")
    table.add_column("stage")
    for name in ("trainings", "gradient passes", "evaluations", "seconds"):
        table.add_column(name, justify="right")
    wanted = ("pretraining", "finetunes", f"preview: {HEADLINE}", "joint grid")
    for stage in wanted:
        cost = result.ledger.get(stage, Ledger())
        table.add_row(
            stage, str(cost.trainings), f"{cost.gradient_passes:,}", str(cost.evaluations), f"{cost.seconds:.1f}"
        )
    return table
