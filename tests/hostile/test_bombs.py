"""Inputs that once did what none may do: each stands for a bug that was found by trying."""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from tests.hostile.checkpoint_kinds import ADAPTER, Called, Named, NamingPickler, read_all, safetensors_bytes, saved
from tests.hostile.contract import outcome_of

from paretomerge.checkpoints import open_checkpoint
from paretomerge.checkpoints.adapters.config import parse_adapter_config
from paretomerge.cli import main
from paretomerge.errors import CheckpointError, EvaluationError, InputError, RecipeError, printable
from paretomerge.evaluation import CommandEvaluator, measure_tasks
from paretomerge.evaluation import programs as programs_module
from paretomerge.recipes import dump_recipe, load_recipe
from paretomerge.recipes.yaml_files import read_yaml

RECIPE = "base: b\ntasks: {a: {checkpoint: x}}\nproblem: p.py:f\n"


@pytest.mark.parametrize(
    "shape",
    [[1 << 61] * 300, [1 << 61] * 20_000, [1] * 200, [1 << 61, 1 << 61, 0]],
    ids=["300", "20000", "ones", "zero"],
)
def test_shapes_that_nothing_can_count_are_refused_at_once(tmp_path: Path, shape: list[int]) -> None:
    path = tmp_path / "m.safetensors"
    size = 4 if shape[0] == 1 else 0
    header = {"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}
    path.write_bytes(safetensors_bytes(header, b"\0" * size))
    started = time.perf_counter()
    with pytest.raises(CheckpointError, match="more elements than can be counted"):
        open_checkpoint(path)
    assert time.perf_counter() - started < 2


def test_a_tensor_that_is_twice_in_the_header_is_refused(tmp_path: Path) -> None:
    entry = '"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'
    (tmp_path / "m.safetensors").write_bytes(safetensors_bytes(f"{{{entry}, {entry}}}".encode(), b"\0" * 4))
    with pytest.raises(CheckpointError, match="'w' is twice in its header"):
        open_checkpoint(tmp_path / "m.safetensors")


def test_a_name_of_a_megabyte_is_refused_and_not_repeated(tmp_path: Path) -> None:
    header = {"w" * 1_000_000: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    (tmp_path / "m.safetensors").write_bytes(safetensors_bytes(header, b"\0" * 4))
    with pytest.raises(CheckpointError, match="its name is too long") as caught:
        open_checkpoint(tmp_path / "m.safetensors")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin", "model.gguf", "model.safetensors.index.json"])
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError, match="is no regular file"):
        open_checkpoint(tmp_path / name)


def _text(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def _gguf(entries: list[bytes], tensors: list[bytes], data: int = 600) -> bytes:
    counts = struct.pack("<IQQ", 3, len(tensors), len(entries))
    return b"GGUF" + counts + b"".join(entries) + b"".join(tensors) + b"\0" * data


def _tensor(name: bytes, shape: tuple[int, ...], offset: int) -> bytes:
    return _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)


LLAMA = _text(b"general.architecture") + struct.pack("<I", 8) + _text(b"llama")


def _heads(kind: int, raw: bytes) -> bytes:
    return _text(b"llama.attention.head_count") + struct.pack("<I", kind) + raw


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (_gguf([_text(b"k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000], []), "more than 8 deep"),
        (_gguf([], [_tensor(b"a", (1 << 63, 0), 0)]), "more elements than can be counted"),
        (_gguf([], [_tensor(b"a", (4, 4), 0), _tensor(b"b", (4, 4), 32)]), "inside of another tensor"),
        (_gguf([LLAMA, _heads(5, struct.pack("<i", -4))], [_tensor(b"blk.0.attn_q.weight", (8, 8), 0)]), "-4 heads"),
        (_gguf([_text(b"k" * 8)[:8].replace(b"\x08", b"\xff\xff\xff\x04", 1)], []), "truncated"),
    ],
    ids=["nested", "uncountable", "overlap", "negative heads", "long text"],
)
def test_gguf_headers_that_contradict_themselves_are_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(CheckpointError, match=expected):
        read_all(tmp_path / "m.gguf")


def test_a_number_of_heads_that_is_true_renames_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(_gguf([LLAMA, _heads(7, b"\1")], [_tensor(b"blk.0.attn_q.weight", (8, 8), 0)]))
    assert list(open_checkpoint(tmp_path / "m.gguf")) == ["blk.0.attn_q.weight"]


def _pickled(path: Path, content: Any, zipped: bool = True) -> Path:
    buffer = io.BytesIO()
    NamingPickler(buffer, 2).dump(content)
    if not zipped:
        # Magic number, protocol and machine come before the content in the older format.
        head = saved({"w": torch.zeros(1)}, zipped=False)
        path.write_bytes(head[: head.index(b"uu.") + 3] + buffer.getvalue() + b"\x80\x02]q\x00.")
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
    return path


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("__builtin__", "bytearray", (10**9,)),
        ("torch", "Tensor", (10**6,)),
        ("torch", "FloatStorage", (10**9,)),
        ("torch.storage", "UntypedStorage", (10**9,)),
        ("_codecs", "encode", ("a" * 100, "zlib")),
        ("torch._utils", "_rebuild_wrapper_subclass", (1, 2, 3)),
    ],
)
def test_a_pickle_that_makes_memory_out_of_a_number_is_never_unpickled(
    tmp_path: Path, module: str, name: str, arguments: tuple[Any, ...], zipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Called(Named(module, name), *arguments)
    monkeypatch.setattr(torch, "load", lambda *given, **options: pytest.fail("it was loaded"))
    with pytest.raises(CheckpointError, match=rf"asks for memory by {module}\.{name}"):
        open_checkpoint(_pickled(tmp_path / "m.bin", {"w": [1, {"x": made}]}, zipped))


def test_a_pickle_that_says_its_text_is_long_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(b"\x80\x02B" + struct.pack("<I", 2**32 - 1) + b"ab")
    assert outcome_of(lambda: open_checkpoint(tmp_path / "m.bin"), tmp_path) == "refused"


def test_a_compressed_archive_is_no_checkpoint(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 50_000_000)
    assert (tmp_path / "m.bin").stat().st_size < 100_000
    with pytest.raises(CheckpointError, match=r"'archive/data\.pkl' is compressed"):
        open_checkpoint(tmp_path / "m.bin")


def test_a_tar_archive_with_a_pipe_is_not_unpacked(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "m.pt", "w") as archive:
        entry = tarfile.TarInfo("storages")
        entry.type = tarfile.FIFOTYPE
        archive.addfile(entry)
    with pytest.raises(CheckpointError, match="is a tar archive"):
        open_checkpoint(tmp_path / "m.pt")


def test_few_numbers_that_stand_for_many_are_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1).expand(10**9)}, tmp_path / "m.bin")
    with pytest.raises(CheckpointError, match="'w' would take 4000000000 bytes, the whole file has"):
        open_checkpoint(tmp_path / "m.bin")


