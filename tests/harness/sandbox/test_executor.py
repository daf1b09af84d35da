"""A job ends in exactly one way, costs at most its limits, and says so; the sandbox's own failure is none."""

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.exceptions import InputError, SandboxError
from harness.sandbox import Bind, Job, Limits, Step, Unconfined, confining, run
from harness.sandbox.backends import selection as choice
from harness.sandbox.backends.base import Backend, Launch, interpreter
from harness.sandbox.backends.bubblewrap import Bubblewrap
from harness.sandbox.backends.selection import lack
from harness.sandbox.executor import execute
from harness.sandbox.inside.first import BARE
from harness.sandbox.pool import Slots, in_order, settled
from harness.sandbox.users import spare_user

SHORT = Limits(cpu_seconds=1, wall_seconds=1.0, memory_bytes=256 << 20)


@pytest.fixture
def uid() -> Iterator[int]:
    with spare_user() as number:
        yield number


def shell(command: str, **others: object) -> Job:
    return replace(Job(("sh", "-c", command), limits=SHORT), **others)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("command", "status", "code"),
    [
        ("true", "ok", 0),
        ("exit 3", "exit", 3),
        ("kill -SEGV $$", "signal", 128 + 11),
        ("sleep 9", "timeout", None),
        ("while :; do :; done", "timeout", None),
        ("no-such-program", "exit", 127),
    ],
)
def test_an_end_has_one_name(backend: Backend, uid: int, command: str, status: str, code: int | None) -> None:
    outcome = execute(shell(command, limits=replace(SHORT, cpu_seconds=9)), backend, uid)
    assert (outcome.status, outcome.return_code) == (status, code)


@pytest.mark.slow
def test_cpu_time_is_time_too(backend: Backend, uid: int) -> None:
    """The wall clock would allow much more: the kernel's signal is what ended it."""
    limits = Limits(cpu_seconds=1, wall_seconds=60.0)
    outcome = execute(shell("while :; do :; done", limits=limits), backend, uid)
    assert (outcome.status, outcome.return_code) == ("timeout", 128 + 24)


def test_head_and_tail_of_the_output_are_kept(backend: Backend, uid: int) -> None:
    limits = replace(SHORT, output_bytes=8, wall_seconds=9.0)
    outcome = execute(shell("printf 0123456789abcdef; printf ABC >&2", limits=limits), backend, uid)
    assert (outcome.stdout, outcome.stderr) == (b"0123cdef", b"ABC")


def test_files_are_in_the_jobs_folder_and_it_may_write_there(backend: Backend, uid: int) -> None:
    job = shell("cat a/b c > d && cat d && rm a/b", files={"a/b": "1", "c": b"2"})
    assert execute(job, backend, uid).stdout == b"12"


