"""Hostile recipes, journals, run folders, manifests, scores and words; see `checkpoint_kinds`."""

from __future__ import annotations

import io
import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import yaml
from tests.hostile.checkpoint_kinds import NamingPickler, Use, payload, saved, with_pickle
from tests.hostile.contract import SECRET_WORD
from tests.hostile.mutations import NUMBERS, TEXTS, damaged, dumped, mutated, value
from tests.tiny import logged_recipe, recipe_of

from paretomerge.checkpoints import save_posterior, write_params
from paretomerge.cli.options import parse_bytes, parse_names, parse_numbers, parse_settings, parse_tasks
from paretomerge.errors import ParetomergeError
from paretomerge.evaluation import Evaluation, Part, as_evaluation, evaluate_one, measure_tasks
from paretomerge.evaluation.command import _parsed
from paretomerge.posteriors import Isotropic
from paretomerge.recipes import digest_recipe, dump_recipe, load_mergekit, load_recipe, method
from paretomerge.runs import Journal, list_runs, recall_prefix, recall_tasks, remember_tasks
from paretomerge.runs.fingerprints import fingerprints
from paretomerge.runs.integrity import check_journal
from paretomerge.stages.exporting.reloading import _manifest
from paretomerge.stages.integrity import check_integrity
from paretomerge.stages.joint.trained import read_manifest
from paretomerge.stages.ledger import _recorded
from paretomerge.training.resume import FILE, TrainingFolder
from paretomerge.types import Ledger, Objective, Weights
from paretomerge.types.constraints import Constraint

YAML_LINES = (
    "x: &a [*a]",
    "a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
    "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]",
    "x: !!python/object/apply:os.system ['touch " + SECRET_WORD + "']",
    "x: !!python/name:os.system",
    "x: 2024-99-99",
    "x: !!int ''",
    "x: !!bool maybe",
    "x: !!timestamp soon",
    "x: !!binary /w==",
    "x: !!set {a, b}",
    "x: !!omap [a: 1]",
    "x: !!float abc",
    "<<: *nothing",
    "<<: [1, 2]",
    "seed: " + "9" * 5000,
    "seed: " + "1:" * 3000 + "1",
    "base: again",
    "? [1, 2]\n: 3",
    "x: " + "[" * 2000,
    "- - - -",
    "x: 'unclosed",
    "%TAG ! tag:yaml.org,2002:python/\n---\nx: 1",
    "x: " + "'a'" * 3000,
)


def _yaml(random: random.Random, content: Any) -> bytes:
    changed = mutated(random, content)
    try:
        text = yaml.safe_dump(changed, allow_unicode=random.random() < 0.5, sort_keys=False)
    except (yaml.YAMLError, TypeError, ValueError):
        text = json.dumps(changed)
    if random.random() < 0.25:
        line = random.choice(YAML_LINES)
        text = random.choice((f"{text}\n{line}\n", f"{line}\n{text}\n"))
    raw = text.encode("utf-8", "surrogatepass")
    return damaged(random, raw) if random.random() < 0.25 else raw


def recipe(random: random.Random, folder: Path) -> Use:
    """Recipes: wrong types, unknown keys, bombs, tags, keys twice; read, told apart and written again."""
    commands = {"command": "{python} score.py {model_dir} {task}", "timeout": 5}
    evaluators = (None, "score.py:f", [commands], {"metrics": ["loss"]}, {"lm_eval": {"sums": "x"}})
    content = random.choice((recipe_of, logged_recipe))()
    if random.random() < 0.4:
        content["evaluator"] = random.choice(evaluators)
    path = folder / "recipe.yaml"
    path.write_bytes(_yaml(random, content))

    def use() -> None:
        found = load_recipe(path)
        digest_recipe(found)
        again = folder / "again.yaml"
        again.write_text(dump_recipe(found), encoding="utf-8")
        assert digest_recipe(load_recipe(again)) == digest_recipe(found)
        for kind, section in (("posterior", found.posterior), ("front", found.front), ("rule", found.rule)):
            name = getattr(section, "family", None) or getattr(section, "method", None) or getattr(section, "name", "")
            method(kind, name, section.settings)  # type: ignore[arg-type]

    return use


MERGEKIT = {
    "merge_method": "ties",
    "base_model": "base",
    "models": [
        {"model": "a", "parameters": {"weight": 0.5, "density": [0.1, 0.9]}},
        {"model": "b", "parameters": {"weight": [{"filter": "mlp", "value": 0.5}, {"value": 1}]}},
    ],
    "parameters": {"normalize": True, "int8_mask": False},
    "dtype": "bfloat16",
    "tokenizer_source": "union",
}


