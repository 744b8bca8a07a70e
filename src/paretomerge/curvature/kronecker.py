"""Kronecker-factored curvature of layers, K-FAC and EKFAC: mean curvature of one average example, without prior.

For a layer with inputs `a` and output gradients `g` (a bias is a last input that is always one):

    K-FAC   H = G ⊗ A,   A = mean_b (1/S) Σ_s a aᵀ,   G = mean_b Σ_s g gᵀ       (sharing "expand")
                         A = mean_b ā āᵀ, ā = (1/S) Σ_s a,  G = mean_b ḡ ḡᵀ, ḡ = Σ_s g  ("reduce")
    EKFAC   H = (U_G ⊗ U_A) diag(Λ) (U_G ⊗ U_A)ᵀ,   Λ = mean_b (U_Gᵀ (Σ_s g aᵀ) U_A)²

with `U` the eigenvectors of the factors: EKFAC keeps the basis and measures the diagonal in it. Padding, where an
attention mask tells it, does not count as a position. Martens & Grosse, 2015, Optimizing Neural Networks with
Kronecker-factored Approximate Curvature; George et al., 2018, Fast Approximate Natural Gradient Descent in a
Kronecker-factored Eigenbasis; Eschenhagen et al., 2023, Kronecker-Factored Approximate Curvature for Modern Neural
Network Architectures.

Shapes: `B` examples, `S` positions that share the weight, `O` outputs, `I` inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from paretomerge.curvature.layers import Labels, LookupLayer, MatrixLayer, Sharing, Signals, backward_passes
from paretomerge.curvature.predictor import LossModel
from paretomerge.posteriors import KroneckerFactors
from paretomerge.types import Batch, Params, compute_dtype

Factored = MatrixLayer | LookupLayer


@dataclass(frozen=True, eq=False)
class KroneckerCurvature:
    """Factors of every layer, the diagonal of all other parameters, loss at the first point, and what it cost."""

    factors: dict[str, KroneckerFactors]
    rest: dict[str, Tensor]
    loss: float
    examples: int
    passes: int
    """Backward passes of single examples."""


def kronecker_curvature(
    model: LossModel,
    points: Sequence[Params],
    batches: Sequence[Batch],
    labels: Labels = "true",
    sharing: Sharing = "expand",
    corrected: bool = True,
    limit: int | None = None,
    generator: torch.Generator | None = None,
    chunk: int = 32,
) -> KroneckerCurvature:
    """K-FAC or, `corrected`, EKFAC factors, averaged over `points`.

    Linear layers, embeddings and convolutions of one group are factored; the parameters of everything else get the
    diagonal of the same labels. EKFAC goes over the data twice, with the same sampled labels.

    Args:
        model: the model and its loss.
        points: where it is taken; all examples count equally at each.
        batches: inputs and targets, the same each time they are read; the first `limit` examples are used.
        labels: `"true"` samples one label per example from the model, `"ggn"` sums over outputs, `"empirical"` takes
            the observed ones.
        sharing: how positions that share a weight enter the factors; the corrected eigenvalues need no such choice.
        corrected: whether the eigenvalues are measured.
        limit: number of examples, all when `None`.
        generator: the randomness of the sampled labels.
        chunk: examples differentiated at once where no layer helps.

    Memory: two square factors per layer and as many eigenvalues as parameters, in float64, beside
    what the diagonal takes (`diagonal_fisher`).

    Raises:
        DataError: no examples.
    """
    generator = generator if generator is not None else torch.Generator().manual_seed(0)
    state = generator.get_state()
    sweep = _Sweep(model, points, batches, labels, limit, generator, chunk)
    moments: dict[Factored, _Moments] = {}
    diagonal = {name: torch.zeros_like(points[0][name], dtype=torch.float64) for name in model.trainable}
    loss, examples, passes = 0.0, 0, 0
    for number, signals in sweep:
        _add_moments(moments, signals, sharing)
        signals.add_squares(diagonal, skip=moments.keys())
        loss += 0.0 if number else signals.losses
        examples += signals.examples if signals.first else 0
        passes += signals.examples
    found = {layer: each.factors(layer, examples) for layer, each in moments.items()}
    if corrected:
        generator.set_state(state)
        found = _corrected(found, sweep, examples)
        passes *= 2
    covered = {name for layer in found for name in layer.names}
    return KroneckerCurvature(
        {layer.name: _cast(factors, points[0][factors.weight].dtype) for layer, factors in found.items()},
        {name: (total / examples).to(points[0][name].dtype) for name, total in diagonal.items() if name not in covered},
        loss * len(points) / examples,
        examples // len(points),
        passes,
    )


@dataclass(frozen=True, eq=False)
class _Sweep:
    """All passes over all batches at all points, with the number of the point."""

    model: LossModel
    points: Sequence[Params]
    batches: Sequence[Batch]
    labels: Labels
    limit: int | None
    generator: torch.Generator
    chunk: int

    def __iter__(self) -> Iterator[tuple[int, Signals]]:
        for number, point in enumerate(self.points):
            for signals in backward_passes(
                self.model, point, self.batches, self.labels, self.limit, self.generator, self.chunk
            ):
                yield number, signals


@dataclass(eq=False)
class _Moments:
    """Sums of the two factors of a layer: `[I, I]` (its diagonal `[I]` for embeddings) and `[O, O]`, float64."""

    inputs: Tensor | float = 0.0
    outputs: Tensor | float = 0.0

    def factors(self, layer: Factored, examples: int) -> KroneckerFactors:
        """Eigenvectors of the factors, and the products of their eigenvalues."""
        assert layer.weight is not None
        assert isinstance(self.inputs, Tensor)
        assert isinstance(self.outputs, Tensor)
        along, basis_in = _eigen(self.inputs / examples) if self.inputs.ndim == 2 else (self.inputs / examples, None)
        across, basis_out = _eigen(self.outputs / examples)
        return KroneckerFactors(
            layer.weight, layer.bias, basis_in, basis_out, across[:, None] * along[None], layer.transposed
        )


def _add_moments(moments: dict[Factored, _Moments], signals: Signals, sharing: Sharing) -> None:
    for layer, calls in signals.calls.items():
        if isinstance(layer, Factored) and layer.is_factored:
            each = moments.setdefault(layer, _Moments())
            if signals.first:  # inputs are those of the batch, whatever is sent back
                each.inputs = each.inputs + layer.input_moment(calls, sharing, signals.real).to(torch.float64)
            each.outputs = each.outputs + layer.output_moment(calls, sharing).to(torch.float64)


def _corrected(
    found: dict[Factored, KroneckerFactors], sweep: _Sweep, examples: int
) -> dict[Factored, KroneckerFactors]:
    """The same bases with the mean squared projections of the examples' gradients."""
    values = {layer: torch.zeros_like(factors.eigenvalues) for layer, factors in found.items()}
    for _, signals in sweep:
        for layer, factors in found.items():
            if layer in signals.calls:
                assert factors.outputs is not None
                layer.add_projected_squares(signals.calls[layer], factors.inputs, factors.outputs, values[layer])
    return {layer: replace(factors, eigenvalues=values[layer] / examples) for layer, factors in found.items()}


def _eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, not negative, and eigenvectors."""
    values, vectors = torch.linalg.eigh(matrix)
    return values.clamp(min=0), vectors


def _cast(factors: KroneckerFactors, dtype: torch.dtype) -> KroneckerFactors:
    """In the dtype of the weight, at least float32."""
    dtype = compute_dtype([dtype])
    bases = {"inputs": factors.inputs, "outputs": factors.outputs, "eigenvalues": factors.eigenvalues}
    return replace(factors, **{name: None if basis is None else basis.to(dtype) for name, basis in bases.items()})  # type: ignore[arg-type]
