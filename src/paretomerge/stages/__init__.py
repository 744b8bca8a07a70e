"""The conductor: from a recipe to a verified front, one file per verb. It alone sees both ends."""

from paretomerge.stages.check import Preflight, check_models, check_recipe
from paretomerge.stages.decide import choose_point, export_point, front_of
from paretomerge.stages.fit import Fitted, fit_run
from paretomerge.stages.front import estimate_run_front
from paretomerge.stages.merge import MergeSummary, merge_checkpoints
from paretomerge.stages.merge_inputs import MergeOptions
from paretomerge.stages.mergekit import export_mergekit, merge_mergekit
from paretomerge.stages.previews import Preview, PreviewMethod, preview_models
from paretomerge.stages.report import report_run
from paretomerge.stages.run import run
from paretomerge.stages.study import Study, open_study
from paretomerge.stages.verify import Verification, verify_run

__all__ = [
    "Fitted",
    "MergeOptions",
    "MergeSummary",
    "Preflight",
    "Preview",
    "PreviewMethod",
    "Study",
    "Verification",
    "check_models",
    "check_recipe",
    "choose_point",
    "estimate_run_front",
    "export_mergekit",
    "export_point",
    "fit_run",
    "front_of",
    "merge_checkpoints",
    "merge_mergekit",
    "open_study",
    "preview_models",
    "report_run",
    "run",
    "verify_run",
]
