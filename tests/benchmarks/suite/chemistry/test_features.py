from __future__ import annotations

import json
import math

import pytest
import torch
from benchmarks.suite.chemistry.features import (
    bert,
    hidden_token_loss,
    load,
    measure_features,
    nearest,
    published_fingerprint,
    shared_neighbours,
)
from benchmarks.suite.chemistry.reactions import TOKEN, reactions

from paretomerge.errors import AlignmentError

transformers = pytest.importorskip("transformers")
SIZES = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("bert")
    tokens = sorted({token for of_kind in reactions().values() for text in of_kind for token in TOKEN.findall(text)})
    (place / "vocab.txt").write_text("\n".join([*MARKS, *tokens]))
    config = {**SIZES, "vocab_size": len(MARKS) + len(tokens), "max_position_embeddings": 128}
    (place / "config.json").write_text(json.dumps(config))
    return place


def drawn(folder, seed):
    torch.manual_seed(seed)
    return {name: tensor.clone() for name, tensor in bert(folder).state_dict().items()}


def test_every_parameter_is_loaded_and_the_output_layer_has_the_token_embeddings(folder):
    params = drawn(folder, 1)
    del params["cls.predictions.decoder.weight"], params["cls.predictions.decoder.bias"]
    module = bert(folder)
    load(module, params)
    state = module.state_dict()
    for name, tensor in params.items():
        assert torch.equal(state[name], tensor), name
    assert torch.equal(state["cls.predictions.decoder.weight"], params["bert.embeddings.word_embeddings.weight"])
    assert torch.equal(state["cls.predictions.decoder.bias"], params["cls.predictions.bias"])


def test_a_parameter_that_is_missing_is_an_error(folder):
    params = drawn(folder, 1)
    del params["cls.predictions.transform.dense.weight"]
    with pytest.raises(AlignmentError, match=r"1 parameters are missing, first 'cls\.predictions\.transform\.dense"):
        load(bert(folder), params)


def test_a_model_that_knows_nothing_loses_the_logarithm_of_the_vocabulary(folder):
    params = {name: torch.zeros_like(tensor) for name, tensor in drawn(folder, 1).items()}
    module = bert(folder)
    load(module, params)
    size = len(params["cls.predictions.bias"])
    numbers = torch.randint(5, size, (3, 12))
    assert hidden_token_loss(module, numbers, torch.ones_like(numbers), 4) == pytest.approx(math.log(size), rel=1e-5)


def test_features_of_a_model_are_its_own_and_change_with_it(folder):
    models = {"base": drawn(folder, 1), "same": drawn(folder, 1), "other": drawn(folder, 2)}
    found = measure_features(models, ["base"], folder)
    assert found["base"] == found["same"]
    assert found["base"]["shared_neighbours"] == {"base": 1.0}
    assert found["other"]["shared_neighbours"]["base"] < 1
    assert found["other"]["hidden_token_loss"] != found["base"]["hidden_token_loss"]
    assert len(published_fingerprint(models["base"], folder)) == SIZES["hidden_size"]


def test_neighbours_are_others_and_those_of_least_angle():
    angles = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 3.0])
    features = torch.stack([angles.cos(), angles.sin()], dim=1) * torch.arange(1, 8)[:, None]
    assert nearest(features)[0].tolist() == [1, 2, 3, 4, 5]
    assert set(nearest(features)[6].tolist()) == {1, 2, 3, 4, 5}
    moved = features.clone()
    moved[5] = torch.tensor([-1.0, -5.0])
    assert shared_neighbours(features, features * 3) == 1.0
    assert 0.5 < shared_neighbours(features, moved) < 1.0