def mergekit(random: random.Random, folder: Path) -> Use:
    """Configurations of mergekit."""
    content = dict(MERGEKIT)
    if random.random() < 0.3:
        del content["models"]
        layers = [{"model": name, "layer_range": [0, 4]} for name in ("base", "a", "b")]
        content["slices"] = [{"sources": layers}]  # type: ignore[assignment]
    path = folder / "merge.yaml"
    path.write_bytes(_yaml(random, content))
    return lambda: load_mergekit(path)


ABOUT = {"stage": "front", "point": [0.5, 0.5]}


_GOOD: list[bytes] = []


def make_journal(path: Path) -> None:
    """A good journal with something in every table, in one file."""
    if not _GOOD:
        _write_journal(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
        _GOOD.append(path.read_bytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_GOOD[0])


def _write_journal(path: Path) -> None:
    with Journal(path) as journal:
        for number in range(4):
            scores = np.linspace(0.0, 1.0 + number, 5)
            remember_tasks(
                journal, f"m{number}", {"a": {"loss": scores}}, ABOUT, None, ("front", Ledger(evaluations=1))
            )
        journal.remember("old", Evaluation(np.ones(1), np.zeros(1), {"x": np.ones(3)}), {})
        journal.note("front", {"points": [1, 2, 3]})
        journal.fail("m9", "front", "out of memory")
        journal.claim("m9", "host:1:2:abc", 5.0)


def _texts(random: random.Random) -> Any:
    try:
        return random.choice((json.dumps(value(random)), *TEXTS[:12], 7, None, b"\xff\xfe", 1.5, "[" * 3000))
    except (ValueError, RecursionError):
        return "{"


def _statement(random: random.Random) -> tuple[str, tuple[Any, ...]]:
    table, column = random.choice(
        [
            *(("evaluations", name) for name in ("values", "stderr", "examples", "about", "model", "task", "part")),
            *(("examples", name) for name in ("scores", "objective", "key")),
            *(("costs", name) for name in ("seconds", "trainings", "joules", "metered_seconds", "stage")),
            *(
                ("facts", "value"),
                ("failures", "counts"),
                ("failures", "reason"),
                ("claims", "owner"),
                ("claims", "expires"),
            ),
        ]
    )
    found = random.choice((_texts(random), random.choice(NUMBERS[:13]), random.randbytes(random.choice((0, 7, 8, 24)))))
    return f'UPDATE {table} SET "{column}" = ?', (found,)


SCHEMA_CHANGES = (
    "DROP TABLE evaluations",
    "DROP TABLE costs",
    "DROP TABLE facts",
    "ALTER TABLE costs DROP COLUMN joules",
    "ALTER TABLE examples RENAME TO others",
    "PRAGMA user_version = -1",
    "PRAGMA user_version = 0",
    "PRAGMA user_version = 1",
    "PRAGMA user_version = 2",
    "PRAGMA user_version = 99",
    "CREATE TRIGGER t AFTER INSERT ON evaluations BEGIN DELETE FROM costs; END",
    "DROP TABLE facts; CREATE VIEW facts AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
    "SELECT x AS name, x AS created, x AS value FROM c",
    "DROP TABLE facts; CREATE TABLE facts (name, created, value); INSERT INTO facts VALUES (x'ff', 'x', x'00')",
    "DROP TABLE examples; CREATE TABLE examples (key, objective, scores); INSERT INTO examples VALUES (1, 2, 'text')",
    "INSERT INTO evaluations VALUES ('k', 0, '{}', '[1]', '[0]', '[\"lost\"]', 'm', 'a', '9:9:9:9')",
    "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = 'CREATE TABLE x' WHERE name = 'facts'",
    "PRAGMA writable_schema = 1; UPDATE sqlite_master SET rootpage = 1",
    "PRAGMA foreign_keys = 0; DELETE FROM evaluations",
)


def journal(random: random.Random, folder: Path) -> Use:
    """Journals: of other versions, cut off, with damaged pages, other schemas, other values, views and triggers."""
    path = folder / "journal.sqlite"
    make_journal(path)
    kind = random.randrange(5)
    if kind < 3:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA ignore_check_constraints=1")
            try:
                if kind == 0:
                    connection.executescript(random.choice(SCHEMA_CHANGES))
                else:
                    connection.execute(*_statement(random))
            except (sqlite3.Error, OverflowError, UnicodeError):
                connection.execute("UPDATE facts SET value = '{'")
    else:
        raw = path.read_bytes()
        path.write_bytes(damaged(random, raw) if kind == 3 else _damaged_head(random, raw))
    if random.random() < 0.2:
        path.with_name("journal.sqlite-wal").write_bytes(random.randbytes(random.choice((0, 40, 5000))))

    def use() -> None:
        checked = check_journal(path)
        with Journal(path) as opened:
            for number in range(4):
                recall_tasks(opened, f"m{number}", ["a"])
                opened.parts(f"m{number}", "a")
            recall_prefix(opened, "m", "a", Part(0, 5, 5, 0))
            opened.recall("old")
            opened.ledger()
            opened.fact("front")
            opened.count()
            opened.failures()
            opened.claim("m9", "me", 1.0)
            opened.note("choice", 1)
            opened.fail("m8", "front", "no reason")
        list_runs(folder)
        if any(flaw.severity == "error" for flaw in checked.flaws):
            raise ParetomergeError(checked.flaws[0].message)

    (folder / "recipe.yaml").write_text("base: b\n", encoding="utf-8")
    return use


def _damaged_head(random: random.Random, raw: bytes) -> bytes:
    found = bytearray(raw)
    for _ in range(random.randrange(1, 5)):
        found[random.randrange(100)] = random.randrange(256)
    return bytes(found)


def run_folder(random: random.Random, folder: Path) -> Use:
    """Whole run folders, as `runs --verify` reads them: files of another kind, manifests, posteriors, links."""
    run = folder / "run"
    make_journal(run / "journal.sqlite")
    if not (folder / "base").exists():
        write_params(folder / "base", {"w": torch.ones(2)})
    tasks = {"a": {"checkpoint": str(folder / "base")}}
    good = {"base": str(folder / "base"), "tasks": tasks, "problem": "p.py:f"}
    (run / "recipe.yaml").write_bytes(yaml.safe_dump(good).encode() if random.random() < 0.6 else _yaml(random, good))
    trained = run / "trained" / "0123"
    write_params(trained, {"w": torch.ones(2)})
    manifest = json.loads((trained / "paretomerge.json").read_text(encoding="utf-8"))
    if random.random() < 0.5:
        (trained / "paretomerge.json").write_bytes(dumped(random, mutated(random, manifest)))
    file = trained / "model.safetensors"
    file.write_bytes(damaged(random, file.read_bytes()) if random.random() < 0.5 else file.read_bytes())
    (run / "posteriors").mkdir(exist_ok=True)
    stored = save_posterior(run / "posteriors" / "0-a.safetensors", Isotropic({"w": torch.ones(2)}, 2.0))
    content = {"key": "k", "files": fingerprints(stored.parent)}
    if random.random() < 0.3:
        stored.write_bytes(damaged(random, stored.read_bytes()))
    if random.random() < 0.3:
        (run / random.choice(("unfinished", "training", ".x.partial"))).mkdir(exist_ok=True)
    with Journal(run / "journal.sqlite") as opened:
        opened.note("curvature", mutated(random, content, 2) if random.random() < 0.5 else content)

    def use() -> None:
        checked = check_integrity(run)
        json.dumps(checked.as_dict(), allow_nan=False)
        if not checked.is_sound:
            raise ParetomergeError("; ".join(flaw.message for flaw in checked.flaws))

    return use


def manifest(random: random.Random, folder: Path) -> Use:
    """`paretomerge.json` of exports and trainings."""
    cost = {"trainings": 1, "gradient_passes": 5, "evaluations": 0, "seconds": 1.5, "joules": None}
    content = {
        "format": 1,
        "files": {"model.safetensors": 1},
        "ledger": cost,
        "base": {"digest": "x"},
        "point": {"weights": {}},
    }
    raw = json.dumps(content).encode()
    changed = damaged(random, raw) if random.random() < 0.3 else dumped(random, mutated(random, content))
    (folder / "paretomerge.json").write_bytes(changed)

    def use() -> None:
        _recorded(folder)
        read_manifest(folder)
        _manifest(SimpleNamespace(digests={"base": "x"}, folder=SimpleNamespace(path=folder)), folder)  # type: ignore[arg-type]

    return use


class _Odd:
    """A value that raises whatever is asked of it."""

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise ZeroDivisionError("no array")

    def __repr__(self) -> str:
        raise ZeroDivisionError("no text")


def score(random: random.Random) -> Any:
    """What an evaluator may give back as one metric."""
    return random.choice(
        (
            lambda: value(random),
            lambda: [value(random) for _ in range(3)],
            lambda: [1.0, random.choice(FLAWED), 0.5],
            lambda: torch.tensor([1.0, 2.0]).to(
                random.choice((torch.bfloat16, torch.complex64, torch.bool, torch.int8))
            ),
            lambda: torch.tensor(float("nan")),
            lambda: torch.ones(2, device="meta"),
            lambda: torch.ones(2).to_sparse(),
            lambda: np.array(["2020-01-01"], dtype="M8[D]"),
            lambda: np.array([1 + 2j, 3]),
            lambda: np.zeros((0,)),
            lambda: np.zeros((2, 2)),
            lambda: np.array([1e308, 1e308]),
            lambda: np.float16(3.0),
            lambda: np.array([1, None], dtype=object),
            _Odd,
            lambda: {1, 2},
            lambda: (x for x in (1.0, 2.0)),
            lambda: [1.0, [2.0]],
            lambda: b"12",
            lambda: [10**400],
            lambda: True,
            lambda: lambda: 1,
        )
    )()


FLAWED = (None, "0.5", "nan", float("nan"), float("inf"), 10**400, 1e308, [1.0], {}, True, b"1")


def scores(random: random.Random, folder: Path) -> Use:
    """What evaluators give back: measured, turned into objectives, stored and recalled."""
    names: tuple[Any, ...] = ("loss", "acc", "acc_stderr", 7, None, *TEXTS)
    metrics = {random.choice(names): score(random) for _ in range(random.randrange(4))}
    returned = random.choice((metrics, score(random), {"loss": [1.0, 2.0], **metrics}))
    objectives = [Objective("loss of a", task="a", metric="loss"), Objective("acc", "maximise", task="a", metric="acc")]

    def use() -> None:
        measured = measure_tasks(None, lambda model, task: returned, ["a"])
        with Journal(folder / "journal.sqlite") as opened:
            remember_tasks(opened, f"m{random.random()}", measured, {})
        found = as_evaluation(measured, objectives[: random.randrange(1, 3)])
        assert np.isfinite(found.values).all()
        assert np.isfinite(found.stderr).all()
        evaluate_one(None, lambda model, task: returned, objectives[:1])

    return use


LINES = ('{"acc": 0.5}', "NaN", "Infinity", "[1, 2", '{"acc": NaN}', '{"acc": 1, "acc": 0}', "{" * 5000, "[" * 5000, "")


def printed(random: random.Random, folder: Path) -> Use:
    """What a command prints."""
    good = {"accuracy": [1, 0, 1], "loss": 0.5, "loss_stderr": 0.1}
    text = dumped(random, mutated(random, good)).decode("utf-8", errors="replace")
    if random.random() < 0.4:
        text = "\n".join(random.choice((*LINES, text)) for _ in range(random.randrange(1, 6)))

    def use() -> None:
        found = _parsed(text, ["score.py"], per_task=True)
        measure_tasks(None, lambda model, task: found, ["a"])

    return use


def words(random: random.Random, folder: Path) -> Use:
    """Weights, names, settings and limits as they are typed."""
    parts = ("a=0.5", "b=0.5", "=", ",", "a", "a=nan", "a=1e400", "b=-1", "a=" + "9" * 500, "x<=3", ">=", *TEXTS)
    text = "".join(random.choice((*parts, ",", "=")) for _ in range(random.randrange(6)))
    if random.random() < 0.1:
        text = damaged(random, b"a=0.5,b=0.5").decode("latin-1")

    def use() -> None:
        reader = random.choice((_weights, _settings, parse_names, parse_bytes, _tasks, _constraint))
        reader(text, "--option")  # type: ignore[operator]

    return use


def _weights(text: str, option: str) -> None:
    found = parse_numbers(text, option)
    checked = Weights.of(found, tuple(found))
    assert np.isfinite(checked.values).all()


def _settings(text: str, option: str) -> None:
    parse_settings([text], option)


def _tasks(text: str, option: str) -> None:
    parse_tasks([text, "b=c"], option)


def _constraint(text: str, option: str) -> None:
    Constraint.parse(text)


def training_state(random: random.Random, folder: Path) -> Use:
    """The checkpoint of an interrupted training."""

    raw = saved({"identity": {"recipe": "x"}, "state": {"step": 3, "w": torch.ones(2)}})
    path = TrainingFolder(folder, {"recipe": "x"})
    if random.random() < 0.5:
        changed = damaged(random, raw)
    else:
        buffer = io.BytesIO()
        NamingPickler(buffer, 2).dump({"identity": value(random), "state": payload(random)})
        changed = with_pickle(raw, lambda old: buffer.getvalue())
    (folder / FILE).write_bytes(changed)
    return path.load
