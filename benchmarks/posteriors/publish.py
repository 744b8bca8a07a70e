"""From the rows of `run.py` to `results/posteriors-*.json`, the tables of `benchmarks/README.md`, and the picture.

python -m benchmarks.posteriors.publish --out DIR
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.publishing import bootstrap_ratio, machine, write_section

HERE = Path(__file__).parent

RULES = ("validation", "evidence", "fixed")
PLACES = ("finetune", "segment", "average", "posterior", "centred")
MEASURES = (
    "loss_error",
    "interior",
    "unweighted",
    "loss_bias",
    "accuracy_error",
    "rank_correlation",
    "scalarised_loss",
)


def main() -> None:
    """Aggregate what is there, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder given to run.py")
    out = parser.parse_args().out
    speed = json.loads((HERE.parent / "results" / "posteriors-speed.json").read_text())
    write_section(HERE.parent / "README.md", "posteriors speed", speed_table(speed))
    for setting in ("digits", "sentiment"):
        results = {**machine(), "setting": setting, **collect(out / "results" / setting)}
        (HERE.parent / "results" / f"posteriors-{setting}.json").write_text(json.dumps(results, indent=1) + "\n")
        write_section(HERE.parent / "README.md", f"posteriors {setting}", TABLES[setting](results))
        if setting == "digits":
            draw(results, HERE.parents[1] / "docs" / "assets" / "curvature-error.png")


def collect(folder: Path) -> dict[str, Any]:
    """Rows over the seeds that have them; ratios are to averaging on the same seeds."""
    seeds = sorted((file.parent for file in folder.glob("seed*/floor.json")), key=lambda path: int(path.name[4:]))
    found: dict[str, dict[int, Any]] = {}
    for place in seeds:
        for file in sorted(place.glob("*.json")):
            if file.name != "floor.json":
                row = json.loads(file.read_text())
                found.setdefault(row["name"], {})[int(place.name[4:])] = row
    plain = {seed: row["at"]["0"]["loss_error"] for seed, row in found["averaging"].items()}
    floors = {int(place.name[4:]): json.loads((place / "floor.json").read_text())["loss_error"] for place in seeds}
    rows = [entry(name, by_seed, plain, floors) for name, by_seed in found.items()]
    rows.sort(key=lambda row: row["rules"]["validation"]["ratio"])
    return {"seeds": sorted(plain), "floor": float(np.mean(list(floors.values()))), "rows": rows}


def entry(name: str, by_seed: Mapping[int, Any], plain: Mapping[int, float], floors: Mapping[int, float]) -> dict:
    """One method: every rule for the damping that all its seeds have."""
    seeds = sorted(by_seed)
    averaging = np.array([plain[seed] for seed in seeds])
    rules = {}
    for rule in RULES:
        chosen = [by_seed[seed]["chosen"][rule] for seed in seeds]
        if None in chosen or any(s not in by_seed[k]["at"] for k, s in zip(seeds, chosen, strict=True)):
            continue
        scores = [by_seed[seed]["at"][strength] for seed, strength in zip(seeds, chosen, strict=True)]
        errors = np.array([score["loss_error"] for score in scores])
        rules[rule] = {
            "ratio": float(errors.mean() / averaging.mean()),
            "interval_95": bootstrap_ratio(errors, averaging) if len(seeds) > 1 else None,
            "by_seed": (errors / averaging).tolist(),
            "strengths": chosen,
            "multiple_of_floor": float(errors.mean() / np.mean([floors[seed] for seed in seeds])),
            **{m: float(np.mean([score[m] for score in scores])) for m in MEASURES if m in scores[0]},
        }
    curved = [by_seed[seed]["curvature_error"] for seed in seeds]
    return {
        "name": name,
        "factors": by_seed[seeds[0]]["factors"],
        "seeds": seeds,
        "rules": rules,
        "curvature_error": None if None in curved else float(np.mean(curved)),
        "gradient_passes": by_seed[seeds[0]]["fit"]["gradient_passes"],
        "fit_seconds": float(np.median([by_seed[seed]["fit_seconds"] for seed in seeds])),
    }


def ratio(row: Mapping[str, Any], rule: str = "validation") -> str:
    """`0.21 [0.17, 0.25]`."""
    found = row["rules"].get(rule)
    if found is None:
        return ""
    interval = found["interval_95"]
    return f"{found['ratio']:.2f}" + (f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else "")


def row_line(row: Mapping[str, Any]) -> str:
    """One line of the long table."""
    found = row["rules"]["validation"]
    unweighted = f"{found['unweighted']:.3f}" if "unweighted" in found else ""
    curved = "" if row["curvature_error"] is None else f"{row['curvature_error']:.2f}"
    return (
        f"| {row['name']} | {ratio(row)} | {ratio(row, 'evidence')} | {ratio(row, 'fixed')} "
        f"| {found['multiple_of_floor']:.1f} | {found['interior']:.3f} | {unweighted} | {found['loss_bias']:+.3f} "
        f"| {found['accuracy_error']:.3f} | {curved} | {row['gradient_passes']:,} | {row['fit_seconds']:.1f} |"
    )


HEAD = (
    "| method | damping by validation | by evidence | fixed 0.1 | × floor | interior | unweighted | bias "
    "| accuracy error | curvature error | gradient passes | seconds |\n" + "|---" * 12 + "|"
)


