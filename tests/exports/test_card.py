"""The model card says how, what, at which cost, and whom to cite; hubs can read its header."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from tests.exports.test_export_checkpoint import CARD, POINT

from paretomerge.checkpoints import open_checkpoint, write_params
from paretomerge.exports import citations_of, render_card
from paretomerge.exports.hub_header import PIPELINES, pipeline_of
from paretomerge.exports.scores_table import interval_of
from paretomerge.types import Ledger, Objective

OBJECTIVES = (
    Objective("loss[math]", "minimise", "nats", (0.0, None), "math", "loss"),
    Objective("accuracy[math]", "maximise", "", (0.0, 1.0), "math", "accuracy"),
    Objective("accuracy[code]", "maximise", "", (0.0, 1.0), "code", "accuracy"),
)
VALUES = {"loss[math]": 1.25, "accuracy[math]": 0.9, "accuracy[code]": 0.99}
DEVIATIONS = {"loss[math]": 0.1, "accuracy[math]": 0.0, "accuracy[code]": 0.05}
MEASURED = replace(POINT, values=VALUES, stdev=DEVIATIONS, origin="merged")
FULL = replace(
    CARD,
    objectives=OBJECTIVES,
    base="org/bert",
    license="apache-2.0",
    gives_up={"loss[math]": 0.125, "accuracy[math]": 0.0},
    ledger=Ledger(trainings=1, gradient_passes=2000, evaluations=15, seconds=12.6),
    picture=Path("somewhere/front.png"),
    citations=citations_of("posterior", family="subspace", front="informed"),
)


@pytest.fixture
def base(tmp_path):
    folder = write_params(tmp_path / "base", {"w": torch.ones(2)})
    (folder / "config.json").write_text(json.dumps({"architectures": ["BertForSequenceClassification"]}))
    return open_checkpoint(folder)


def test_everything_a_reader_asks_is_there(base):
    text = render_card(FULL, base, MEASURED)
    assert "on the test examples" in text
    assert "| loss[math] | 1.25 nats | 1.086 to 1.414 nats | lower |" in text
    assert "| accuracy[code] | 0.99 | 0.9078 to 1 | higher |" in text
    assert "| accuracy[math] | 0.9 | – | higher |" in text  # an error of zero is one that nobody knows
    assert "- loss[math]: 0.125 nats" in text
    assert "1 training, 2,000 gradient passes, 15 evaluations, 13 s" in text
    assert "![The front that this model was chosen from](front.png)" in text
    assert "somewhere" not in text
    assert "@article{monzon2024weight," in text
    assert "@inproceedings{li2025map," in text
    order = [
        text.index(part) for part in ("## Tasks", "## Scores", "gives up", "## Loading", "## Cost", "## Citations")
    ]
    assert order == sorted(order)


def test_costs_of_nothing_are_not_listed(base):
    text = render_card(replace(FULL, ledger=Ledger(evaluations=1, seconds=2)), base, MEASURED)
    assert "that it started from: 1 evaluation, 2 s." in text


def test_what_happened_after_the_scores_is_said_and_they_are_no_results_then(base):
    text = render_card(FULL, base, MEASURED, beforehand="the weights were written as float16")
    assert "Scores are from before the weights were written as float16." in text
    assert "model-index" not in text


def test_the_header_lists_measured_scores_as_results_of_the_model(base):
    header = yaml.safe_load(render_card(FULL, base, MEASURED).split("---")[1])
    assert header["base_model"] == "org/bert"
    assert header["base_model_relation"] == "merge"
    assert header["license"] == "apache-2.0"
    assert header["pipeline_tag"] == "text-classification"
    assert header["metrics"] == ["loss", "accuracy"]
    [entry] = header["model-index"]
    assert [result["dataset"]["name"] for result in entry["results"]] == ["math", "code"]
    assert entry["results"][0]["metrics"][1] == {"type": "accuracy", "name": "accuracy[math]", "value": 0.9}


@pytest.mark.parametrize("origin", ["predicted", "trained"])
def test_scores_of_nothing_or_of_another_model_are_no_results_of_this_one(base, origin):
    header = yaml.safe_load(render_card(FULL, base, replace(MEASURED, origin=origin)).split("---")[1])
    assert "model-index" not in header
    assert "metrics" not in header


def test_a_folder_s_name_is_no_link_to_a_hub(base):
    assert "base_model:" not in render_card(replace(FULL, base="bert"), base, MEASURED)


def test_the_hub_s_own_reader_understands_the_card(base):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(render_card(FULL, base, MEASURED))
    assert card.data.base_model == "org/bert"
    assert card.data.library_name == "transformers"
    found = {(result.dataset_name, result.metric_type): result.metric_value for result in card.data.eval_results}
    assert found == {("math", "loss"): 1.25, ("math", "accuracy"): 0.9, ("code", "accuracy"): 0.99}


def test_the_card_of_an_adapter_loads_it_onto_its_base(base):
    text = render_card(FULL, base, MEASURED, adapter="A LoRA adapter of rank 5 on 4 layers.")
    header = yaml.safe_load(text.split("---")[1])
    assert (header["library_name"], header["base_model_relation"]) == ("peft", "adapter")
    assert "lora" in header["tags"]
    assert "A LoRA adapter of rank 5 on 4 layers." in text
    assert 'PeftModel.from_pretrained(BertForSequenceClassification.from_pretrained("org/bert"), "path' in text


@pytest.mark.parametrize("end", PIPELINES)
def test_architectures_say_what_a_model_does(end):
    assert pipeline_of({"architectures": [f"Some{end}"]}) == PIPELINES[end]
    assert pipeline_of({"architectures": [f"{end}X"]}) is None
    assert pipeline_of({}) is None


def test_an_interval_is_as_wide_as_its_level_and_stays_inside_the_bounds():
    low, high = interval_of(0.0, 1.0, level=0.95)
    assert (low, high) == (pytest.approx(-1.959964), pytest.approx(1.959964))
    assert interval_of(0.05, 0.1, OBJECTIVES[0])[0] == 0.0
    assert interval_of(0.5, 0.0) is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("posterior", {"family": "kronecker"}), ["monzon2024weight"]),
        (("posterior", {"family": "isotropic"}), ["monzon2024weight", "wortsman2022model"]),
        (("posterior", {"family": "diagonal"}), ["monzon2024weight", "matena2022merging"]),
        (("fisher", {"family": "diagonal", "ivon": True}), ["matena2022merging", "shen2024variational"]),
        (("averaging", {"family": "isotropic", "front": "map"}), ["wortsman2022model", "li2025map"]),
        (("ties", {"adapters": True}), ["ilharco2023editing", "yadav2023ties", "hu2022lora"]),
        (("della", {"elect_signs": True}), ["ilharco2023editing", "deep2024della", "yadav2023ties"]),
        (("breadcrumbs", {}), ["ilharco2023editing", "davari2024model"]),
        (("slerp", {}), ["shoemake1985animating"]),
        (("task_arithmetic", {"domain": "coefficients"}), ["ilharco2023editing"]),
        (("posterior", {"family": "low_rank", "domain": "groups"}), ["monzon2024weight", "ilharco2023editing"]),
        (("weighted_sum", {}), []),
    ],
)
def test_what_was_used_is_cited_and_nothing_else(arguments, expected):
    rule, used = arguments
    assert [entry.split("{")[1].split(",")[0] for entry in citations_of(rule, **used)] == expected


def test_every_rule_has_its_row_and_every_entry_is_closed():
    from paretomerge.exports import citations
    from paretomerge.recipes.methods import TABLES

    assert set(TABLES["rule"]) - set(citations.RULES) == {"weighted_sum"}
    for name in ("VARIATIONAL", "MAP", "FISHER", "SOUPS", "TASK_ARITHMETIC", "TIES", "DARE", "DELLA", "BREADCRUMBS"):
        entry = getattr(citations, name)
        assert entry.count("{") == entry.count("}")
        assert all(f" {key} " in entry or f" {key}=" in entry for key in ("title", "author", "year"))
