"""Publishes what diagnoses tell of previews: `results/diagnoses.json`, and the tables in `benchmarks/README.md`.

python -m benchmarks.joint.publish_diagnoses --out DIR
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.publishing import machine, write_section
from scipy.stats import spearmanr

from paretomerge.diagnoses.conflict import RUIN

HERE = Path(__file__).parent
SEEDS = {"tuned": (5, 6, 7), "reported": (0, 1, 2, 3, 4)}
FAMILIES = ("plain", "fast", "apart")
LARGE = 0.5
"""A preview has failed when its error is more than half of averaging's on the plain finetunes of its seed."""
BINS = ((-np.inf, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 0.95), (0.95, 1.0))
Recorded = dict[tuple[str, int], dict[str, Any]]
"""Family and seed → what was recorded."""


def main() -> None:
    """Read, aggregate, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    folder = parser.parse_args().out / "diagnoses"
    results: dict[str, Any] = {**machine(), "failed": f"error > {LARGE} of averaging's on plain finetunes"}
    for name, seeds in SEEDS.items():
        recorded = read(folder, "", seeds)
        results[name] = {
            "seeds": sorted({seed for _, seed in recorded}),
            "methods": {family: by_method(recorded, family) for family in FAMILIES},
            "separation": separation(recorded),
            "rank_correlations": rank_correlations(recorded),
            "pairs": pairs(recorded),
            "power": power(recorded),
            "remedies": remedies(read(folder, "remedies-", seeds)),
        }
    (HERE.parent / "results" / "diagnoses.json").write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    text = tables(results["reported"])
    write_section(HERE.parent / "README.md", "diagnoses", text)
    print(text)


def read(folder: Path, prefix: str, seeds: Sequence[int]) -> Recorded:
    """The files that are there."""
    places = {(name, seed): folder / f"{prefix}{name}-seed{seed}.json" for name in FAMILIES for seed in seeds}
    return {key: json.loads(place.read_text()) for key, place in places.items() if place.exists()}


def inside(found: Mapping[str, Any]) -> np.ndarray:
    """Which weightings are no corners."""
    return np.array(found["weights"]).max(axis=1) < 1


def error_of(found: Mapping[str, Any], method: str) -> float:
    """Mean over weightings that are no corners."""
    return float(np.array(found["methods"][method]["error"])[inside(found)].mean())


def ratios_of(found: Mapping[str, Any], method: str) -> np.ndarray:
    """`[K]`, the distance to the nearest finetune, in stakes."""
    return (np.array(found["methods"][method]["distances"]) / found["stakes"]).min(axis=1)


def weighted_of(found: Mapping[str, Any], method: str) -> np.ndarray:
    """`[K]`, distances weighted by task weights, in stakes."""
    weights, stakes = np.array(found["weights"]), np.array(found["stakes"])
    return (weights * found["methods"][method]["distances"]).sum(axis=1) / (weights * stakes).sum(axis=1)


def misfit_of(row: Mapping[str, Any]) -> float:
    """How far slopes are from one, as `|log|`; of the worst task. No slope, or a negative one, counts as 0.001."""
    slopes = np.clip(np.nan_to_num(np.array(row["slopes"], float), nan=0.0), 1e-3, 1e3)
    return float(np.abs(np.log(slopes)).max())


def says(row: Mapping[str, Any], signature: str) -> bool:
    """Whether a sign spoke."""
    return any(each["signature"] == signature for each in row["said"])


def by_method(recorded: Recorded, family: str) -> list[dict[str, Any]]:
    """One row per method, smallest error first."""
    seeds = [found for (name, _), found in recorded.items() if name == family]
    rows = []
    for method in seeds[0]["methods"] if seeds else ():
        own = [found["methods"][method] for found in seeds]
        rows.append(
            {
                "method": method,
                "error": mean(error_of(found, method) for found in seeds),
                "largest_ratio": mean(ratios_of(found, method).max() for found in seeds),
                "slope": float(np.median([row["slopes"] for row in own])),
                "correlation": mean(min(row["correlations"]) for row in own),
                "distance": mean(says(row, "distance") for row in own),
                "disagreement": mean(says(row, "disagreement") for row in own),
                "barrier": mean(any(barred(pair) for pair in found["pairs"]) for found in seeds),
            }
        )
    return sorted(rows, key=lambda row: row["error"])


def separation(recorded: Recorded) -> dict[str, Any]:
    """How well signs tell failed previews: one case per family, seed and method."""
    cases = []
    for (_, seed), found in recorded.items():
        scale = error_of(recorded["plain", seed], "averaging") if ("plain", seed) in recorded else np.nan
        barrier = any(barred(pair) for pair in found["pairs"])
        for method, row in found["methods"].items():
            fired = {"distance": says(row, "distance"), "disagreement": says(row, "disagreement"), "barrier": barrier}
            cases.append({"failed": error_of(found, method) > LARGE * scale, **fired, "any": any(fired.values())})
    failed = np.array([case["failed"] for case in cases])
    signs: dict[str, Any] = {"cases": len(cases), "failed": int(failed.sum())}
    for sign in ("distance", "disagreement", "barrier", "any"):
        spoke = np.array([case[sign] for case in cases])
        signs[sign] = {
            "spoke": int(spoke.sum()),
            "precision": float(failed[spoke].mean()) if spoke.any() else None,
            "recall": float(spoke[failed].mean()) if failed.any() else None,
            "false_alarms": float(spoke[~failed].mean()) if (~failed).any() else None,
        }
    return signs


def rank_correlations(recorded: Recorded) -> dict[str, float]:
    """With the error: over methods of all families within a seed, and over weightings within a method."""
    seeds = sorted({seed for _, seed in recorded})
    over_methods: dict[str, list[float]] = {"misfit": [], "ratio": []}
    for seed in seeds:
        mine = [found for (_, other), found in recorded.items() if other == seed]
        keys = [(found, method) for found in mine for method in found["methods"]]
        errors = [error_of(found, method) for found, method in keys]
        over_methods["misfit"].append(rank([misfit_of(found["methods"][m]) for found, m in keys], errors))
        over_methods["ratio"].append(rank([ratios_of(found, m).max() for found, m in keys], errors))
    plain = [found for (name, _), found in recorded.items() if name == "plain"]
    cells = [(found, method) for found in plain for method in found["methods"]]
    nearest = [rank(ratios_of(found, m), found["methods"][m]["error"]) for found, m in cells]
    weighted = [rank(weighted_of(found, m), found["methods"][m]["error"]) for found, m in cells]
    return {
        "methods: slope's distance from one": mean(over_methods["misfit"]),
        "methods: distance to the nearest finetune": mean(over_methods["ratio"]),
        "weightings: distance to the nearest finetune": mean(nearest),
        "weightings: weighted distance": mean(weighted),
    }


def pairs(recorded: Recorded) -> dict[str, Any]:
    """What pairs of finetunes tell of the error of previews at equal weights of the two."""
    rows = []
    for (family, _), found in recorded.items():
        names = list(dict.fromkeys(task for pair in found["pairs"] for task in pair["tasks"]))
        for pair in found["pairs"]:
            wanted = np.array([0.5 if name in pair["tasks"] else 0.0 for name in names])
            at = int(np.abs(np.array(found["weights"]) - wanted).sum(axis=1).argmin())
            rows.append(
                {
                    "family": family,
                    "barrier": max(height / drop for height, _, drop in pair["barriers"]),
                    "transfer": min(pair["transfers"]),
                    "cosine": pair["cosine"],
                    "said": barred(pair),
                    "conflict": min(pair["transfers"]) < RUIN,
                    **{method: found["methods"][method]["error"][at] for method in ("averaging", "default")},
                }
            )
    signs = {"barrier": 1, "transfer": -1, "cosine": -1}
    return {
        "count": len(rows),
        "rank_correlations": {
            sign: {m: rank([way * r[sign] for r in rows], [r[m] for r in rows]) for m in ("averaging", "default")}
            for sign, way in signs.items()
        },
        "families": {
            family: {
                key: mean(float(row[key]) for row in rows if row["family"] == family)
                for key in ("barrier", "transfer", "cosine", "said", "conflict", "averaging", "default")
            }
            for family in FAMILIES
            if any(row["family"] == family for row in rows)
        },
    }


def barred(pair: Mapping[str, Any]) -> bool:
    """Whether a barrier was said to lie between two finetunes."""
    return any(each["signature"] == "barrier" for each in pair["said"])


def power(recorded: Recorded) -> list[dict[str, Any]]:
    """How well scores that seem so reliable rank weightings as the test set does."""
    draws = [
        draw
        for (family, _), found in recorded.items()
        if family == "plain"
        for row in found["methods"].values()
        for draw in row["power"] or ()
    ]
    rows = []
    for low, high in BINS:
        own = [draw for draw in draws if low <= draw["reliability"] < high]
        if own:
            rows.append(
                {
                    "reliability": [max(low, 0.0), high],
                    "draws": len(own),
                    "mean_reliability": mean(max(draw["reliability"], 0.0) for draw in own),
                    "correlation_with_test": mean(draw["correlation"] for draw in own),
                    "lowest_decile": float(np.quantile([draw["correlation"] for draw in own], 0.1)),
                }
            )
    return rows


def remedies(recorded: Recorded) -> dict[str, Any]:
    """Mean errors before and after."""
    return {
        family: {
            method: {
                what: mean(found[method][what] for (name, _), found in recorded.items() if name == family)
                for what in recorded[next(key for key in recorded if key[0] == family)][method]
            }
            for method in ("averaging", "default")
        }
        for family in FAMILIES
        if any(name == family for name, _ in recorded)
    }


def rank(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """Spearman."""
    return float(spearmanr(one, other)[0])


def mean(values: Iterable[float]) -> float:
    """Of numbers that are there."""
    return float(np.mean(list(values)))


def tables(found: Mapping[str, Any]) -> str:
    """Markdown."""
    parts = []
    for family in FAMILIES:
        rows = found["methods"][family]
        head = "| method | error | largest distance | slope | correlation | distance said | disagreement said |"
        lines = [
            f"| {r['method']} | {r['error']:.3f} | {r['largest_ratio']:.2g} | {r['slope']:.2g} | "
            f"{r['correlation']:.2f} | {100 * r['distance']:.0f} % | {100 * r['disagreement']:.0f} % |"
            for r in rows
        ]
        parts.append("\n".join([f"**{family}**:\n", head, "|---|---|---|---|---|---|---|", *lines]))
    signs = found["separation"]
    lines = [
        f"| {sign} | {signs[sign]['spoke']} | {share(signs[sign]['precision'])} | {share(signs[sign]['recall'])} | "
        f"{share(signs[sign]['false_alarms'])} |"
        for sign in ("distance", "disagreement", "barrier", "any")
    ]
    head = (
        f"| sign | spoke, of {signs['cases']} | failed where it spoke | spoke where failed | spoke where not failed |"
    )
    parts.append("\n".join([f"**Failed previews** ({signs['failed']}):\n", head, "|---|---|---|---|---|", *lines]))
    lines = [f"| {what} | {value:.2f} |" for what, value in found["rank_correlations"].items()]
    for sign, by in found["pairs"]["rank_correlations"].items():
        lines += [f"| pairs: {sign}, error of {method} | {value:.2f} |" for method, value in by.items()]
    parts.append("\n".join(["**Rank correlations with the error**:\n", "| | |", "|---|---|", *lines]))
    lines = [
        f"| {low:g} to {high:g} | {row['draws']} | {row['correlation_with_test']:.2f} | {row['lowest_decile']:.2f} |"
        for row in found["power"]
        for low, high in [row["reliability"]]
    ]
    head = "| reliability | draws | correlation with test losses | its lowest decile |"
    parts.append("\n".join(["**Power**:\n", head, "|---|---|---|---|", *lines]))
    lines = [
        f"| {family} | {method} | " + " | ".join(f"{by[w]:.3f}" if w in by else "" for w in WHATS) + " |"
        for family, methods in found["remedies"].items()
        for method, by in methods.items()
    ]
    head = "| finetunes | preview | error | Newton correction | damping 10 | 40 joint steps |"
    parts.append("\n".join(["**Remedies**:\n", head, "|---|---|---|---|---|---|", *lines]))
    return "\n\n".join(parts)


WHATS = ("before", "newton", "damping 10", "joint")


def share(value: float | None) -> str:
    """`83 %`."""
    return "" if value is None else f"{100 * value:.0f} %"


if __name__ == "__main__":
    main()
