"""What a run will take: pure cost models of every stage, and a simulation of many workers."""

from paretomerge.planning.costs import StageCost
from paretomerge.planning.fits import FitDemand, fit_demand
from paretomerge.planning.machines import EXAMPLES, Cluster, Machine, example_cluster
from paretomerge.planning.plans import Plan, plan_workload
from paretomerge.planning.simulation import Durations, Load, Simulated, compare_orders, simulate
from paretomerge.planning.sizes import ModelSize, transformer_size
from paretomerge.planning.tracing import Passes, trace_passes
from paretomerge.planning.work import Work
from paretomerge.planning.workload import Measured, Search, Workload

__all__ = [
    "EXAMPLES",
    "Cluster",
    "Durations",
    "FitDemand",
    "Load",
    "Machine",
    "Measured",
    "ModelSize",
    "Passes",
    "Plan",
    "Search",
    "Simulated",
    "StageCost",
    "Work",
    "Workload",
    "compare_orders",
    "example_cluster",
    "fit_demand",
    "plan_workload",
    "simulate",
    "trace_passes",
    "transformer_size",
]
