from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paretomerge.evaluation.programs import ProgramError, run_program

WAITS = "import subprocess, sys, time; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); time.sleep({})"


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def _wait_for_end(pid: int) -> bool:
    for _ in range(100):
        if not _is_running(pid):
            return True
        time.sleep(0.05)
    return False


def test_standard_output_comes_back_and_messages_do_not(tmp_path: Path) -> None:
    code = "import os, sys; print(os.getcwd(), os.environ['MINE']); print('note', file=sys.stderr)"
    assert run_program(_python(code), {"MINE": "here"}, 20, tmp_path) == f"{tmp_path} here\n"


def test_there_is_no_input_to_wait_for() -> None:
    assert run_program(_python("import sys; print(repr(sys.stdin.read()))"), {}, 20) == "''\n"


def test_another_status_is_an_error_with_the_last_messages() -> None:
    code = "import sys; [print('line', n, file=sys.stderr) for n in range(50)]; sys.exit(3)"
    with pytest.raises(ProgramError, match=r"ended with status 3\. It said:\nline 38\n(.*\n)*line 49$") as caught:
        run_program(_python(code), {}, 20)
    assert caught.value.may_pass


def test_a_signal_is_named() -> None:
    with pytest.raises(ProgramError, match=r"ended by SIGKILL \(often because memory ran out\)\. It said nothing"):
        run_program(_python("import os; os.kill(os.getpid(), 9)"), {}, 20)


def test_a_program_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    code = WAITS.format(60).replace("print(p.pid, flush=True)", "open('pid', 'w').write(str(p.pid))")
    started = time.perf_counter()
    with pytest.raises(ProgramError, match=r"still running after 1 s and was ended.*`timeout`") as caught:
        run_program(_python(code), {}, 1, tmp_path)
    assert time.perf_counter() - started < 8
    assert not caught.value.may_pass
    assert _wait_for_end(int((tmp_path / "pid").read_text()))


def test_what_a_program_leaves_running_is_ended_and_not_waited_for() -> None:
    started = time.perf_counter()
    left = int(run_program(_python(WAITS.format(0)), {}, 30))
    assert time.perf_counter() - started < 20
    assert _wait_for_end(left)


def test_what_does_not_want_to_end_is_forced(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); open('deaf', 'w').close(); time.sleep(60)"
    code = (
        f"import os, subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', {stubborn!r}])\n"
        "while not os.path.exists('deaf'): time.sleep(0.05)\n"
        "print(p.pid)"
    )
    assert _wait_for_end(int(run_program(_python(code), {}, 30, tmp_path)))


def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ProgramError, match=r"no-such-program cannot be started.*No such file") as caught:
        run_program(["no-such-program"], {}, 20)
    assert not caught.value.may_pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_told_to_end_takes_its_program_along(tmp_path: Path, number: signal.Signals) -> None:
    program = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from paretomerge.evaluation.programs import run_program;"
        f"run_program([sys.executable, '-c', {program!r}], {{}}, 60)"
    )
    process = subprocess.Popen(_python(code), cwd=tmp_path, stderr=subprocess.DEVNULL)
    for _ in range(600):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            break
        time.sleep(0.05)
    os.kill(process.pid, number)
    assert process.wait(20) != 0
    assert _wait_for_end(int((tmp_path / "pid").read_text()))
