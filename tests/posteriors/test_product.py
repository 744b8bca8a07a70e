from __future__ import annotations

import pytest
import torch

from paretomerge.errors import PosteriorError
from paretomerge.posteriors import Isotropic, Product

HEAD, REST = Isotropic({"w": torch.ones(2)}, 2.0), Isotropic({"b": torch.ones(1)})


def test_energies_and_densities_of_the_parts_add():
    product, theta = Product({"head": HEAD, "rest": REST}), {"w": torch.tensor([0.5, 2.0]), "b": torch.tensor([3.0])}
    assert product.energy(theta) == pytest.approx(HEAD.energy(theta) + REST.energy(theta))
    assert product.log_density(theta) == pytest.approx(HEAD.log_density(theta) + REST.log_density(theta))
    assert product.blocks() == ("head/w", "rest/b")


def test_parts_must_be_disjoint_and_their_names_plain():
    with pytest.raises(PosteriorError, match="parameter 'w' is in the parts 'head' and 'rest'"):
        Product({"head": HEAD, "rest": Isotropic({"w": torch.ones(2)})})
    with pytest.raises(PosteriorError, match="the part name 'a/b' has a slash"):
        Product({"a/b": HEAD})


def test_only_products_of_the_same_parts_merge():
    product = Product({"head": HEAD, "rest": REST})
    for other in (HEAD, Product({"head": HEAD}), Product({"rest": REST, "head": HEAD})):
        with pytest.raises(PosteriorError, match="merges only with a product of the same parts"):
            product.require_same_kind(other)
    wider = Product({"head": Isotropic({"w": torch.ones(3)}), "rest": REST})
    with pytest.raises(PosteriorError, match="first difference at 'w'"):
        product.require_same_kind(wider)