def test_a_checkpoint_with_many_strange_names_is_read_a_few_times_and_not_once_per_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *given, **options: loads.append(1) or load(*given, **options))
    strange = [Called(Named("lightning.parts", f"Part{number}")) for number in range(60)]
    held = _pickled(tmp_path / "m.bin", {"w": torch.Size([2]), "strange": strange})
    with pytest.raises(CheckpointError):
        open_checkpoint(held)
    assert len(loads) <= 3


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+b", "(a|a)*b", "(.*)*x", ".*" * 9 + "x", r"(a*)\1b", "(?P<x>a+)(?P=x)b", "a{1,50}" * 8 + "b"],
)
def test_patterns_that_search_forever_are_refused(tmp_path: Path, pattern: str) -> None:
    module = "a" * 40
    save_file(
        {
            f"base_model.model.{module}.lora_A.weight": torch.ones(2, 3),
            f"base_model.model.{module}.lora_B.weight": torch.ones(2, 2),
        },
        tmp_path / "adapter_model.safetensors",
    )
    (tmp_path / "adapter_config.json").write_text(json.dumps({**ADAPTER, "rank_pattern": {pattern: 2}}))
    with pytest.raises(CheckpointError, match="could take forever to search for"):
        open_checkpoint(tmp_path, {f"{module}.weight": torch.zeros(2, 3)})


