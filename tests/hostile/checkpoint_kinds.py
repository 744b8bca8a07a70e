"""Hostile checkpoints: each function writes one bad input into a folder and gives back its use."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from tests.hostile.contract import SECRET_WORD
from tests.hostile.mutations import damaged, dumped, mutated, nested, value

from paretomerge.checkpoints import load_curvature, open_checkpoint, read_optimizer_state, read_provenance
from paretomerge.checkpoints.posteriors.files import KEY, save_posterior
from paretomerge.posteriors import Dense, Diagonal, Isotropic, Kronecker, KroneckerFactors, LowRank, Mixture, Provenance
from paretomerge.types import Params

Use = Callable[[], object]

TENSORS = {"layers.0.weight": torch.arange(6.0).reshape(2, 3), "layers.0.bias": torch.ones(2).half()}


def read_all(path: Path, base: Params | None = None) -> None:
    """Open a checkpoint and read every tensor, as a merge does."""
    opened = open_checkpoint(path, base)
    for name in opened:
        opened.spec(name)
        opened.read(name)
    opened.require_unchanged()


def safetensors_bytes(header: Any, data: bytes) -> bytes:
    """A file with this header, which may be bytes already."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(raw)) + raw + data


def split(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data of a good file."""
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def safetensors(random: random.Random, folder: Path) -> Use:
    """The header reader: any byte, dtypes, shapes, offsets, metadata."""
    path, raw = folder / "model.safetensors", save(TENSORS, {"format": "pt"})
    if random.random() < 0.4:
        path.write_bytes(damaged(random, raw))
    else:
        header, data = split(raw)
        changed = dumped(random, mutated(random, header))
        length = len(changed) if random.random() < 0.9 else random.choice((0, 7, 2**31, 2**63, len(changed) + 1))
        path.write_bytes(struct.pack("<Q", length % 2**64) + changed + data)
    return lambda: read_all(path)


def index(random: random.Random, folder: Path) -> Use:
    """The index of shards: paths that leave the folder, shards that are missing, of another save, or links."""
    shards = {"model-1.safetensors": ["layers.0.weight"], "model-2.safetensors": ["layers.0.bias"]}
    weight_map = {}
    for shard, names in shards.items():
        raw = save({name: TENSORS[name] for name in names})
        (folder / shard).write_bytes(raw if random.random() < 0.9 else damaged(random, raw))
        weight_map |= dict.fromkeys(names, shard)
    content = {"metadata": {"total_size": 28}, "weight_map": weight_map}
    path = folder / "model.safetensors.index.json"
    raw = json.dumps(content).encode()
    raw = damaged(random, raw) if random.random() < 0.2 else dumped(random, mutated(random, content))
    if random.random() < 0.3:
        secret = folder.parent / SECRET_WORD / "model.safetensors"
        where = random.choice(
            (str(secret), f"../{SECRET_WORD}/model.safetensors", f"./../{SECRET_WORD}/model.safetensors")
        )
        raw = json.dumps({"weight_map": {**weight_map, "layers.0.bias": where}}).encode()
    path.write_bytes(raw)
    return lambda: read_all(folder)


class Call:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.made = function, arguments

    def __reduce__(self) -> Any:
        return self.made


class Named:
    """Stands for a function that is written into a pickle by its name alone."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class NamingPickler(pickle._Pickler):
    """Writes `Named` as the opcode GLOBAL, so that any name can be in a pickle."""

    def save(self, thing: Any, save_persistent_id: bool = True) -> Any:
        if isinstance(thing, Named):
            return self.write(pickle.GLOBAL + f"{thing.module}\n{thing.name}\n".encode())
        if isinstance(thing, Called):
            self.save(thing.function)
            self.save(thing.arguments)
            return self.write(pickle.REDUCE)
        return super().save(thing, save_persistent_id)


class Called:
    """A call of a `Named`."""

    def __init__(self, function: Named, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments


FUNCTIONS = [
    *(("os", "system"), ("posix", "system"), ("subprocess", "Popen"), ("builtins", "eval"), ("builtins", "exec")),
    *(("builtins", "open"), ("builtins", "getattr"), ("builtins", "bytearray"), ("shutil", "rmtree")),
    *(("torch", "load"), ("torch", "Tensor"), ("torch", "FloatStorage"), ("torch.storage", "UntypedStorage")),
    *(("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_wrapper_subclass")),
    *(("torch._utils", "_rebuild_meta_tensor_no_storage"), ("torch._utils", "_rebuild_sparse_tensor")),
    *(("torch._tensor", "_rebuild_from_type_v2"), ("torch._utils", "_rebuild_parameter"), ("torch", "Size")),
    *(("collections", "OrderedDict"), ("collections", "Counter"), ("_codecs", "encode"), ("numpy", "ndarray")),
    *(("numpy.core.multiarray", "_reconstruct"), ("pytorch_lightning", "Trainer"), ("builtins", "complex")),
    *(("torch.hub", "load"), ("torch.jit", "load"), ("importlib", "import_module"), ("builtins", "__import__")),
]


def payload(random: random.Random) -> Any:
    """Something that would run code or take memory if it were unpickled."""
    mark = f"touch {SECRET_WORD}"
    arguments: tuple[Any, ...] = random.choice(
        ((mark,), (10**9,), (10**13,), (f"open('{SECRET_WORD}', 'w')",), ("a" * 50, "zlib"), (), ((2**40,),), (1, 2, 3))
    )
    made = Called(Named(*random.choice(FUNCTIONS)), *arguments)
    return made if random.random() < 0.7 else {"inner": [made, value(random, 2)]}


def torch_pickle(random: random.Random, folder: Path) -> Use:
    """Files of `torch.save`, zipped and old: payloads, damaged bytes, zip bombs, archives of another kind."""
    path = folder / "model.bin"
    kind = random.randrange(6)
    if kind == 0:
        path.write_bytes(damaged(random, saved(TENSORS, zipped=random.random() < 0.7)))
    elif kind == 1:
        path.write_bytes(with_pickle(saved(TENSORS), lambda raw: damaged(random, raw)))
    elif kind in (2, 3):
        held: Any = {"w": payload(random)} if random.random() < 0.5 else {"state_dict": {}, "more": payload(random)}
        buffer = io.BytesIO()
        NamingPickler(buffer, 2).dump(held)
        if random.random() < 0.5:
            path.write_bytes(with_pickle(saved(TENSORS), lambda raw: buffer.getvalue()))
        else:
            path.write_bytes(buffer.getvalue())
    elif kind == 4:
        path.write_bytes(with_pickle(saved(TENSORS), lambda raw: raw, random.choice((8, 12, 14)), bomb=True))
    else:
        path.write_bytes(_odd_archive(random))
    return lambda: read_all(path)


def saved(content: Any, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def with_pickle(raw: bytes, change: Callable[[bytes], bytes], compression: int = 0, bomb: bool = False) -> bytes:
    """A zipped file whose `data.pkl` is another one; what lies beside it stays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for name in old.namelist():
            held = old.read(name)
            new.writestr(name, change(held) if name.endswith("data.pkl") else held)
        if bomb:
            new.writestr("archive/data/9", b"\0" * 5_000_000)
    return buffer.getvalue()


def _odd_archive(random: random.Random) -> bytes:
    """A tar archive with pipes and links, as the oldest files of PyTorch were; or an expanded tensor."""
    if random.random() < 0.5:
        return saved({"w": torch.zeros(1).expand(random.choice((3, 10**6, 10**9)))})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = random.choice((tarfile.FIFOTYPE, tarfile.SYMTYPE)), f"/tmp/{SECRET_WORD}"
            archive.addfile(entry)
    return buffer.getvalue()


def optimizer_state(random: random.Random, folder: Path) -> Use:
    """`optimizer.pt` of a training."""
    path = folder / "optimizer.pt"
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([parameter])
    parameter.grad = torch.ones(2)
    optimizer.step()
    good = optimizer.state_dict()
    raw = saved(good)
    if random.random() < 0.5:
        path.write_bytes(damaged(random, raw))
    else:
        buffer = io.BytesIO()
        NamingPickler(buffer, 2).dump({"state": payload(random), "param_groups": value(random)})
        path.write_bytes(with_pickle(raw, lambda old: buffer.getvalue()))
    return lambda: read_optimizer_state(path)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def gguf(random: random.Random, folder: Path) -> Use:
    """GGUF headers: counts, lengths, types, nested arrays, offsets."""
    path = folder / "model.gguf"
    entries = [
        _text("general.architecture") + struct.pack("<I", 8) + _text(random.choice(("llama", "qwen2", "bert"))),
        _text("llama.attention.head_count") + struct.pack("<Ii", 5, random.choice((1, 2, 0, -2, 3, 2**31 - 1))),
        _text("general.alignment") + struct.pack("<II", 4, random.choice((32, 32, 1, 0, 2**31))),
        _text("tokens") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * random.choice((0, 3, 2000)) + b"\0" * 12,
    ]
    kept = random.sample(entries, random.randrange(5))
    names = ("token_embd.weight", "blk.0.attn_q.weight", "a", "a" * 300)
    tensors = []
    for _ in range(random.randrange(4)):
        shape = [random.choice((2, 4, 4, 8, 0, 2**40, 2**63)) for _ in range(random.randrange(5))]
        offset = random.choice((0, 0, 32, 64, 2**63, 31))
        fields = struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, random.choice((0, 0, 1, 30, 2, 99)), offset)
        tensors.append(_text(random.choice(names)) + fields)
    counts = struct.pack("<IQQ", random.choice((3, 3, 3, 2, 1, 2**24)), len(tensors), len(kept))
    raw = b"GGUF" + counts + b"".join(kept) + b"".join(tensors) + b"\0" * random.choice((0, 40, 600))
    path.write_bytes(damaged(random, raw) if random.random() < 0.5 else raw)
    return lambda: read_all(path)


ADAPTER = {
    "peft_type": "LORA",
    "r": 2,
    "lora_alpha": 4,
    "rank_pattern": {"layers.0": 2},
    "alpha_pattern": {},
    "modules_to_save": None,
    "base_model_name_or_path": "base",
    "target_modules": ["layers.0"],
    "use_dora": False,
}

PATTERNS = (
    *("a{1,50}" * 3, "(a*)\\1\\1b", "(?P<x>a+)(?P=x)b", "\\w+\\d*$", "[^]]+"),
    "(a+)+b",
    "(.*)*x",
    "(",
    "layers.(0|1)",
    ".*" * 12 + "x",
    "(a|a)*c",
    "[",
    "^layers\\.0",
    "(x+x+)+y",
    "a{1,50}" * 3,
)


def adapter(random: random.Random, folder: Path) -> Use:
    """A LoRA adapter: its configuration, its names, patterns that search forever."""
    module = random.choice(("layers.0", "layers.0", "a" * 28, "layers.0." + "x" * 200))
    prefix = f"base_model.model.{module}"
    held = {f"{prefix}.lora_A.weight": torch.ones(2, 3), f"{prefix}.lora_B.weight": torch.ones(2, 2)}
    raw = save(held)
    (folder / "adapter_model.safetensors").write_bytes(raw if random.random() < 0.8 else damaged(random, raw))
    config: Any = mutated(random, ADAPTER)
    if random.random() < 0.3 and isinstance(config, dict):
        config[random.choice(("rank_pattern", "alpha_pattern"))] = {random.choice(PATTERNS): 2}
    raw = json.dumps(ADAPTER).encode()
    changed = damaged(random, raw) if random.random() < 0.2 else dumped(random, config)
    (folder / "adapter_config.json").write_bytes(changed)
    base = {f"{module}.weight": torch.zeros(2, 3)}
    return lambda: read_all(folder, base)


def side_files(random: random.Random, folder: Path) -> Use:
    """What lies beside the weights: configuration, tokenizer, links to files of the reader."""
    (folder / "model.safetensors").write_bytes(save(TENSORS))
    secret = folder.parent / SECRET_WORD / "tokenizer.json"
    config = {"architectures": ["LlamaForCausalLM"], "quantization_config": {"quant_method": "gptq"}, "vocab_size": 4}
    (folder / "config.json").write_bytes(dumped(random, mutated(random, config, 3)))
    link = folder / random.choice(("vocab.txt", "tokenizer.json", "merges.txt"))
    if random.random() < 0.5:
        os.symlink(random.choice((secret, Path(f"../{SECRET_WORD}/tokenizer.json"), Path("/etc/passwd"))), link)
    else:
        link.write_bytes(dumped(random, mutated(random, {"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": []})))

    def use() -> None:
        from paretomerge.checkpoints.repairs.vocabulary import read_vocabulary

        opened = open_checkpoint(folder)
        for file in opened.side_files:
            file.read_bytes()
        read_vocabulary(opened.side_files)

    return use


def _posteriors() -> list[Any]:
    mean = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}
    ones = {name: torch.ones_like(tensor) for name, tensor in mean.items()}
    factors = KroneckerFactors("w", "b", torch.eye(4), torch.eye(2), torch.ones(2, 4))
    diagonal = Diagonal(mean, ones)
    return [
        diagonal,
        Isotropic(mean, 2.0),
        Kronecker(mean, {"layer": factors}),
        Dense(mean, torch.eye(8)),
        LowRank(mean, ones, {name: torch.ones(2, *tensor.shape) for name, tensor in mean.items()}),
        Mixture([diagonal, diagonal], torch.tensor([0.5, 0.5]).log()),
    ]


_KEPT: list[tuple[dict[str, Any], bytes]] = []


def posterior(random: random.Random, folder: Path) -> Use:
    """Files of posteriors: descriptions that contradict their tensors, values that are no precision."""
    path = folder / "posterior.safetensors"
    if not _KEPT:
        for each in _posteriors():
            save_posterior(path, each, Provenance("true fisher", "finetune", examples=3))
            _KEPT.append(split(path.read_bytes()))
    header, data = random.choice(_KEPT)
    kind = random.randrange(4)
    if kind == 0:
        path.write_bytes(damaged(random, safetensors_bytes(header, data)))
    elif kind == 1:
        path.write_bytes(safetensors_bytes(header, damaged(random, data)[: len(data)].ljust(len(data), b"\xff")))
    else:
        description = mutated(random, json.loads(header["__metadata__"][KEY]))
        text = json.dumps(description) if random.random() < 0.95 else json.dumps(nested(40)) * random.choice((1, 2))
        changed = {**header, "__metadata__": {**header["__metadata__"], KEY: text}}
        if random.random() < 0.3:
            changed = mutated(random, changed)
        path.write_bytes(safetensors_bytes(dumped(random, changed), data))

    def use() -> None:
        read_provenance(path)
        found: Any = load_curvature(path)
        for name in found.mean:
            found.mean[name]
        for block in found.blocks():
            found.natural(block)

    return use
