"""Tensors that arithmetic spoils: running statistics, counters and masks, and the codes of a quantised model."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from paretomerge.checkpoints.files.quantised import CODES, MARKS, WAY_OUT
from paretomerge.checkpoints.findings import Finding
from paretomerge.checkpoints.views import same_values
from paretomerge.types import Params, spec_of

MOST_ELEMENTS_COMPARED = 1 << 20  # of an integer tensor; counters, position ids and masks are smaller

_RUNNING = re.compile(r"(^|\.)running_(mean|var)$")
_COUNTER = re.compile(r"(^|\.)num_batches_tracked$")


def find_buffers(base: Params, finetunes: Mapping[str, Params], kept: Collection[str], read: bool) -> list[Finding]:
    """Warnings about statistics that cannot be merged, and (if values may be read) integer tensors that differ."""
    running = [name for name in base if name not in kept and _RUNNING.search(name) and spec_of(base, name).is_mergeable]
    findings = []
    if running:
        message = (
            f"holds {len(running)} running statistics of batch normalisation (first {running[0]!r}): their merge is "
            "not the statistics of the merged model's activations. Estimate them again on training data: "
            "paretomerge.refresh_statistics(problem, merged, weights)"
        )
        findings.append(Finding("warning", "buffer", None, running[0], message, tuple(running)))
    for task, finetune in finetunes.items() if read else ():
        changed = [name for name in base if name not in kept and _differs(name, base, finetune)]
        if changed:
            message = (
                f"{_counted(changed)} of integers or masks with other values than in the base: not merged, the base's "
                "are kept"
            )
            findings.append(Finding("warning", "buffer", task, changed[0], message, tuple(changed)))
    return findings


def find_quantised(base: Params, finetunes: Mapping[str, Params], kept: Collection[str]) -> list[Finding]:
    """Errors for models that hold codes instead of weights.

    `open_checkpoint` refuses them too; parameters in memory come here first.
    """
    findings = []
    for task, params in ((None, base), *finetunes.items()):
        names = [name for name in params if name not in kept and _looks_quantised(name, params)]
        if names:
            message = (
                f"{_counted(names)}, {spec_of(params, names[0]).dtype}, quantised by the look of it: sums of codes "
                f"mean nothing. {WAY_OUT}"
            )
            findings.append(Finding("error", "quantised", task, names[0], message, tuple(names)))
    return findings


def _looks_quantised(name: str, params: Params) -> bool:
    codes = spec_of(params, name).dtype in CODES and name.endswith((".weight", "_blocks"))
    return codes or name.endswith(tuple(MARKS))


def _differs(name: str, base: Params, finetune: Params) -> bool:
    if name not in finetune or _COUNTER.search(name):  # the number of batches seen always differs
        return False
    spec, other = spec_of(base, name), spec_of(finetune, name)
    comparable = not spec.is_mergeable and spec == other and spec.numel <= MOST_ELEMENTS_COMPARED
    return comparable and not same_values(base[name], finetune[name])


def _counted(names: list[str]) -> str:
    return repr(names[0]) if len(names) == 1 else f"{len(names)} tensors (first {names[0]!r})"
