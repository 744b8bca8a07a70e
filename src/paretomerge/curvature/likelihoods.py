"""Losses with what curvature needs of them: derivatives with respect to the model's outputs.

Shapes: `B` examples, `C` outputs, `D` directions, `L` positions, `V` tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from paretomerge.curvature.roots import softmax_root
from paretomerge.errors import DataError, nearest
from paretomerge.types import LikelihoodName

UNLABELLED = -100
"""The target of a position that has no label, as Hugging Face collators write it."""


class Likelihood(Protocol):
    """Negative log likelihood of targets given outputs.

    Law (tested): with targets drawn from the model, `E[n_b g_b g_bᵀ] = H_b` (Bartlett's identity), where `g_b` and
    `H_b` are gradient and curvature of the loss of an example, and `n_b` its number of labels. Outputs and gradients
    may have more than two dimensions; everything but the first counts as outputs.
    """

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each example, `[B]`."""
        ...

    def gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """`∂ loss_b / ∂ outputs_b`, `[B, C]`."""
        ...

    def curvature_product(self, outputs: Tensor, tangents: Tensor, targets: Tensor | None = None) -> Tensor:
        """`∂² loss_b / ∂ outputs_b² · u` for tangents `[D, B, C]`; targets only say where there are labels."""
        ...

    def curvature_root(self, outputs: Tensor, targets: Tensor | None = None) -> Iterator[Tensor]:
        """Columns `s_r [B, C]` with `Σ_r s_r s_rᵀ = ∂² loss_b / ∂ outputs_b²`."""
        ...

    def sample(self, outputs: Tensor, generator: torch.Generator, targets: Tensor | None = None) -> Tensor:
        """Targets drawn from the model itself, as the true Fisher needs, where `targets` have labels."""
        ...

    def label_counts(self, targets: Tensor) -> Tensor:
        """`n_b`: how many labels the loss of each example is the mean of, `[B]`."""
        ...


class Categorical:
    """Softmax cross-entropy: outputs are logits `[B, C]`, targets class indices `[B]`.

    With `p = softmax(outputs)` the curvature is `diag(p) - ppᵀ`.
    """

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """`-log p[target]`."""
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    def gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """`p - onehot(target)`."""
        return outputs.softmax(-1) - nn.functional.one_hot(targets, outputs.shape[-1]).to(outputs.dtype)

    def curvature_product(self, outputs: Tensor, tangents: Tensor, targets: Tensor | None = None) -> Tensor:
        """`p∘u - p(pᵀu)`."""
        weighted = outputs.softmax(-1) * tangents
        return weighted - outputs.softmax(-1) * weighted.sum(-1, keepdim=True)

    def curvature_root(self, outputs: Tensor, targets: Tensor | None = None) -> Iterator[Tensor]:
        """One column less than classes."""
        return softmax_root(outputs)

    def sample(self, outputs: Tensor, generator: torch.Generator, targets: Tensor | None = None) -> Tensor:
        """Class indices drawn from `p`."""
        return _draw(outputs, generator)

    def label_counts(self, targets: Tensor) -> Tensor:
        """One."""
        return torch.ones(len(targets), device=targets.device)

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether the largest output is the label's, one or zero, `[B]`."""
        return (outputs.argmax(-1) == targets).double()


class Gaussian:
    """Half the squared error, `½‖outputs - targets‖²`: unit noise variance, curvature `I`."""

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Half the squared distance."""
        return 0.5 * (outputs - targets).square().sum(-1)

    def gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """`outputs - targets`."""
        return outputs - targets

    def curvature_product(self, outputs: Tensor, tangents: Tensor, targets: Tensor | None = None) -> Tensor:
        """The identity."""
        return tangents

    def curvature_root(self, outputs: Tensor, targets: Tensor | None = None) -> Iterator[Tensor]:
        """The unit vectors."""
        for unit in torch.eye(outputs.shape[-1], dtype=outputs.dtype, device=outputs.device):
            yield unit.expand_as(outputs)

    def sample(self, outputs: Tensor, generator: torch.Generator, targets: Tensor | None = None) -> Tensor:
        """`outputs + ε`."""
        noise = torch.randn(outputs.shape, generator=generator, dtype=outputs.dtype, device=generator.device)
        return outputs + noise.to(outputs.device)

    def label_counts(self, targets: Tensor) -> Tensor:
        """One."""
        return torch.ones(len(targets), device=targets.device)


@dataclass(frozen=True)
class TokenCategorical:
    """Softmax cross-entropy at every labelled position: outputs are logits `[B, L, V]`, targets token indices `[B, L]`.

    The loss of an example is the mean over its `n_b` labelled positions, those whose target is not -100. An example
    without any labelled position has weight zero: loss, gradient and curvature vanish, and it counts as an example.

    Args:
        shift: position `i` predicts the target at `i + shift`: 0 for token classification, masked language models and
            sequence-to-sequence models, 1 for causal language models.
    """

    shift: int = 0

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """`-1/n_b Σ_i log p_i[label_i]`."""
        labels = self._labels(outputs, targets)
        each = nn.functional.cross_entropy(outputs.movedim(-1, 1), labels, ignore_index=UNLABELLED, reduction="none")
        return (each * _shares(labels, outputs.dtype)).sum(-1)

    def gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """`(p_i - onehot(label_i)) / n_b` at labelled positions, zero at all others, `[B, L, V]`."""
        labels = self._labels(outputs, targets)
        expected = nn.functional.one_hot(labels.clamp(min=0), outputs.shape[-1]).to(outputs.dtype)
        return (outputs.softmax(-1) - expected) * _shares(labels, outputs.dtype)[..., None]

    def curvature_product(self, outputs: Tensor, tangents: Tensor, targets: Tensor | None = None) -> Tensor:
        """`(p_i∘u_i - p_i(p_iᵀu_i)) / n_b` at labelled positions, zero at all others, `[D, B, L, V]`."""
        labels = self._labels(outputs, targets)
        probabilities = outputs.softmax(-1)
        weighted = probabilities * _shares(labels, outputs.dtype)[..., None] * tangents
        return weighted - probabilities * weighted.sum(-1, keepdim=True)

    def curvature_root(self, outputs: Tensor, targets: Tensor | None = None) -> Iterator[Tensor]:
        """For every labelled position one column less than tokens: a pass for each, so for short and few only."""
        shares = _shares(self._labels(outputs, targets), outputs.dtype).sqrt()[..., None]
        for position in range(outputs.shape[1]):
            if not bool(shares[:, position].any()):
                continue
            for column in softmax_root(outputs[:, position]):
                root = torch.zeros_like(outputs)
                root[:, position] = column * shares[:, position]
                yield root

    def sample(self, outputs: Tensor, generator: torch.Generator, targets: Tensor | None = None) -> Tensor:
        """Tokens drawn from `p_i` at labelled positions, -100 at all others; earlier tokens stay as observed."""
        labels = self._labels(outputs, targets)
        drawn = _draw(outputs.flatten(0, 1), generator).view_as(labels)
        return _moved(torch.where(labels == UNLABELLED, UNLABELLED, drawn), self.shift)

    def label_counts(self, targets: Tensor) -> Tensor:
        """The number of labelled positions."""
        return (targets[:, self.shift :] != UNLABELLED).sum(-1)

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Share of each example's labelled positions whose largest output is the label's, `[B]`; zero without any."""
        labels = self._labels(outputs, targets)
        return ((outputs.argmax(-1) == labels) * _shares(labels, torch.float64)).sum(-1)

    def _labels(self, outputs: Tensor, targets: Tensor | None) -> Tensor:
        """The label that each position of the outputs predicts, `[B, L]`."""
        if targets is None:
            raise DataError("the curvature of tokens depends on which positions have labels: give the targets too")
        if outputs.shape[:-1] != targets.shape:
            raise DataError(
                f"the model gives outputs of shape {list(outputs.shape)}, so targets [B, L] must be of shape "
                f"{list(outputs.shape[:-1])}, but they are {list(targets.shape)}: pad both to one length (targets by "
                f"{UNLABELLED}), and choose the likelihood 'categorical' for one label per example"
            )
        return _moved(targets, -self.shift)


def _draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """One index per row, `[B]`, on whatever device the generator lives."""
    shares = logits.softmax(-1).to(generator.device)
    if not bool(shares.isfinite().all()):
        raise DataError(
            "the model's outputs are NaN or infinite, so no label can be drawn from it: the finetune diverged, or "
            "overflowed in half precision; `paretomerge check` names the tensors"
        )
    return torch.multinomial(shares, 1, generator=generator)[:, 0].to(logits.device)


def _shares(labels: Tensor, dtype: torch.dtype) -> Tensor:
    """`1/n_b` at labelled positions, zero at all others, `[B, L]`."""
    labelled = (labels != UNLABELLED).to(dtype)
    return labelled / labelled.sum(-1, keepdim=True).clamp(min=1)


def _moved(labels: Tensor, places: int) -> Tensor:
    """Labels moved right (left if negative) along the positions, filled up with -100."""
    return nn.functional.pad(labels, (places, -places), value=UNLABELLED)


def likelihood_of(name: str) -> Likelihood:
    """The likelihood that a `Problem` names: `"categorical"`, `"gaussian"`, `"tokens"` or `"causal"`.

    Raises:
        DataError: an unknown name.
    """
    known: dict[LikelihoodName, Likelihood] = {
        "categorical": Categorical(),
        "gaussian": Gaussian(),
        "tokens": TokenCategorical(),
        "causal": TokenCategorical(shift=1),
    }
    if name not in known:
        raise DataError(f"unknown likelihood {name!r}{nearest(name, known)}: one of {', '.join(known)}")
    return known[name]
