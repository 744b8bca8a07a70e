"""How each family of posteriors lies in a file: what is written of it, and how it is read again.

A family is one row of `FAMILIES`: `write` notes the tensors and gives back the entries of the description beside
`family`; `read` takes both. What is large stays in the file until it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from paretomerge.checkpoints.posteriors.fields import entry, flag, number, row, table, text
from paretomerge.checkpoints.posteriors.layers import Layer, StoredFactors
from paretomerge.checkpoints.posteriors.tensors import Collected, Stored
from paretomerge.errors import CheckpointError, PosteriorError
from paretomerge.posteriors import (
    Basis,
    Curvature,
    Dense,
    Diagonal,
    DirectionLabel,
    Expanded,
    Isotropic,
    Kronecker,
    LowRank,
    Mixture,
    Posterior,
    Product,
    Subspace,
)


@dataclass(frozen=True)
class Family:
    """One family: how it is written, and how it is read."""

    write: Callable[[Any, Collected], dict[str, Any]]
    read: Callable[[Stored, Mapping[str, Any]], Curvature]


def write_posterior(posterior: Curvature, to: Collected) -> dict[str, Any]:
    """Note the tensors of a posterior; returns its description.

    Raises:
        PosteriorError: a family that this format does not know.
    """
    if not hasattr(posterior, "family"):
        raise PosteriorError(
            f"{type(posterior).__name__} is no posterior: save one such as Diagonal(mean, precision), or a checkpoint "
            "with write_checkpoint"
        )
    family = FAMILIES.get(posterior.family)
    if family is None:
        raise PosteriorError(
            f"posteriors of the family {posterior.family!r} cannot be saved: the file format knows "
            f"{', '.join(FAMILIES)}"
        )
    return {"family": posterior.family, **family.write(posterior, to)}


def read_posterior(stored: Stored, structure: Any) -> Curvature:
    """The posterior that a description says.

    Raises:
        CheckpointError: an unknown family.
        ValueError: a description that contradicts itself or its tensors.
        PosteriorError: values that are no posterior.
    """
    name = text(entry(structure, "family"), "the family")
    if name not in FAMILIES:
        raise CheckpointError(
            f"{stored.file.path}: holds a posterior of the unknown family {name[:80]!r}: it was written by an "
            "extension or by a newer paretomerge; upgrade"
        )
    return FAMILIES[name].read(stored, structure)


def _write_isotropic(posterior: Isotropic, to: Collected) -> dict[str, Any]:
    to.params("mean/", posterior.mean)
    return {"precision": posterior.precision}


def _read_isotropic(stored: Stored, structure: Mapping[str, Any]) -> Isotropic:
    return Isotropic(stored.mean("mean/"), number(entry(structure, "precision"), "the precision"))


def _write_diagonal(posterior: Diagonal, to: Collected) -> dict[str, Any]:
    to.params("mean/", posterior.mean)
    to.params("precision/", posterior.precision)
    return {}


def _read_diagonal(stored: Stored, structure: Mapping[str, Any]) -> Diagonal:
    return Diagonal(stored.mean("mean/"), stored.precision("precision/"))


def _write_dense(posterior: Dense, to: Collected) -> dict[str, Any]:
    to.params("mean/", posterior.mean)
    to.tensor("precision", posterior.precision)
    return {}


def _read_dense(stored: Stored, structure: Mapping[str, Any]) -> Dense:
    return Dense(stored.mean("mean/"), stored.tensor("precision"))


def _write_kronecker(posterior: Kronecker, to: Collected) -> dict[str, Any]:
    to.params("mean/", posterior.mean)
    found = posterior.factors
    if isinstance(found, StoredFactors):
        layers: Mapping[str, Any] = found.layers
        inputs, outputs, eigenvalues = found.inputs, found.outputs, found.eigenvalues
    else:
        layers = found
        inputs = {f.weight: f.inputs for f in found.values() if f.inputs is not None}
        outputs = {f.weight: f.outputs for f in found.values() if f.outputs is not None}
        eigenvalues = {f.weight: f.eigenvalues for f in found.values()}
    to.params("inputs/", inputs)
    to.params("outputs/", outputs)
    to.params("eigenvalues/", eigenvalues)
    return {"layers": [[name, layer.weight, layer.bias, layer.transposed] for name, layer in layers.items()]}


def _read_kronecker(stored: Stored, structure: Mapping[str, Any]) -> Kronecker:
    layers: dict[str, Layer] = {}
    for found in row(entry(structure, "layers"), "the layers"):
        name, weight, bias, transposed = row(found, "a layer", 4)
        layers[text(name, "the name of a layer")] = Layer(
            text(weight, "the weight of a layer"),
            None if bias is None else text(bias, "the bias of a layer"),
            flag(transposed, "whether a layer is transposed"),
        )
    mean = stored.mean("mean/")
    inputs, outputs, eigenvalues = (stored.precision(f"{what}/") for what in ("inputs", "outputs", "eigenvalues"))
    factors = StoredFactors(layers, inputs, outputs, eigenvalues, stored.file.path)
    return Kronecker(mean, factors.require_fits(mean))


def _write_low_rank(posterior: LowRank, to: Collected) -> dict[str, Any]:
    for what in ("mean", "diagonal", "factors"):
        to.params(f"{what}/", getattr(posterior, what))
    return {}


def _read_low_rank(stored: Stored, structure: Mapping[str, Any]) -> LowRank:
    return LowRank(stored.mean("mean/"), stored.precision("diagonal/"), stored.precision("factors/"))


def _write_subspace(posterior: Subspace, to: Collected) -> dict[str, Any]:
    to.params("origin/", posterior.origin)
    for index, direction in enumerate(posterior.basis.directions):
        to.params(f"basis/{index}/", direction)
    to.tensor("precision", posterior.precision)
    to.tensor("precision_mean", posterior.precision_mean)
    return {
        "labels": [[label.kind, label.task, label.group] for label in posterior.basis.labels],
        "anchors": {task: anchor.tolist() for task, anchor in posterior.basis.anchors.items()},
    }


def _read_subspace(stored: Stored, structure: Mapping[str, Any]) -> Subspace:
    labels = []
    for found in row(entry(structure, "labels"), "the labels"):
        kind, task, group = (text(part, "a label") for part in row(found, "a label", 3))
        labels.append(DirectionLabel(kind, task, group))  # type: ignore[arg-type]
    anchors = {
        task: torch.tensor([number(x, "an anchor") for x in row(anchor, "an anchor", len(labels))], dtype=torch.float64)
        for task, anchor in table(structure.get("anchors", {}), "the anchors").items()
    }
    directions = tuple(stored.precision(f"basis/{index}/") for index in range(len(labels)))
    origin = stored.mean("origin/")
    for direction in directions:
        for name in direction:
            if name not in origin or origin.spec(name).shape != direction.spec(name).shape:
                raise ValueError(f"a direction does not fit the tensor {name!r} of the origin")
    basis = Basis(directions, tuple(labels), anchors)
    return Subspace(origin, basis, stored.tensor("precision"), stored.tensor("precision_mean"))


def _write_expanded(posterior: Expanded, to: Collected) -> dict[str, Any]:
    to.params("slope/", posterior.slope)
    to.params("anchor/", posterior.anchor)
    return {"curvature": write_posterior(posterior.curvature, to.below("curvature/"))}


def _read_expanded(stored: Stored, structure: Mapping[str, Any]) -> Expanded:
    curvature = read_posterior(stored.below("curvature/"), entry(structure, "curvature"))
    return Expanded(_gaussian(curvature), stored.mean("slope/"), stored.mean("anchor/"))


def _write_product(posterior: Product, to: Collected) -> dict[str, Any]:
    parts = enumerate(posterior.parts.items())
    return {"parts": [[name, write_posterior(part, to.below(f"parts/{index}/"))] for index, (name, part) in parts]}


def _read_product(stored: Stored, structure: Mapping[str, Any]) -> Product:
    parts: dict[str, Posterior] = {}
    for index, found in enumerate(row(entry(structure, "parts"), "the parts")):
        name, part = row(found, "a part", 2)
        parts[text(name, "the name of a part")] = _gaussian(read_posterior(stored.below(f"parts/{index}/"), part))
    if not parts:
        raise ValueError("a product without parts")
    return Product(parts)


def _write_mixture(posterior: Mixture, to: Collected) -> dict[str, Any]:
    members = enumerate(posterior.components)
    return {
        "components": [write_posterior(member, to.below(f"components/{index}/")) for index, member in members],
        "log_weights": torch.as_tensor(posterior.log_weights).tolist(),
    }


def _read_mixture(stored: Stored, structure: Mapping[str, Any]) -> Mixture:
    members = enumerate(row(entry(structure, "components"), "the components"))
    components = [_gaussian(read_posterior(stored.below(f"components/{index}/"), member)) for index, member in members]
    logs = [number(x, "a log weight") for x in row(entry(structure, "log_weights"), "the log weights")]
    return Mixture(components, logs)


def _gaussian(found: Curvature) -> Posterior:
    if isinstance(found, Expanded):
        raise ValueError("an expansion inside of another posterior")
    return found


FAMILIES: dict[str, Family] = {
    Isotropic.family: Family(_write_isotropic, _read_isotropic),
    Diagonal.family: Family(_write_diagonal, _read_diagonal),
    Kronecker.family: Family(_write_kronecker, _read_kronecker),
    LowRank.family: Family(_write_low_rank, _read_low_rank),
    Dense.family: Family(_write_dense, _read_dense),
    Subspace.family: Family(_write_subspace, _read_subspace),
    Expanded.family: Family(_write_expanded, _read_expanded),
    Product.family: Family(_write_product, _read_product),
    Mixture.family: Family(_write_mixture, _read_mixture),
}