def test_the_environment_has_nothing_of_the_harness(
    backend: Backend, uid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    shown = execute(shell("env", environment={"OWN": "1"}), backend, uid).stdout.decode().split()
    names = {line.partition("=")[0] for line in shown}
    assert (
        {"PATH", "HOME", "TMPDIR", "LANG", "OWN"}
        <= names
        <= {*("PATH", "HOME", "TMPDIR", "LANG", "OWN", "PWD", "LC_CTYPE", "_", "OLDPWD", "SHLVL")}
    )


class TestCompiling:
    """Two steps, one sandbox: what the first leaves is there for the second, or is taken away."""

    def job(self, first: str, then: str = "cat made; ls", **step: object) -> Job:
        made = replace(Step(("sh", "-c", first), SHORT), **step)  # type: ignore[arg-type]
        return shell(then, files={"source": "x"}, compile=made)

    def test_the_second_step_finds_what_the_first_made(self, backend: Backend, uid: int) -> None:
        outcome = execute(self.job("echo noise; cp source made", removes=("source",)), backend, uid)
        assert (outcome.stage, outcome.stdout) == ("run", b"xmade\n")
        assert outcome.compile_seconds > 0

    def test_a_first_step_that_fails_is_the_end(self, backend: Backend, uid: int) -> None:
        outcome = execute(self.job("echo wrong >&2; exit 2"), backend, uid)
        assert not outcome.compiled
        assert (outcome.status, outcome.return_code, outcome.stderr) == ("exit", 2, b"wrong\n")

    def test_unless_its_code_is_accepted(self, backend: Backend, uid: int) -> None:
        outcome = execute(self.job("cp source made; exit 2", accepts=(0, 2)), backend, uid)
        assert outcome.status == "ok"

    @pytest.mark.slow
    def test_each_step_has_its_own_time(self, backend: Backend, uid: int) -> None:
        slow = self.job("sleep 1.2; cp source made", limits=replace(SHORT, wall_seconds=9.0))
        assert execute(slow, backend, uid).status == "ok"
        hanging = execute(self.job("sleep 9"), backend, uid)
        assert (hanging.status, hanging.stage) == ("timeout", "compile")


def test_what_is_bound_can_be_read_and_not_written(uid: int, tmp_path: Path) -> None:
    if sys.platform != "linux" or not isinstance(sandbox := confining(), Bubblewrap):
        pytest.skip("binds at another place are bubblewrap's")
    tmp_path.chmod(0o755)
    (tmp_path / "f").write_text("tool")
    job = shell("cat /opt/x/f; touch /opt/x/g", binds=(Bind(tmp_path, "/opt/x"),))
    outcome = execute(job, sandbox, uid)
    assert (outcome.stdout, outcome.status) == (b"tool", "exit")
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


class Broken(Backend):
    """A sandbox that does not come about."""

    name = "broken"
    mode = "sandbox"

    def launch(self, *_: object) -> Launch:
        return Launch(["sh", "-c", "echo no namespaces >&2; exit 1"], "/")


def test_a_sandbox_that_fails_is_no_outcome() -> None:
    with pytest.raises(SandboxError, match=r"broken.*no namespaces") as caught:
        run(shell("true"), Broken())
    assert caught.value.exit_code == 7
    assert lack(Broken()).startswith("the sandbox (broken) failed before the program in it started: no names")


def test_a_program_cannot_make_the_sandbox_look_broken(backend: Backend, uid: int) -> None:
    """Whatever it prints and however it ends."""
    outcome = execute(shell("echo 'bwrap: cannot start' >&2; kill -9 $$"), backend, uid)
    assert outcome.status in ("signal", "exit")


def test_without_a_sandbox_there_is_an_error_with_the_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "examined", lambda: (choice.Examined(Broken(), "no namespaces"),))
    with pytest.raises(InputError, match=r"no sandbox works here .broken: no namespaces.") as caught:
        run(shell("true"))
    assert "--unsafe-no-sandbox" in caught.value.remedy


def test_the_probe_finds_what_does_not_hold() -> None:
    """Where nothing is confined, it says so of each thing that a sandbox must hold."""
    found = lack(Unconfined())
    for said in (
        "gain privileges",
        "system call",
        "sockets",
        "files of this machine",
        "outside",
        "processes",
    ):
        assert said in found


@pytest.mark.slow
def test_outcomes_keep_the_order_of_the_jobs(backend: Backend) -> None:
    jobs = [shell(f"sleep 0.{9 - i}; exit {i}", limits=Limits()) for i in range(1, 6)]
    assert [outcome.return_code for outcome in in_order(lambda job: run(job, backend), jobs)] == [
        1,
        2,
        3,
        4,
        5,
    ]


class TestTimeOuts:
    """They are repeated once with nothing else running; only then do they count."""

    def test_what_ends_in_time_is_not_repeated(self) -> None:
        seen: list[int] = []
        assert settled(lambda uid: seen.append(uid), lambda _: False) is None
        assert len(seen) == 1

    def test_the_second_attempt_counts(self) -> None:
        results = iter(["timeout", "ok"])
        assert settled(lambda _: next(results), lambda found: found == "timeout") == "ok"

    def test_it_is_alone(self) -> None:
        """While all slots are held nobody else has one; others go on afterwards."""
        slots, inside, most = Slots(2), [0], [0]
        lock = threading.Lock()

        def work(alone: bool) -> None:
            with slots.all() if alone else slots.one():
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    assert not alone or inside[0] == 1
                time.sleep(0.01)
                with lock:
                    inside[0] -= 1

        in_order(work, [i % 3 == 0 for i in range(12)])
        assert inside == [0]
        assert most[0] <= 2


def test_every_user_number_is_one_jobs_alone() -> None:
    with spare_user() as first, spare_user() as second:
        assert first != second or first == -1


def test_a_script_of_this_interpreter_runs_as_if_it_were_started(backend: Backend, uid: int) -> None:
    """It is run without a second interpreter; arguments, name and end are as if there were one."""
    source = "import sys\nprint(sys.argv, __name__, 'HOME' in globals())\nraise SystemExit(5)"
    job = Job((interpreter(), *BARE, "main.py", "a"), {"main.py": source})
    outcome = execute(job, backend, uid)
    assert outcome.stdout == b"['main.py', 'a'] __main__ False\n"
    assert outcome.return_code == 5
