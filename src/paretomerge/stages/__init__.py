"""The conductor: from a recipe to a verified front, a file or a folder per verb. It alone sees both ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretomerge.lazy import on_first_use

if TYPE_CHECKING:
    from paretomerge.stages.check import Preflight, check_models
    from paretomerge.stages.checking.recipe import RecipeCheck, check_recipe
    from paretomerge.stages.checking.rows import CheckRow
    from paretomerge.stages.choose import choose_point, front_of
    from paretomerge.stages.diagnose import diagnose_run
    from paretomerge.stages.exporting.adapter import export_adapter
    from paretomerge.stages.exporting.export import export_point
    from paretomerge.stages.exporting.mergekit import export_mergekit
    from paretomerge.stages.exporting.reloading import ExportCheck, check_export
    from paretomerge.stages.exporting.weights import export_weights
    from paretomerge.stages.figure import draw_figure
    from paretomerge.stages.fitting.adam import fit_optimizer
    from paretomerge.stages.fitting.fit import Fitted, estimate_fit, fit_run
    from paretomerge.stages.fitting.previews import Preview, PreviewMethod, preview_models
    from paretomerge.stages.front import estimate_run_front
    from paretomerge.stages.init import Draft, draft_recipe, write_recipe
    from paretomerge.stages.integrity import Integrity, check_integrity
    from paretomerge.stages.joint.continuing import Continued, continue_run
    from paretomerge.stages.joint.finetune import FinetuneSummary, finetune_run
    from paretomerge.stages.joint.verify import Verification, verify_run
    from paretomerge.stages.ledger import RunLedger, run_ledger
    from paretomerge.stages.measuring.sampled import SampledScores, score_sampled
    from paretomerge.stages.merging.inputs import MergeOptions
    from paretomerge.stages.merging.merge import MergeSummary, merge_checkpoints
    from paretomerge.stages.merging.mergekit import merge_mergekit
    from paretomerge.stages.merging.posterior_check import (
        PosteriorCheck,
        PosteriorSummary,
        check_posteriors,
        describe_posterior,
    )
    from paretomerge.stages.pipeline import run
    from paretomerge.stages.planning.machine import measure_machine
    from paretomerge.stages.planning.plan import plan
    from paretomerge.stages.report import report_run
    from paretomerge.stages.study import Study, open_study

__all__ = [
    "CheckRow",
    "Continued",
    "Draft",
    "ExportCheck",
    "FinetuneSummary",
    "Fitted",
    "Integrity",
    "MergeOptions",
    "MergeSummary",
    "PosteriorCheck",
    "PosteriorSummary",
    "Preflight",
    "Preview",
    "PreviewMethod",
    "RecipeCheck",
    "RunLedger",
    "SampledScores",
    "Study",
    "Verification",
    "check_export",
    "check_models",
    "check_integrity",
    "check_posteriors",
    "check_recipe",
    "choose_point",
    "continue_run",
    "describe_posterior",
    "diagnose_run",
    "draft_recipe",
    "draw_figure",
    "estimate_fit",
    "estimate_run_front",
    "export_adapter",
    "export_mergekit",
    "export_point",
    "export_weights",
    "finetune_run",
    "fit_optimizer",
    "fit_run",
    "front_of",
    "measure_machine",
    "merge_checkpoints",
    "merge_mergekit",
    "open_study",
    "plan",
    "preview_models",
    "report_run",
    "run",
    "run_ledger",
    "score_sampled",
    "verify_run",
    "write_recipe",
]

_HOMES = {
    "CheckRow": "checking.rows",
    "Continued": "joint.continuing",
    "Draft": "init",
    "ExportCheck": "exporting.reloading",
    "FinetuneSummary": "joint.finetune",
    "Fitted": "fitting.fit",
    "Integrity": "integrity",
    "MergeOptions": "merging.inputs",
    "MergeSummary": "merging.merge",
    "PosteriorCheck": "merging.posterior_check",
    "PosteriorSummary": "merging.posterior_check",
    "Preflight": "check",
    "Preview": "fitting.previews",
    "PreviewMethod": "fitting.previews",
    "RecipeCheck": "checking.recipe",
    "RunLedger": "ledger",
    "SampledScores": "measuring.sampled",
    "Study": "study",
    "Verification": "joint.verify",
    "check_export": "exporting.reloading",
    "check_models": "check",
    "check_integrity": "integrity",
    "check_posteriors": "merging.posterior_check",
    "check_recipe": "checking.recipe",
    "choose_point": "choose",
    "continue_run": "joint.continuing",
    "describe_posterior": "merging.posterior_check",
    "diagnose_run": "diagnose",
    "draft_recipe": "init",
    "draw_figure": "figure",
    "estimate_fit": "fitting.fit",
    "estimate_run_front": "front",
    "export_adapter": "exporting.adapter",
    "export_mergekit": "exporting.mergekit",
    "export_point": "exporting.export",
    "export_weights": "exporting.weights",
    "finetune_run": "joint.finetune",
    "fit_optimizer": "fitting.adam",
    "fit_run": "fitting.fit",
    "front_of": "choose",
    "measure_machine": "planning.machine",
    "merge_checkpoints": "merging.merge",
    "merge_mergekit": "merging.mergekit",
    "open_study": "study",
    "plan": "planning.plan",
    "preview_models": "fitting.previews",
    "report_run": "report",
    "run": "pipeline",
    "run_ledger": "ledger",
    "score_sampled": "measuring.sampled",
    "verify_run": "joint.verify",
    "write_recipe": "init",
}

__getattr__ = on_first_use("paretomerge.stages", _HOMES)
