"""The cost of every stage on a cluster: seconds, memory, disk and money, from sizes and counts alone.

Every stage is a process that starts, opens and recognises the checkpoints (it reads and digests them), and then works:

    merge      every element of every input is read, widened, added and written once; disk and processor side by side
    fit        `fits.fit_demand`, then the posteriors are written
    front      evaluations = a merge in memory, a copy into the model, and the forward passes of all tasks' examples;
               `simulation.simulate` puts them on the workers, with the driver's proposals between them
    export     a merge, its scores on test data, and the files
    finetune   steps × batch × (forward and backward), and the optimizer's pass over all parameters
    verify     so many of these, each scored on test data

Units: seconds, bytes. Constants with a unit were measured by `benchmarks/scale/plan.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import comb

from paretomerge.checkpoints.preflight.estimate import FIXED_MEMORY, merge_memory
from paretomerge.planning.fits import FLOAT, FitDemand, fit_demand
from paretomerge.planning.machines import Cluster, Machine
from paretomerge.planning.simulation import Durations, Load, simulate
from paretomerge.planning.work import Work
from paretomerge.planning.workload import Known, Workload

WIDENED = 10.0
"""Bytes that a streaming merge moves for every element of an input, beside its own: widened, scaled, added."""

MERGED_IN_MEMORY = 3.0
"""Passes over every input's elements, in float32, that a merge in memory makes."""

CHECKED = 3.0
"""Passes over every finetune's elements, in float32, that the check of task vectors makes."""

GRID, PREDICTED = 150, 18.0
"""Weightings at which losses are predicted, at most (`stages.landscape`), and passes over every posterior for each."""

OPTIMIZER = 13.0
"""Passes over all parameters, in float32, that one step of AdamW makes, gradients set to zero included."""

PROPOSAL, PROPOSAL_GROWTH, FURTHER_POINT = 0.14, 0.0023, 0.1
"""Seconds of the driver for a point, more for every score that is known, and the share for every further point."""

ANALYSIS = 1.0
"""Seconds of the driver once the search is over: the front, its intervals, signs of failure."""

CARD = 0.5
"""Seconds of a model card with the front's picture."""

RECORDED = 2.0
"""Activations of a pass whose layers' inputs and gradients are kept, in those of an ordinary pass."""

LIBRARIES = 180_000_000
"""Bytes of what the stages import beside a merge."""

SEARCH = 100_000_000
"""Bytes of what a search makes of its scores, and of a picture of its front."""


@dataclass(frozen=True)
class StageCost:
    """What one stage takes.

    Args:
        stage: its verb.
        seconds: of wall-clock time; `None` where nobody can know.
        devices: how many compute.
        machines: how many are paid for.
        host_memory: bytes of the largest process, or of all processes on a machine.
        device_memory: bytes of one device.
        disk: bytes that stay.
        money: in the cluster's currency.
        counts: gradient passes, evaluations, trainings.
        known: how the seconds are known.
        parts: what the seconds consist of.
        warnings: what will not work like this.
    """

    stage: str
    seconds: float | None
    devices: int
    machines: int
    host_memory: float
    device_memory: float
    disk: float
    money: float | None
    counts: Mapping[str, int] = field(default_factory=dict)
    known: Known = "estimated"
    parts: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def merge_cost(load: Workload, cluster: Cluster, models: int = 1) -> StageCost:
    """One streaming merge of the finetunes as they are, from disk to disk."""
    size, machine = load.size, cluster.machine
    inputs = 1 + load.tasks
    item = size.nbytes / max(1, sum(spec.numel for spec in size.specs.values()))
    checked = CHECKED * FLOAT * load.tasks * size.parameters
    traffic = size.parameters * (inputs * (item + WIDENED) + models * (item + WIDENED))
    written = models * size.nbytes
    parts = {
        "start": machine.start_up,
        "check": checked / machine.bandwidth,
        "merge": max(traffic / machine.bandwidth, inputs * size.nbytes / machine.read, written / machine.write),
    }
    memory = merge_memory(inputs, models, size.largest)
    return _stage("merge", cluster, parts, 1, memory, 0.0, written)


