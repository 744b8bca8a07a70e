"""The conductor: from a recipe to a verified front, one file per verb. It alone sees both ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretomerge.lazy import on_first_use

if TYPE_CHECKING:
    from paretomerge.stages.adapter_export import export_adapter
    from paretomerge.stages.check import Preflight, check_models, check_recipe
    from paretomerge.stages.choose import choose_point, front_of
    from paretomerge.stages.diagnose import diagnose_run
    from paretomerge.stages.export import export_point
    from paretomerge.stages.export_check import ExportCheck, check_export
    from paretomerge.stages.finetune import FinetuneSummary, finetune_run
    from paretomerge.stages.fit import Fitted, estimate_fit, fit_run
    from paretomerge.stages.fit_adam import fit_optimizer
    from paretomerge.stages.front import estimate_run_front
    from paretomerge.stages.ledger import RunLedger, run_ledger
    from paretomerge.stages.merge import MergeSummary, merge_checkpoints
    from paretomerge.stages.merge_inputs import MergeOptions
    from paretomerge.stages.mergekit import merge_mergekit
    from paretomerge.stages.mergekit_export import export_mergekit
    from paretomerge.stages.pipeline import run
    from paretomerge.stages.posterior_check import (
        PosteriorCheck,
        PosteriorSummary,
        check_posteriors,
        describe_posterior,
    )
    from paretomerge.stages.previews import Preview, PreviewMethod, preview_models
    from paretomerge.stages.report import report_run
    from paretomerge.stages.sampled import SampledScores, score_sampled
    from paretomerge.stages.study import Study, open_study
    from paretomerge.stages.verify import Verification, verify_run
    from paretomerge.stages.weights_export import export_weights

__all__ = [
    "ExportCheck",
    "FinetuneSummary",
    "Fitted",
    "MergeOptions",
    "MergeSummary",
    "PosteriorCheck",
    "PosteriorSummary",
    "Preflight",
    "Preview",
    "PreviewMethod",
    "RunLedger",
    "SampledScores",
    "Study",
    "Verification",
    "check_export",
    "check_models",
    "check_posteriors",
    "check_recipe",
    "choose_point",
    "describe_posterior",
    "diagnose_run",
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
    "merge_checkpoints",
    "merge_mergekit",
    "open_study",
    "preview_models",
    "report_run",
    "run",
    "run_ledger",
    "score_sampled",
    "verify_run",
]

_HOMES = {
    "ExportCheck": "export_check",
    "FinetuneSummary": "finetune",
    "Fitted": "fit",
    "MergeOptions": "merge_inputs",
    "MergeSummary": "merge",
    "PosteriorCheck": "posterior_check",
    "PosteriorSummary": "posterior_check",
    "Preflight": "check",
    "Preview": "previews",
    "PreviewMethod": "previews",
    "RunLedger": "ledger",
    "SampledScores": "sampled",
    "Study": "study",
    "Verification": "verify",
    "check_export": "export_check",
    "check_models": "check",
    "check_posteriors": "posterior_check",
    "check_recipe": "check",
    "choose_point": "choose",
    "describe_posterior": "posterior_check",
    "diagnose_run": "diagnose",
    "estimate_fit": "fit",
    "estimate_run_front": "front",
    "export_adapter": "adapter_export",
    "export_mergekit": "mergekit_export",
    "export_point": "export",
    "export_weights": "weights_export",
    "finetune_run": "finetune",
    "fit_optimizer": "fit_adam",
    "fit_run": "fit",
    "front_of": "choose",
    "merge_checkpoints": "merge",
    "merge_mergekit": "mergekit",
    "open_study": "study",
    "preview_models": "previews",
    "report_run": "report",
    "run": "pipeline",
    "run_ledger": "ledger",
    "score_sampled": "sampled",
    "verify_run": "verify",
}

__getattr__ = on_first_use("paretomerge.stages", _HOMES)
