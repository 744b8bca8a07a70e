"""`exact` keeps mixed precision out of arithmetic, and leaves the caller's mode as it was."""

from __future__ import annotations

import torch

from paretomerge.arithmetic import exact


@exact
def product(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return one @ other


def test_products_inside_autocast_are_those_outside() -> None:
    one = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))

    with torch.autocast("cpu", torch.bfloat16):
        assert (one @ one.T).dtype == torch.bfloat16, "there is nothing to keep out"
        inside = product(one, one.T)
        assert torch.is_autocast_enabled("cpu")

    assert torch.equal(inside, one @ one.T)


def test_a_function_keeps_its_name_and_its_words() -> None:
    assert product.__name__ == "product"
