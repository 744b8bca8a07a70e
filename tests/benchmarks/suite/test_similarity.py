from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.suite.recording import record
from benchmarks.suite.run import record_similarity
from benchmarks.suite.setting import Setting
from benchmarks.suite.settings import DEFINITIONS
from benchmarks.suite.similarity import conflict_of, gram_of, similarity_of

from paretomerge import Problem


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """The smallest setting, with what similarity rests on."""
    folder = tmp_path_factory.mktemp("similar")
    setting = DEFINITIONS["conflicting"].build(folder, Path("nowhere"), 0, True)
    record(setting, folder / "truth" / "base", np.full((1, 2), 0.5), [setting.base])
    record(setting, folder / "truth" / "corners", np.eye(2), setting.finetunes.values())
    return setting


def linear(targets: dict[str, torch.Tensor]) -> Problem:
    """A linear model `θ x` of two inputs, half the squared error: gradients by hand."""
    inputs = torch.eye(2)
    return Problem(
        tuple(targets),
        lambda: torch.nn.Linear(2, 1, bias=False),
        lambda task, split: [(inputs, targets[task])],
        "gaussian",
    )


def test_inner_products_are_summed_over_tensors() -> None:
    vectors = [
        {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor([3.0])},
        {"a": torch.ones(1, 2), "b": torch.zeros(1)},
    ]
    np.testing.assert_array_equal(gram_of(vectors), [[14, 3], [3, 2]])


def test_gradients_are_those_of_the_mean_loss_at_the_place() -> None:
    problem = linear({"one": torch.tensor([[1.0], [0.0]]), "other": torch.tensor([[-1.0], [-1.0]])})
    found = conflict_of(problem, {"weight": torch.zeros(1, 2)}, 2)  # gradients (-1, 0)/2 and (1, 1)/2
    np.testing.assert_allclose(found["norm"], [0.5, 0.5**0.5], rtol=1e-7)
    np.testing.assert_allclose(found["cosine"], [[1, -(0.5**0.5)], [-(0.5**0.5), 1]], rtol=1e-7)
    elsewhere = conflict_of(problem, {"weight": torch.tensor([[2.0, 0.0]])}, 2)  # (1, 0)/2 and (3, 1)/2
    np.testing.assert_allclose(elsewhere["cosine"][0, 1], 3 / 10**0.5, rtol=1e-7)


def test_only_so_many_examples_are_differentiated() -> None:
    problem = linear({"one": torch.tensor([[1.0], [5.0]]), "other": torch.tensor([[2.0], [0.0]])})
    found = conflict_of(problem, {"weight": torch.zeros(1, 2)}, 1)  # the first alone: (-1, 0) and (-2, 0)
    np.testing.assert_allclose(found["norm"], [1, 2], rtol=1e-7)
    np.testing.assert_allclose(found["cosine"], 1, rtol=1e-7)


def test_everything_is_said_of_every_pair(recorded: Setting) -> None:
    found = similarity_of(recorded, recorded.folder)
    vectors = [
        torch.cat([(tune[name] - recorded.base[name]).flatten().to(torch.float64) for name in tune])
        for tune in recorded.finetunes.values()
    ]
    cosine = float(torch.cosine_similarity(vectors[0], vectors[1], dim=0))
    assert found["tasks"] == ["plain", "opposed"]
    np.testing.assert_allclose(found["task_vectors"]["cosine"], [[1, cosine], [cosine, 1]], rtol=1e-9)
    assert found["summary"]["task_vector_cosine"] == pytest.approx(cosine)
    assert found["summary"]["distance"] == pytest.approx(np.mean(found["distance"]))
    assert 0 < found["distance"][0] < 0.5
    for at in ("base", "average"):
        assert found["summary"][f"gradient_cosine_{at}"] == pytest.approx(found["gradients"][at]["cosine"][0][1])
    assert found["gradients"]["base"] != found["gradients"]["average"]
    assert found["transfer"][0][0] == pytest.approx(1)
    assert found["summary"]["least_transfer"] == min(found["transfer"][0][1], found["transfer"][1][0])


def test_it_is_written_once_beside_the_truth_as_strict_json(recorded: Setting) -> None:
    place = recorded.folder / "truth" / "similarity.json"
    assert record_similarity(recorded, recorded.folder)
    first = place.read_text()
    json.loads(first, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    place.write_text("{}")
    assert record_similarity(recorded, recorded.folder)
    assert place.read_text() == "{}"


def test_what_fails_is_said_and_stops_nothing(
    recorded: Setting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not record_similarity(recorded, tmp_path)  # nothing is recorded there
    assert "conflicting seed 0  similarity: failed" in capsys.readouterr().out


def test_finetunes_that_did_not_move_have_no_cosine(recorded: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recorded.__dict__, "finetunes", dict.fromkeys(recorded.tasks, recorded.base))
    found = similarity_of(recorded, recorded.folder)
    assert found["task_vectors"]["cosine"][0][1] is None
    assert found["summary"]["task_vector_cosine"] is None
    json.dumps(found, allow_nan=False)
