from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.checkpoints import open_checkpoint
from paretomerge.checkpoints.repairs.token_rows import TokenTensors, plan_rows
from paretomerge.types import Params

TOKENS = "abcdef"


@st.composite
def vocabularies(draw: st.DrawFn) -> tuple[dict[str, int], int]:
    """Some tokens in any rows, and an embedding with room for them and for padding."""
    tokens = draw(st.lists(st.sampled_from(TOKENS), min_size=1, unique=True))
    count = len(tokens) + draw(st.integers(0, 3))
    places = draw(st.permutations(range(count)))
    return dict(zip(tokens, places, strict=False)), count


def _embedding(vocabulary: dict[str, int], count: int, seed: int, dtype: torch.dtype = torch.float64) -> Params:
    values = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return {"w": values.to(dtype)}


@given(vocabularies(), st.lists(vocabularies(), min_size=1, max_size=3), st.booleans(), st.data())
def test_every_row_is_its_token(base, models, by_base: bool, data: st.DataObject) -> None:
    tunes = {f"t{number}": held for number, held in enumerate(models)}
    target, count = base
    if not by_base:  # a vocabulary that contains all, in a model of its own
        everything = sorted(set(base[0]).union(*(held[0] for held in models)))
        count = len(everything) + data.draw(st.integers(0, 2))
        target = dict(zip(everything, data.draw(st.permutations(range(count))), strict=False))
        tunes["wide"] = (target, count)
    params = {name: _embedding(*held, seed) for seed, (name, held) in enumerate({"": base, **tunes}.items())}
    own, others = plan_rows(target, count, base, tunes)
    made = {
        name: TokenTensors(params[name], ["w"], plan, params[""], {t: params[t] for t in tunes}).read("w")
        for name, plan in {"": own, **others}.items()
    }
    for token, row in target.items():
        knowing = [name for name in tunes if token in tunes[name][0]]
        for name, (vocabulary, _) in {"": base, **tunes}.items():
            if token in vocabulary:
                expected = params[name]["w"][vocabulary[token]]
            elif token in base[0]:
                expected = params[""]["w"][base[0][token]]
            else:
                expected = torch.stack([params[t]["w"][tunes[t][0][token]] for t in knowing]).mean(0)
            torch.testing.assert_close(made[name][row], expected, rtol=1e-14, atol=1e-15)
    padding = sorted(set(range(count)) - set(target.values()))
    for row in padding:
        assert all(torch.equal(values[row], made[""][row]) for values in made.values()), "no task vector in padding"
        if row < base[1]:
            assert torch.equal(made[""][row], params[""]["w"][row])


def test_rows_are_gathered_into_the_buffer_that_is_given() -> None:
    base = {"w": torch.arange(6.0, dtype=torch.bfloat16).reshape(3, 2)}
    tune = {"w": torch.arange(10.0, 14.0, dtype=torch.float16).reshape(2, 2)}
    _, plans = plan_rows({"a": 0, "b": 1, "c": 2}, 3, ({"a": 0, "b": 1, "c": 2}, 3), {"t": ({"c": 0, "a": 1}, 2)})
    tensors = TokenTensors(tune, ["w"], plans["t"], base, {})
    assert tensors.spec("w").shape == (3, 2)
    assert tensors.spec("w").dtype == torch.float16
    buffer = torch.zeros(64, dtype=torch.uint8)
    read = tensors.read("w", buffer)
    assert read.data_ptr() == buffer.data_ptr()
    assert read.tolist() == [[12, 13], [2, 3], [10, 11]]
    assert torch.equal(tensors.read("w"), read)
    assert tensors.locate("w") == (tensors, "w")


def test_vectors_have_rows_too() -> None:
    _, plans = plan_rows({"a": 0, "b": 1}, 2, ({"a": 0, "b": 1}, 2), {"t": ({"b": 0, "a": 1}, 2)})
    tensors = TokenTensors({"w": torch.tensor([1.0, 2.0])}, ["w"], plans["t"], {"w": torch.zeros(2)}, {})
    assert tensors.read("w").tolist() == [2, 1]


def test_a_file_that_was_replaced_is_noticed_behind_the_rows(tmp_path) -> None:
    import pytest

    from paretomerge.checkpoints import write_params
    from paretomerge.errors import StorageError

    opened = open_checkpoint(write_params(tmp_path / "m", {"w": torch.zeros(2, 2)}))
    _, plans = plan_rows({"a": 0, "b": 1}, 2, ({"a": 0, "b": 1}, 2), {"t": ({"b": 0, "a": 1}, 2)})
    tensors = TokenTensors(opened, ["w"], plans["t"], opened, {"o": opened})
    tensors.require_unchanged()
    write_params(tmp_path / "m", {"w": torch.zeros(3, 2)}, overwrite=True)
    with pytest.raises(StorageError):
        tensors.require_unchanged()