def digits_table(results: Mapping[str, Any]) -> str:
    """Families by place, then the best rows, then sensitivities."""
    rows = [row for row in results["rows"] if "study" not in row["factors"]]
    lines = [
        f"Seeds {', '.join(map(str, results['seeds']))}; preview error in loss as a multiple of averaging's, with 95 % "
        "bootstrap intervals over seeds; strengths chosen on validation data. Noise floor: "
        f"{results['floor']:.4f} nats.",
        "",
        "**Family, route and place** (at the finetunes, along the segment to the average, at the average, under the "
        "task's own posterior, centred at the average with its gradient):",
        "",
        "| family | route | " + " | ".join(PLACES) + " |",
        "|---" * (2 + len(PLACES)) + "|",
    ]
    families: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        factors = row["factors"]
        if factors["family"] in ("diagonal", "EKFAC", "K-FAC", "low rank", "dense") and factors["location"] in PLACES:
            families.setdefault((factors["family"], factors["route"]), {})[factors["location"]] = ratio(row)
    for (family, route), found in sorted(families.items()):
        lines.append(f"| {family} | {route} | " + " | ".join(found.get(place, "") for place in PLACES) + " |")
    shown = [
        row
        for row in rows
        if row["factors"]["family"] in ("subspace", "isotropic") or row["factors"].get("location") == "training"
    ]
    lines += ["", "**Subspaces, and what needs no curvature pass:**", "", HEAD, *map(row_line, shown)]
    lines += [
        "",
        "**Number of curvature examples per task** (fixed damping 0.1):",
        "",
        *examples_table(results["rows"]),
    ]
    lines += [
        "",
        "**Several runs per task** (diagonal true Fisher, groups by layers):",
        "",
        *runs_table(results["rows"]),
    ]
    return "\n".join(lines)


def examples_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Families by number of examples."""
    chosen = [row for row in rows if row["factors"].get("study") == "examples"]
    counts = sorted({row["factors"]["examples"] for row in chosen})
    lines = ["| family | " + " | ".join(map(str, counts)) + " |", "|---" * (1 + len(counts)) + "|"]
    for family in ("diagonal", "EKFAC", "subspace"):
        by_count = {row["factors"]["examples"]: row for row in chosen if row["factors"]["family"] == family}
        cells = [ratio(by_count[count], "fixed") if count in by_count else "" for count in counts]
        lines.append(f"| {family} | " + " | ".join(cells) + " |")
    return lines


def runs_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Mixtures against their control."""
    chosen = [row for row in rows if row["factors"].get("study") == "runs"]
    counts = sorted({row["factors"]["runs"] for row in chosen})
    lines = ["| responsibilities | " + " | ".join(f"{n} run{'s' * (n > 1)}" for n in counts) + " |"]
    lines.append("|---" * (1 + len(counts)) + "|")
    for words in ("EM", "equal responsibilities"):
        by_count = {row["factors"]["runs"]: row for row in chosen if row["factors"]["responsibilities"] == words}
        lines.append(f"| {words} | " + " | ".join(ratio(by_count[n]) if n in by_count else "" for n in counts) + " |")
    return lines


def sentiment_table(results: Mapping[str, Any]) -> str:
    """One factor at a time."""
    counts = {row["name"]: len(row["seeds"]) for row in results["rows"]}
    most = max(counts.values())
    partial = [f"{name} ({count})" for name, count in counts.items() if count < most]
    lines = [
        f"Seeds {', '.join(map(str, results['seeds']))}; errors on 325 test sentences per task; strengths chosen on "
        "100 validation sentences per task; all passes in bfloat16. Noise floor (three weightings, another seed): "
        f"{results['floor']:.4f} nats." + (f" Fewer seeds: {', '.join(partial)}." if partial else ""),
        "",
        HEAD,
        *map(row_line, results["rows"]),
    ]
    return "\n".join(lines)


def speed_table(results: Mapping[str, Any]) -> str:
    """Costs in plain passes."""
    models = [name for name in ("vit", "minilm") if name in results]
    names = list(results[models[0]]["actions"])
    titles = {name: f"{name}, {results[name]['parameters'] / 1e6:.3g} M parameters" for name in models}
    lines = [
        "| | " + " | ".join(f"{titles[m]} | lowest to highest | peak MB" for m in models) + " |",
        "|---" * (1 + 3 * len(models)) + "|",
    ]
    for name in names:
        cells = []
        for model in models:
            found = results[model]["actions"].get(name)
            if not found:
                cells.append(" | | ")
                continue
            low, high = found["lowest_ratio"], found["highest_ratio"]
            cells.append(f"{found['ratio']:.2f} | {low:.2f} to {high:.2f} | {found['peak_mb']:,}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


TABLES = {"digits": digits_table, "sentiment": sentiment_table}
COLOURS = {
    "isotropic": "#888888",
    "diagonal": "#1f77b4",
    "EKFAC": "#ff7f0e",
    "K-FAC": "#bcbd22",
    "low rank": "#2ca02c",
    "subspace": "#d62728",
}


def is_centred(factors: Mapping[str, Any]) -> bool:
    """Whether a gradient is part of it; subspaces of the study of examples are centred."""
    return factors.get("location", "centred" if factors["family"] == "subspace" else "") == "centred"


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Front error against curvature error."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 4.6), dpi=160)
    for family, colour in COLOURS.items():
        points = [
            (row["curvature_error"], row["rules"]["validation"]["ratio"], is_centred(row["factors"]))
            for row in results["rows"]
            if row["factors"]["family"] == family and row["curvature_error"] is not None
        ]
        for centred, marker in ((False, "o"), (True, "D")):
            chosen = [(x, y) for x, y, flag in points if flag == centred]
            if chosen:
                label = family + (", centred" if centred else "")
                axes.scatter(*zip(*chosen, strict=True), s=26, c=colour, marker=marker, label=label, alpha=0.85)
    axes.set_xlabel("curvature error: relative Frobenius distance to the Gauss-Newton matrix at the average")
    axes.set_ylabel("preview error, multiple of averaging's")
    axes.set_ylim(0, 1.15)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, ncols=2, frameon=False, loc="lower right")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