@pytest.mark.parametrize(
    "pattern", ["^model.layers.0.self_attn.q_proj", r".*\.q_proj", r"layers\.\d+\.mlp", "(q|k)_proj", "[*+]x"]
)
def test_patterns_of_real_adapters_are_quick(tmp_path: Path, pattern: str) -> None:
    config = parse_adapter_config(tmp_path, {**ADAPTER, "rank_pattern": {pattern: 4}})
    config.require_quick(f"model.layers.{number}.self_attn.q_proj" for number in range(200))


@pytest.mark.parametrize(
    "change",
    [
        {"r": float("inf")},
        {"lora_alpha": float("nan")},
        {"lora_alpha": 10**400},
        {"alpha_pattern": {"a": float("nan")}},
    ],
)
def test_scales_of_adapters_that_are_no_numbers_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="not a positive number"):
        parse_adapter_config(tmp_path, {**ADAPTER, **change})


def test_a_link_out_of_the_folder_is_not_copied_into_an_export(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("my key")
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(save({"w": torch.ones(2)}))
    (model / "vocab.txt").symlink_to("../secret")
    (model / "merges.txt").write_text("own")
    (model / "added.txt").symlink_to("merges.txt")
    with pytest.warns(UserWarning, match=r"vocab\.txt is a link out of its folder"):
        opened = open_checkpoint(model)
    assert [file.name for file in opened.side_files] == ["added.txt", "merges.txt"]


def test_links_of_the_hugging_face_cache_are_followed(tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "0123", tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "w").write_bytes(save({"w": torch.ones(2)}))
    (blobs / "t").write_text("token")
    (snapshot / "model.safetensors").symlink_to("../../blobs/w")
    (snapshot / "vocab.txt").symlink_to("../../blobs/t")
    opened = open_checkpoint(snapshot)
    assert opened["w"].tolist() == [1.0, 1.0]
    assert [file.read_text() for file in opened.side_files] == ["token"]


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BOMB, "aliases repeat its content to more than"),
        ("x: &a {b: *a}", "contain themselves"),
        ("x: 2024-99-99", "put it in quotes if it is text"),
        ("x: !!int ''", "not of the type of its tag"),
        ("x: !!bool maybe", "not of the type of its tag"),
        ("x: !!binary /w==", "put it in quotes"),
        ("seed: " + "9" * 5000, "cannot be meant"),
        ("seed: " + "1:" * 3000 + "1", "cannot be meant"),
        ("x: .nan", "cannot be meant"),
        ("x: " + "[" * 3000, "more than 100 deep"),
        ('x: "\\ud800"', "is not valid text"),
        ('x: "a\\0b"', "contains the character zero"),
        ("base: again", "'base' is there twice, again in line"),
        ("x: !!python/object/apply:os.system ['touch hacked']", "could not determine a constructor"),
        ("#" * 300_000, "characters of YAML, at most"),
    ],
)
def test_yaml_that_no_recipe_needs_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE + text + "\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=expected):
        load_recipe(path)
    assert [file.name for file in tmp_path.iterdir()] == ["recipe.yaml"]


def test_aliases_that_save_typing_are_read() -> None:
    text = "one: &one {steps: 3}\ntwo: *one\nthree: {<<: *one, rate: 0.5}"
    assert read_yaml(text) == {"one": {"steps": 3}, "two": {"steps": 3}, "three": {"steps": 3, "rate": 0.5}}


def test_infinite_settings_survive_the_way_through_yaml(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE + "front: {settings: {limit: .inf}}\n")
    recipe = load_recipe(path)
    path.write_text(dump_recipe(recipe))
    assert load_recipe(path) == recipe
    assert load_recipe(path).front.settings == {"limit": float("inf")}


