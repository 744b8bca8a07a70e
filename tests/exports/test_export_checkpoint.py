"""A merged model leaves as a folder that loads like its base, with card and manifest."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import yaml

from paretomerge.checkpoints import MANIFEST, open_checkpoint, write_params
from paretomerge.errors import CheckpointError
from paretomerge.exports import ModelCard, export_checkpoint, render_card
from paretomerge.types import FrontPoint, Objective

BASE = {"w": torch.ones(2, 2, dtype=torch.bfloat16), "n": torch.tensor([1, 2])}
CARD = ModelCard(
    name="A merge",
    method="linear",
    settings={"ridge": 0.1},
    finetunes={"math": "bert-math", "code": "bert|code"},
    digests={"math": "abc"},
    objectives=(Objective("loss", "minimise", "nats"), Objective("accuracy", "maximise")),
)
POINT = FrontPoint(
    3, {"math": 0.6, "code": 0.4}, {"loss": 1.25, "accuracy": 0.9}, {"loss": 0.01, "accuracy": 0.02}, "predicted"
)


@pytest.fixture
def base(tmp_path):
    folder = write_params(tmp_path / "base", BASE)
    (folder / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}))
    (folder / "vocab.txt").write_text("[PAD]")
    return open_checkpoint(folder)


@pytest.mark.parametrize("form", ["params", "blocks"])
def test_the_result_has_the_dtypes_and_side_files_of_the_base(tmp_path, base, form):
    merged = {"w": torch.full((2, 2), 1.5)}
    given = merged if form == "params" else iter(merged.items())
    folder = export_checkpoint(tmp_path / "out", given, base=base, card=CARD, point=POINT)
    result = open_checkpoint(folder)
    assert torch.equal(result["w"], torch.full((2, 2), 1.5, dtype=torch.bfloat16))
    assert torch.equal(result["n"], BASE["n"])
    assert [file.name for file in result.side_files] == ["config.json", "vocab.txt"]


def test_the_manifest_records_what_went_in(tmp_path, base):
    folder = export_checkpoint(tmp_path / "out", BASE, base=base, card=CARD, point=POINT)
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["base"] == {"name": "base", "digest": base.digest}
    assert manifest["method"] == {"name": "linear", "settings": {"ridge": 0.1}}
    assert manifest["finetunes"]["math"] == {"name": "bert-math", "digest": "abc"}
    assert manifest["point"]["weights"] == POINT.weights
    assert manifest["point"]["origin"] == "predicted"
    assert manifest["point"]["stdev"]["loss"] == 0.01


def test_the_card_gives_weights_scores_with_deviations_and_their_origin(base):
    text = render_card(CARD, base, POINT)
    assert "| math | 0.6 | bert-math |" in text
    assert "bert\\|code" in text
    assert "| loss | 1.25 nats | 1.234 to 1.266 nats | lower |" in text  # 1.645 standard deviations
    assert "| accuracy | 0.9 | 0.8671 to 0.9329 | higher |" in text
    assert "predicted by a surrogate, not measured" in text
    assert "BertModel.from_pretrained" in text
    assert str(base.source.parent) not in text
    header = yaml.safe_load(text.split("---")[1])
    assert header == {"library_name": "transformers", "tags": ["merge", "paretomerge"]}


@pytest.mark.parametrize("origin", ["merged", "trained"])
def test_the_card_says_which_model_was_measured(base, origin):
    point = FrontPoint(0, POINT.weights, POINT.values, POINT.stdev, origin)
    text = render_card(CARD, base, point)
    assert f"origin: `{origin}`" in text
    assert ("not on this merge" in text) == (origin == "trained")


def test_a_picture_is_copied_and_shown_and_an_older_one_is_not_kept(tmp_path, base):
    (tmp_path / "new").mkdir()
    picture = tmp_path / "new" / "front.png"
    picture.write_bytes(b"a picture")
    folder = export_checkpoint(tmp_path / "out", BASE, base=base, card=replace(CARD, picture=picture), point=POINT)
    assert (folder / "front.png").read_bytes() == b"a picture"
    assert "](front.png)" in (folder / "README.md").read_text()
    again = open_checkpoint(folder)
    assert [file.name for file in again.side_files] == ["config.json", "vocab.txt"]
    picture.write_bytes(b"another")
    second = export_checkpoint(tmp_path / "second", BASE, base=again, card=replace(CARD, picture=picture), point=POINT)
    assert (second / "front.png").read_bytes() == b"another"


def test_another_dtype_is_written_once_rounded_and_said_in_the_configuration(tmp_path, base):
    (base.source / "config.json").write_text(json.dumps({"dtype": "bfloat16", "text_config": {"torch_dtype": "x"}}))
    merged = {"w": torch.full((2, 2), 1.0001)}
    folder = export_checkpoint(tmp_path / "out", merged, base=base, card=CARD, dtype=torch.float32)
    result = open_checkpoint(folder)
    assert torch.equal(result["w"], merged["w"])
    assert torch.equal(result["n"], BASE["n"])
    config = json.loads((folder / "config.json").read_text())
    assert config == {"dtype": "float32", "text_config": {"torch_dtype": "float32"}}


def test_side_files_may_be_given(tmp_path, base):
    (tmp_path / "tokenizer.json").write_text("{}")
    folder = export_checkpoint(tmp_path / "out", BASE, base=base, card=CARD, side_files=[tmp_path / "tokenizer.json"])
    assert [file.name for file in open_checkpoint(folder).side_files] == ["tokenizer.json"]


def test_a_base_in_memory_and_no_point_still_have_a_card():
    text = render_card(ModelCard("x", "linear", notes="A note."), open_checkpoint(BASE), None)
    assert "a model in memory" in text
    assert "open_checkpoint" in text
    assert "## Scores" not in text
    assert text.endswith("A note.\n")


def test_merged_tensors_that_do_not_fit_the_base_are_refused(tmp_path, base):
    for merged, expected in (({}, "ended before 1"), ({"w": torch.ones(3)}, "was planned"), ({"z": BASE["w"]}, "'z'")):
        with pytest.raises(CheckpointError, match=expected):
            export_checkpoint(tmp_path / "out", merged, base=base, card=CARD)
        assert not (tmp_path / "out").exists()


def test_an_existing_target_is_refused_or_swapped(tmp_path, base):
    export_checkpoint(tmp_path / "out", BASE, base=base, card=CARD)
    with pytest.raises(CheckpointError, match="overwrite"):
        export_checkpoint(tmp_path / "out", BASE, base=base, card=CARD)
    twice = {"w": BASE["w"] * 2}
    export_checkpoint(tmp_path / "out", twice, base=base, card=CARD, overwrite=True)
    assert torch.equal(open_checkpoint(tmp_path / "out")["w"], twice["w"])


@pytest.mark.parametrize("max_shard_bytes", [5_000_000_000, 2_000])
def test_transformers_loads_the_result(tmp_path, max_shard_bytes):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=20,
        max_position_embeddings=10,
    )  # fmt: skip
    model = transformers.BertForMaskedLM(config)
    model.save_pretrained(tmp_path / "base")
    base = open_checkpoint(tmp_path / "base")
    merged = {name: base[name] * 1.5 for name in base if base.spec(name).is_mergeable}
    folder = export_checkpoint(
        tmp_path / "out", merged, base=base, card=CARD, point=POINT, max_shard_bytes=max_shard_bytes
    )
    assert (folder / "model.safetensors.index.json").exists() == (max_shard_bytes == 2_000)
    loaded, info = transformers.BertForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    state, before = loaded.state_dict(), model.state_dict()
    for name, tensor in merged.items():
        assert torch.equal(state[name], tensor)
        assert torch.equal(state[name], before[name] * 1.5)