def fit_cost(load: Workload, cluster: Cluster) -> StageCost:
    """The posteriors of all tasks, one task after the other on one device."""
    machine, demand = cluster.machine, demand_of(load)
    parts = {**_opened(load, machine), "check": CHECKED * FLOAT * load.tasks * load.size.parameters / machine.bandwidth}
    known: Known = "estimated"
    if load.measured.fit is not None:
        parts["curvature"], known = load.measured.fit, "measured"
    elif demand.gradient_passes and load.passes is None:
        known = "unknown"
    else:
        parts["curvature"] = demand.work.seconds(machine, _dtype(load))
    parts["write"] = demand.stored / machine.write
    held = (1 + load.tasks) * load.size.nbytes + demand.held + FIXED_MEMORY + LIBRARIES
    activations = RECORDED * _activations(load)
    device = load.size.parameters * FLOAT + activations
    counts = {"gradient passes": demand.gradient_passes, "evaluations": demand.evaluations}
    return _stage("fit", cluster, parts, 1, held + _shared(machine, activations), device, demand.stored, counts, known)


def front_cost(load: Workload, cluster: Cluster) -> StageCost:
    """The evaluations of a front, on as many workers as are asked for and there are devices."""
    search, machine = load.search, cluster.machine
    each = devices_of_evaluation(load, machine)
    workers = max(1, min(search.workers, cluster.devices // each))
    seconds, known = evaluation_seconds(load, machine, "front")
    opened = _opened(load, machine)
    read = _posterior_bytes(load) / machine.read
    parts = {**opened, "posteriors": read, "predictions": predictions_work(load).seconds(machine)}
    if seconds is None:
        known = "unknown"
    elif search.evaluations:
        parts["evaluations"] = simulate(
            front_load(load, workers, seconds, (sum(opened.values()) + read) * (workers > 1))
        ).makespan
    parts["analysis"] = ANALYSIS
    here = math.ceil(workers / cluster.machines)
    copies = 1 if search.shared else here + (workers > 1)  # the driver has its own
    memory = copies * held_inputs(load) + (here + (workers > 1)) * held_by_worker(load)
    memory += SEARCH
    device = evaluation_memory(load) / each
    counts = {"evaluations": search.evaluations}
    return _stage("front", cluster, parts, workers * each, memory, device, 0.0, counts, known)


def predictions_work(load: Workload) -> Work:
    """Losses that posteriors without coordinates predict: at each weighting of a grid, a merge and a look at all."""
    family = getattr(load.fit, "family", "isotropic")
    if not load.reads_posteriors or family in ("isotropic", "subspace") or load.tasks == 1:
        return Work()
    sizes = [comb(d + load.tasks - 1, d) for d in range(1, 41)]
    looked = Work(traffic=PREDICTED * FLOAT * load.tasks * load.size.parameters)
    return max([size for size in sizes if size <= GRID] or sizes[:1]) * (merged_work(load) + looked)


def evaluation_memory(load: Workload) -> float:
    """Bytes of a model that is scored, and of a batch on its way."""
    return load.size.parameters * FLOAT + _activations(load, gradient=False)


def devices_of_evaluation(load: Workload, machine: Machine) -> int:
    """How many devices hold a model that is scored; they work one after the other, at the speed of one."""
    return 1 if machine.shares_memory else max(1, math.ceil(evaluation_memory(load) / machine.memory))


def front_load(load: Workload, workers: int, seconds: float, start_up: float = 0.0) -> Load:
    """The search as the simulation takes it."""
    search = load.search
    order = "asynchronous" if search.asynchronous else "batches"
    return Load(
        workers,
        search.evaluations,
        Durations(seconds),
        order,  # type: ignore[arg-type]
        batch=search.batch,
        first=search.first,
        propose=PROPOSAL,
        growth=PROPOSAL_GROWTH,
        further=FURTHER_POINT,
        start_up=start_up,
    )


def export_cost(load: Workload, cluster: Cluster) -> StageCost:
    """One merged model, scored on test data and written."""
    machine = cluster.machine
    seconds, known = evaluation_seconds(load, machine, "test")
    parts = {**_opened(load, machine), "posteriors": _posterior_bytes(load) / machine.read}
    if seconds is not None:
        parts["test scores"] = seconds
    parts["merge"] = merged_work(load).seconds(machine)
    parts["card"] = CARD
    parts["write"] = load.size.nbytes / machine.write
    each = devices_of_evaluation(load, machine)
    device = evaluation_memory(load) / each
    memory = held_inputs(load) + held_by_worker(load) + SEARCH
    return _stage("export", cluster, parts, each, memory, device, load.size.nbytes, {"evaluations": 1}, known)


def finetune_cost(load: Workload, cluster: Cluster, trainings: int = 1, stage: str = "finetune") -> StageCost:
    """Joint finetunings, one after the other, on as many devices as memory asks for; `verify` scores them too."""
    machine, recipe = cluster.machine, load.training
    dtype = recipe.precision if recipe.precision != "float32" else _dtype(load)
    needed = training_memory(load)
    devices = 1 if machine.shares_memory else min(cluster.devices, max(1, math.ceil(needed / machine.memory)))
    known: Known = "estimated"
    parts = _opened(load, machine)
    if load.measured.training is not None:
        parts["training"], known = trainings * load.measured.training, "measured"
    elif load.passes is None:
        known = "unknown"
    else:
        parts["training"] = trainings * training_work(load).seconds(machine, dtype, devices)
    parts["write"] = trainings * load.size.nbytes / machine.write
    # Before and after, on both splits; `verify` holds the preview against the truth, on test data.
    splits = ("test",) if stage == "verify" else ("front", "test")
    scored = [evaluation_seconds(load, machine, split)[0] for split in splits]
    known = "unknown" if None in scored else known
    parts["scores"] = 2 * trainings * sum(seconds or 0.0 for seconds in scored)
    host = load.size.nbytes + FIXED_MEMORY + LIBRARIES + _shared(machine, needed)
    counts = {"trainings": trainings, "gradient passes": trainings * training_passes(load)}
    return _stage(stage, cluster, parts, devices, host, needed / devices, trainings * load.size.nbytes, counts, known)


def demand_of(load: Workload) -> FitDemand:
    """What fitting takes."""
    return fit_demand(
        load.fit, load.size, load.passes, load.tasks, load.groups, load.count("fit"), load.count("validation")
    )


def evaluation_seconds(load: Workload, machine: Machine, split: str) -> tuple[float | None, Known]:
    """Of one merged model on all tasks, by one worker."""
    if load.measured.evaluation is not None and split == "front":
        return load.measured.evaluation, "measured"
    if load.passes is None or load.own_pace:
        return None, "unknown"
    scored = load.tasks * load.count(split) * load.passes.forward
    copied = Work(traffic=load.tasks * load.size.parameters * 2 * FLOAT)
    return scored.seconds(machine, _dtype(load)) + (merged_work(load) + copied).seconds(machine), "estimated"


def merged_work(load: Workload) -> Work:
    """One merge in memory."""
    inputs = _posterior_bytes(load) / FLOAT / load.tasks if load.reads_posteriors else load.tasks * load.size.parameters
    if load.fit is not None and load.reads_posteriors and load.fit.family != "subspace":
        inputs *= load.tasks
    return Work(traffic=MERGED_IN_MEMORY * FLOAT * (inputs + load.size.parameters), operations=4 * len(load.size.specs))


def training_passes(load: Workload) -> int:
    """Gradient passes of one joint finetuning inside the simplex."""
    recipe = load.training
    inside = {str(task): 1 / load.tasks for task in range(load.tasks)}
    return recipe.steps * recipe.batch_size(inside) * (recipe.ivon.samples if recipe.ivon else 1)


def training_work(load: Workload) -> Work:
    """One joint finetuning, without checks of the validation loss."""
    assert load.passes is not None
    recipe, passes = load.training, load.passes
    batch = training_passes(load) / recipe.steps
    # What starts an operation is paid once per pass, not once per example.
    per_pass = passes.gradient.operations * passes.batch
    gradient = Work(passes.gradient.flops * batch, passes.gradient.traffic * batch, per_pass * recipe.accumulate)
    step = gradient + Work(traffic=OPTIMIZER * FLOAT * load.size.parameters, operations=8 * len(load.size.specs))
    return recipe.steps * step


def training_memory(load: Workload) -> float:
    """Bytes: parameters, gradients, two moments, and what the passes leave behind."""
    batch = training_passes(load) / load.training.steps / load.training.accumulate
    own = load.passes.activations * batch if load.passes else 0.0
    return 4 * FLOAT * load.size.parameters + own


def held_inputs(load: Workload) -> float:
    """Bytes that every process which merges in memory needs: the base, and posteriors or finetunes."""
    finetunes = load.tasks * load.size.nbytes * (not load.reads_posteriors)
    return load.size.nbytes + finetunes + _held_posteriors(load) * load.reads_posteriors


def held_by_worker(load: Workload) -> float:
    """Bytes of such a process beside its inputs: one merge, the model, a batch, libraries."""
    own = load.size.nbytes + load.size.parameters * FLOAT + _activations(load, gradient=False)
    return own + FIXED_MEMORY + LIBRARIES


def _held_posteriors(load: Workload) -> float:
    """Directions of a subspace are shared by all tasks, in memory and not on the disk."""
    stored = _posterior_bytes(load)
    return stored / load.tasks if load.fit is not None and load.fit.family == "subspace" else stored


def _posterior_bytes(load: Workload) -> float:
    return demand_of(load).stored if load.fit is not None else load.tasks * 2 * FLOAT * load.size.parameters


def _activations(load: Workload, gradient: bool = True) -> float:
    """Of one batch; without gradients only a layer or so is held at a time."""
    if load.passes is None:
        return 0.0
    return load.passes.activations * load.passes.batch * (1.0 if gradient else 0.2)


def _opened(load: Workload, machine: Machine) -> dict[str, float]:
    """Start-up, and reading and digesting base and finetunes, one after the other."""
    held = (1 + load.tasks) * load.size.nbytes
    return {"start": machine.start_up, "open": held / machine.read + held / machine.digest}


def _shared(machine: Machine, device: float) -> float:
    """What is on the device is in the machine's memory where that is the same."""
    return device if machine.shares_memory else 0.0


def _dtype(load: Workload) -> str:
    return load.passes.dtype if load.passes is not None else "float32"


def _stage(
    stage: str,
    cluster: Cluster,
    parts: Mapping[str, float],
    devices: int,
    host: float,
    device: float,
    disk: float,
    counts: Mapping[str, int] | None = None,
    known: Known = "estimated",
) -> StageCost:
    machine = cluster.machine
    machines = min(cluster.machines, math.ceil(devices / machine.devices))
    seconds = None if known == "unknown" else sum(parts.values())
    money = None if seconds is None else seconds / 3600 * machines * machine.price
    warnings = []
    if host > machine.host_memory:
        warnings.append(f"{stage} needs {in_words(host)} of memory, a machine has {in_words(machine.host_memory)}")
    if device > machine.memory and not machine.shares_memory:
        warnings.append(f"{stage} needs {in_words(device)} on a device, which has {in_words(machine.memory)}")
    return StageCost(
        stage,
        seconds,
        devices,
        machines,
        host,
        device,
        disk,
        money,
        dict(counts or {}),
        known,
        dict(parts),
        tuple(warnings),
    )


def in_words(size: float) -> str:
    """Bytes for people.

    >>> in_words(1.5e9), in_words(0)
    ('1.5 GB', '0 B')
    """
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:.0f} B"