@pytest.mark.parametrize(
    "task",
    ["", " ", "a\nb", "a\x1b[2J", "a\u202egnp", "a" * 201],
    ids=["empty", "blank", "line break", "escape", "turned", "long"],
)
def test_names_that_break_tables_and_terminals_are_refused(tmp_path: Path, task: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"base: b\ntasks: {{{json.dumps(task)}: {{checkpoint: x}}}}\nproblem: p.py:f\n")
    with pytest.raises(RecipeError, match="is no name"):
        load_recipe(path)


@pytest.mark.parametrize("seed", [-1, 10**30])
def test_seeds_that_no_generator_takes_are_refused(tmp_path: Path, seed: int) -> None:
    (tmp_path / "recipe.yaml").write_text(f"{RECIPE}seed: {seed}\n")
    with pytest.raises(RecipeError, match="seed"):
        load_recipe(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "a\0b", "\ud800"])
def test_paths_that_are_none_are_input_errors(path: str) -> None:
    with pytest.raises(InputError, match=r"is no path|no such user"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    "returned",
    [
        "0.5",
        ["0.5", "0.7"],
        [10**400],
        np.array([1 + 2j]),
        torch.tensor([1j]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        b"1",
        {"\ud800": 1.0},
        {"a" * 1000: 1.0},
        [1e308, 1e308],
        torch.ones(2, device="meta"),
    ],
    ids=str,
)
def test_scores_that_are_no_numbers_are_evaluation_errors(returned: Any) -> None:
    with pytest.raises(EvaluationError):
        measure_tasks(None, lambda model, task: returned, ["a"])


def _command(code: str, **options: Any) -> CommandEvaluator:
    return CommandEvaluator([sys.executable, "-c", code, "{task}"], lambda params, folder: folder.mkdir(), **options)


def test_a_program_that_prints_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs_module, "LARGEST_OUTPUT", 1 << 20)
    monkeypatch.setattr(programs_module, "_LOOK_SECONDS", 0.05)
    started = time.perf_counter()
    with pytest.raises(EvaluationError, match="MiB, at most 1 are read"):
        _command("while True: print('0.5 ' * 10000)", timeout=60)({"w": torch.ones(1)}, "a")
    assert time.perf_counter() - started < 20


@pytest.mark.slow
def test_a_line_of_a_gigabyte_is_refused_in_little_memory() -> None:
    code = "import sys\nfor _ in range(1024): sys.stdout.write('1' * (1 << 20))"
    evaluator = _command(code, timeout=120)
    with pytest.raises(EvaluationError, match="MiB, at most 256 are read"):
        evaluator({"w": torch.ones(1)}, "a")


@pytest.mark.parametrize(
    "printed", ["'[' * 100000", "'{\"a\":' * 20000", '\'{"acc": 1, "acc": 0}\'', "'\\\\xff\\\\xfe'", "''"]
)
def test_output_that_is_no_json_is_an_evaluation_error(printed: str) -> None:
    with pytest.raises(EvaluationError, match="printed no JSON"):
        _command(f"print({printed})")({"w": torch.ones(1)}, "a")


def test_commands_run_without_a_shell(tmp_path: Path) -> None:
    code = "import json, sys; json.dump({'acc': float(len(sys.argv))}, sys.stdout)"
    evaluator = CommandEvaluator(
        [sys.executable, "-c", code, "{task}"], lambda params, folder: folder.mkdir(), folder=tmp_path
    )
    task = "a; touch hacked; $(touch hacked) `touch hacked` | touch hacked\n"
    assert evaluator({"w": torch.ones(1)}, task) == {"acc": 2.0}
    assert list(tmp_path.iterdir()) == []


def test_messages_cannot_control_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "\x1b[2J\x9b\r"]) == 2
    assert "\x1b" not in capsys.readouterr().err
    assert printable("a\x1b[2J\ud800é\n") == "a\\x1b[2J\\ud800é\n"
    assert len(printable("a" * 10**6)) < 21_000
