from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version

import pytest
import typer
from tests.tiny import invoke

from paretomerge.cli import app as application
from paretomerge.cli import main
from paretomerge.errors import DataError, StorageError

WORKERS = ("--executor", "--workers", "--ray-address", "--gpus-per-worker")
OPTIONS = {
    "demo": ["--out", "--seed", "--workers", "--json"],
    "init": ["base", "finetunes", "--task", "--data", "--out", "--make-base", "--overwrite", "--json"],
    "check": [
        "recipe",
        "--base",
        "--task",
        "--rename",
        "--skip",
        "--private",
        "--tokenizer",
        "--max-distance",
        "--quick",
        "--json",
    ],
    "plan": ["recipe", "--cluster", "--evaluations", "--workers", "--points", "--tokens", "--json"],
    "merge": [
        "out",
        "--base",
        "--task",
        "--weights",
        "--weights-for",
        "--rule",
        "--set",
        "--mergekit",
        "--seed",
        "--rename",
        "--skip",
        "--private",
        "--tokenizer",
        "--dtype",
        "--accumulate",
        "--check",
        "--max-distance",
        "--max-shard-size",
        "--device",
        "--damping",
        "--overwrite",
        "--json",
    ],
    "fit": [
        "recipe",
        *("--out", "--estimate", "--checkpoint", "--optimizer", "--base", "--batch-size", "--unclipped"),
        *("--at-joint", "--weights", *WORKERS, "--json"),
    ],
    "front": ["recipe", "--evaluations", *WORKERS, "--out", "--json"],
    "diagnose": ["recipe", "--free", "--out", "--json"],
    "choose": [
        *("run", "--weights", "--at-least", "--best", "--reference", "--knee"),
        *("--improve", "--improve-to", "--keep", "--relax", "--from"),
        *("--regret", "--risk", "--one-se", "--towards", "--joint", "--json"),
    ],
    "export": [
        *("run", "out", "--point", "--weights", "--joint", "--adapter", "--rank", "--tolerance", "--mergekit"),
        *("--weights-only", "--dtype", "--check", "--overwrite", "--json"),
    ],
    "finetune": [
        *("recipe", "out", "--weights", "--point", "--task", "--start", "--steps", "--learning-rate", "--seed"),
        *("--set", "--overwrite", "--json"),
    ],
    "verify": ["recipe", "--points", "--trained", *WORKERS, "--out", "--json"],
    "report": ["recipe", "--out", "--figure", "--width", "--kind", "--metric", "--json"],
    "ledger": ["run", "--divisions", "--json"],
    "runs": ["directory", "--verify", "--json"],
}
"""The public surface: renaming or removing anything here breaks someone's script."""


def test_verbs_and_options_are_frozen() -> None:
    commands = typer.main.get_command(application.app).commands  # type: ignore[attr-defined]
    found = {
        name: [
            option
            for parameter in command.params
            for option in (parameter.opts if parameter.param_type_name == "option" else [parameter.name])
            if option != "--help"
        ]
        for name, command in commands.items()
    }
    assert found == OPTIONS
    assert list(found) == list(OPTIONS)


@pytest.mark.parametrize("verb", OPTIONS)
def test_every_verb_explains_itself_with_an_example_that_parses(verb: str) -> None:
    answer = invoke(verb, "--help")
    assert answer.code == 0
    [example] = re.findall(r"Example: +(paretomerge .*)", answer.out)
    words = example.split()
    assert words[1] == verb
    assert {word for word in words if word.startswith("--")} <= set(OPTIONS[verb])
    for option in OPTIONS[verb]:
        if option.startswith("--"):
            assert option in answer.out


def test_help_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from paretomerge.cli import main; assert main(['--help']) == 0\n"
        "print([m for m in ('torch', 'numpy', 'pydantic', 'scipy', 'rich.table') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Start with:  paretomerge demo" in done.stdout
    assert done.stderr.strip() == "[]"


def test_the_version_is_the_packages() -> None:
    assert invoke("--version").out.strip() == f"paretomerge {version('paretomerge')}"


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (["frnt"], "No such command 'frnt'"),
        (["front"], "Missing argument 'RECIPE-or-RUN'"),
        (["front", "r.yaml", "--outt", "x"], "No such option"),
        (["merge", "x", "--base"], "requires an argument"),
        (["verify", "r.yaml", "--points", "many"], "valid integer"),
        ([], "Usage: paretomerge"),
    ],
)
def test_a_command_line_that_does_not_parse_is_bad_input(arguments: list[str], seen: str) -> None:
    answer = invoke(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert seen in answer.err
    assert "bug" not in answer.err


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What `paretomerge runs` will raise."""
    raised: list[BaseException] = []

    def list_runs(directory: object) -> None:
        raise raised[0]

    monkeypatch.setattr("paretomerge.runs.list_runs", list_runs)
    return raised


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DataError("no examples"), 2, "error: no examples\n"),
        (StorageError("disk full"), 1, "error: disk full\n"),
        (KeyboardInterrupt(), 130, "interrupted; the same command continues where it stopped\n"),
    ],
)
def test_every_error_becomes_one_message_and_an_exit_code(
    raising: list[BaseException], error: BaseException, code: int, message: str
) -> None:
    raising.append(error)
    answer = invoke("runs")
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.lstrip("\n") == message


def test_an_unexpected_exception_is_one_message_unless_it_is_debugged(
    raising: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    raising.append(ZeroDivisionError("by zero"))
    monkeypatch.delenv("PARETOMERGE_DEBUG", raising=False)
    answer = invoke("runs")
    assert answer.code == 1
    assert answer.err.startswith("error: unexpected ZeroDivisionError: by zero\nThis is a bug in paretomerge")
    assert "Traceback" not in answer.err
    monkeypatch.setenv("PARETOMERGE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["runs"])


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    code = "import sys; from paretomerge.cli import main; sys.exit(main(['--help']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
