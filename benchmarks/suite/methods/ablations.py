"""The default method with one setting changed at a time.

Each is fitted anew: the damping, for one, also decides where the second centre is.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.suite.methods.base import Method
from benchmarks.suite.methods.posteriors import own
from paretomerge import FitDiagonal, FitKronecker, FitSubspace
from paretomerge.curvature.methods import Enrichment

COUNTS = (25, 50, 100, 400, 1000)
COUNTS_FEW = (75, 300, 600)
FEW = 200
"""Examples for gradients, where the default reads all."""
DAMPINGS = (1e-3, 1e-2, 3e-2, 3e-1, 1.0, 3.0)
GROUPS = ("model", "block", "tensor")
DEFAULT = FitSubspace()


def ablations(smoke: bool) -> list[Method]:
    """Examples, damping, groups, enrichment, centres."""
    return [
        *examples((5,) if smoke else COUNTS),
        *dampings(smoke),
        *groups(smoke),
        *enrichments(smoke),
        *centres(smoke),
    ]


def ablations_few(smoke: bool) -> list[Method]:
    """Examples, where a fit takes minutes: of the default, and of blocks, which have most directions."""
    fits = {
        "default": DEFAULT,
        "subspace, blocks, centred": FitSubspace("block", enrich="none", centres=1, validated=False),
    }
    return [
        own(f"{name}, {count} examples", replace(fit, examples=count, gradient_examples=count), study="examples")
        for count in (COUNTS_FEW[:1] if smoke else COUNTS_FEW)
        for name, fit in fits.items()
    ]


def examples(counts: tuple[int, ...]) -> list[Method]:
    """How many training examples per task the curvature sees, or as many as there are."""
    fits: dict[str, FitSubspace | FitDiagonal | FitKronecker] = {
        "default": DEFAULT,
        "subspace, layers, centred": FitSubspace(enrich="none", centres=1, validated=False),
        "diagonal": FitDiagonal(),
        "EKFAC": FitKronecker(),
    }
    found = []
    for count in counts:
        for name, fit in fits.items():
            changed = replace(fit, examples=count)
            if isinstance(changed, FitSubspace):
                changed = replace(changed, gradient_examples=count)
            found.append(own(f"{name}, {count} examples", changed, study="examples"))
    few = replace(DEFAULT, gradient_examples=FEW)
    named = f"default, gradients of {FEW} examples"
    return [*found, own(named, few, study="gradient examples", gradient_examples=FEW)]


def dampings(smoke: bool) -> list[Method]:
    """The ridge, of merges and on the way to the second centre."""
    values = DAMPINGS[:1] if smoke else DAMPINGS
    return [own(f"default, damping {value:g}", replace(DEFAULT, damping=value), study="damping") for value in values]


def groups(smoke: bool) -> list[Method]:
    """How task vectors and gradients are cut."""
    return [
        own(f"default, groups by {name}", replace(DEFAULT, groups=name), study="groups")
        for name in (GROUPS[:1] if smoke else GROUPS)
    ]


def enrichments(smoke: bool) -> list[Method]:
    """Which directions there are besides task vectors; the default has scaled gradients."""
    kinds: tuple[Enrichment, ...] = ("none",) if smoke else ("none", "gradient")
    return [own(f"default, enriched by {kind}", replace(DEFAULT, enrich=kind), study="enrichment") for kind in kinds]


def centres(smoke: bool) -> list[Method]:
    """Expansions in a row, and whether validation data decide about further ones; the default has two that do."""
    found = [own("default, 2 centres, not validated", replace(DEFAULT, validated=False), study="centres")]
    if smoke:
        return found
    return [
        own("default, 1 centre", replace(DEFAULT, centres=1), study="centres"),
        *found,
        own("default, 3 centres", replace(DEFAULT, centres=3), study="centres"),
        own("default, 3 centres, not validated", replace(DEFAULT, centres=3, validated=False), study="centres"),
    ]
