from __future__ import annotations

import pytest
import torch

from paretomerge.curvature.attention import differentiable_attention


def test_the_fast_path_is_off_inside_and_as_before_outside():
    assert torch.backends.mha.get_fastpath_enabled()
    with differentiable_attention():
        assert not torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.mha.get_fastpath_enabled()


def test_an_error_inside_restores_it_too():
    with pytest.raises(ZeroDivisionError), differentiable_attention():
        raise ZeroDivisionError
    assert torch.backends.mha.get_fastpath_enabled()
