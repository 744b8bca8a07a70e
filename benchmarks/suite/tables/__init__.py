"""The suite's tables, by the name of their place in `benchmarks/pages/suite.md`."""

from collections.abc import Callable

from benchmarks.suite.results import Results
from benchmarks.suite.tables.ablations import ablations
from benchmarks.suite.tables.cost import cost
from benchmarks.suite.tables.curvature import curvature
from benchmarks.suite.tables.joint_runs import joint_runs
from benchmarks.suite.tables.joint_steps import joint_steps
from benchmarks.suite.tables.more_flexible import more_flexible
from benchmarks.suite.tables.noise_floor import noise_floor
from benchmarks.suite.tables.overview import overview
from benchmarks.suite.tables.peers import peers
from benchmarks.suite.tables.preview_quality import preview_quality
from benchmarks.suite.tables.robustness import robustness
from benchmarks.suite.tables.routes import routes
from benchmarks.suite.tables.runs import runs
from benchmarks.suite.tables.searched_fronts import searched_fronts
from benchmarks.suite.tables.settings import settings
from benchmarks.suite.tables.uncertainty import reliability, uncertainty

__all__ = ["TABLES"]

TABLES: dict[str, Callable[[Results], str]] = {
    "overview": overview,
    "settings": settings,
    "noise floor": noise_floor,
    "preview quality": preview_quality,
    "more flexible": more_flexible,
    "peers": peers,
    "cost": cost,
    "robustness": robustness,
    "searched fronts": searched_fronts,
    "joint steps": joint_steps,
    "joint runs": joint_runs,
    "runs": runs,
    "routes": routes,
    "ablations": ablations,
    "curvature": curvature,
    "uncertainty": uncertainty,
    "reliability": reliability,
}
