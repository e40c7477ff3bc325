"""What all kernels share: arguments, pinning, deadlines, and an end that leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_program import build, latency_ns, measure, run, two_cpus

# A visit that lasts as long as it may: neither precision nor rounds end it soon.
LONG = ("precision_permille=0", "rounds=64", "max_ms=3000")


def many_pairs(count: int = 2000) -> str:
    one, other = two_cpus()
    return "pairs=" + ",".join([f"{one}:{other}"] * count)


@contextlib.contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([build(), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def children_of(process_id: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(n) for n in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]
    return []


def a_child_of(process_id: int) -> int:
    for _ in range(100_000):
        if children := children_of(process_id):
            return children[0]
    raise AssertionError("the kernel forked no end")


def is_running(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_gone_soon(process_id: int) -> bool:
    limit = time.monotonic() + 5
    while is_running(process_id) and time.monotonic() < limit:
        time.sleep(0.01)
    return not is_running(process_id)


class TestArguments:
    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            ([], "name a kernel; --list shows them, --help the usage"),
            (["juggling"], "there is no kernel 'juggling'; --list shows them"),
            (
                ["cacheline_cas"],
                "cacheline_cas: give the CPUs by one of cpus=0,1 (one target), pairs=0:1,0:2",
            ),
            (["cacheline_cas", "cpus"], "cacheline_cas: 'cpus' is not of the form key=value"),
            (["cacheline_cas", "=1"], "cacheline_cas: '=1' is not of the form key=value"),
            (["cacheline_cas", "cpus=0,1", "cpus=0,1"], "cacheline_cas: cpus is given twice"),
            (["cacheline_cas", "cpus=0,x"], "cacheline_cas: cpus: '0,x' is not a list of CPU numbers"),
            (["cacheline_cas", "cpus=3-1"], "cacheline_cas: cpus: '3-1' is not a list of CPU numbers"),
            (
                ["cacheline_cas", "cpus=0,99999"],
                "cacheline_cas: cpus: '0,99999' is not a list of CPU numbers",
            ),
            (["cacheline_cas", "cpus=0,0"], "cacheline_cas: cpus: '0,0' names CPU 0 twice"),
            (["cacheline_cas", "cpus=0-2"], "cacheline_cas: cpus: '0-2' names 3 CPUs, a target here has 2"),
            (["cacheline_cas", "pairs=0:1,0"], "cacheline_cas: pairs: '0' names 1 CPUs, a target here has 2"),
            (["cacheline_cas", "pairs=0:1,"], "cacheline_cas: pairs: '' is not a list of CPU numbers"),
            (
                ["cacheline_cas", "cpus=0,1", "model=fibre"],
                "cacheline_cas: model=fibre is not one of: thread, process",
            ),
            (
                ["cacheline_cas", "cpus=0,1", "home=third"],
                "cacheline_cas: home=third is not one of: first, sec",
            ),
            (
                ["cacheline_cas", "cpus=0,1", "max_ms=-1"],
                "cacheline_cas: max_ms=-1 is not a whole number from 1",
            ),
            (
                ["cacheline_cas", "cpus=0,1", "max_ms=2s"],
                "cacheline_cas: max_ms=2s is not a whole number from 1",
            ),
            (["cacheline_cas", "cpus=0,1", "max_ms="], "cacheline_cas: max_ms= is not a whole number from 1"),
            (
                ["cacheline_cas", "cpus=0,1", "rounds=99999999999999999999"],
                "cacheline_cas: rounds=99999999999999999999 is not a whole number from 6 to 64",
            ),
        ],
    )
    def test_a_wrong_one_is_told_in_one_sentence(self, words: list[str], sentence: str) -> None:
        done = run(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"toposcope-kernels: {sentence}")
        assert done.stderr.count("\n") == 1

    def test_version_and_help(self) -> None:
        import toposcope

        assert run("--version").stdout == f"toposcope-kernels {toposcope.__version__}\n"
        assert "key=value" in run("--help").stdout

    def test_a_parent_that_is_gone_already(self) -> None:
        done = run("cacheline_cas", "cpus=0,1", "parent_pid=1")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "toposcope-kernels: process 1 is not the parent (any more)\n"


@pytest.mark.live
class TestPinning:
    def test_cpus_that_this_process_may_not_use_are_left_alone(self) -> None:
        one, other = two_cpus()
        done = subprocess.run(
            [build(), "cacheline_cas", f"cpus={one},{other}"],
            capture_output=True,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {one}),
        )
        line = json.loads(done.stdout)
        assert line["status"] == "not_applicable"
        assert f"CPU {other} is offline, absent or not among" in line["reason"]

    @pytest.mark.parametrize("model", ["thread", "process"])
    def test_the_ends_are_where_they_were_asked_to_be(self, model: str) -> None:
        """Field 39 of stat is the CPU a thread last ran on (proc_pid_stat(5))."""
        one, other = two_cpus()
        seen = set()
        with started("cacheline_cas", many_pairs(), f"model={model}", *LONG) as process:
            limit = time.monotonic() + 5
            while seen != {(one,), (other,)} and time.monotonic() < limit:
                tasks = Path(f"/proc/{process.pid}/task").iterdir() if model == "thread" else [
                    Path(f"/proc/{number}") for number in [process.pid, *children_of(process.pid)]
                ]  # fmt: skip
                for task in tasks:
                    with contextlib.suppress(OSError, ProcessLookupError):
                        seen.add(tuple(os.sched_getaffinity(int(task.name))))
                seen &= {(one,), (other,)}
        assert seen == {(one,), (other,)}


@contextlib.contextmanager
def stranger_on(cpu: int) -> Iterator[None]:
    """A process that wants the whole CPU."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"import os\nos.sched_setaffinity(0, [{cpu}])\nwhile True: pass"]
    )
    time.sleep(0.3)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.live
class TestDisturbances:
    @pytest.mark.parametrize("end", [0, 1])
    @pytest.mark.parametrize("model", ["thread", "process"])
    def test_a_preemption_is_dropped_and_counted(self, end: int, model: str) -> None:
        """Whichever end loses its CPU to a stranger: what is kept still says what a quiet visit says."""
        pair = two_cpus()
        words = ("cacheline_cas", f"cpus={pair[0]},{pair[1]}", f"model={model}", *LONG)
        switches = 0
        with stranger_on(pair[end]):
            for _ in range(20):
                (line,) = measure(*words)
                switches += line["batches_dropped"]["context_switch"]
                assert line["checks"]["run_delay_ns"] >= 0
                if switches:
                    break
        assert switches, "a preempted batch is counted as such"
        assert line["status"] == "ok", line["reason"]
        kept = [value for group in line["samples"]["latency_ns"] for value in group]
        assert len(kept) == line["batches_kept"]
        # A stranger's turn takes milliseconds; none of it is in a batch of some 10 µs that was kept.
        assert sorted(kept)[len(kept) // 2] < 10 * latency_ns(line)

    def test_a_stopped_end_costs_batches_and_no_spinning(self) -> None:
        with started("cacheline_cas", many_pairs(1), "model=process", *LONG[:2], "max_ms=1500") as process:
            child = a_child_of(process.pid)
            os.kill(child, signal.SIGSTOP)
            time.sleep(0.3)
            used_s = cpu_time_s(process.pid)
            time.sleep(0.7)
            spun_s = cpu_time_s(process.pid) - used_s
            os.kill(child, signal.SIGCONT)
            out, err = process.communicate(timeout=20)
        line = json.loads(out)
        assert err == b""
        assert spun_s < 0.7 * 0.4, "the other end naps most of the time"
        assert line["status"] == "failed" or line["checks"]["meetings_missed"] > 0

    def test_an_end_that_stays_stopped_is_killed_and_reaped(self) -> None:
        # On a busy host the stop may come after the last batch, and the target is then measured: again.
        for _ in range(5):
            with started("cacheline_cas", many_pairs(1), "model=process", *LONG[:2], "max_ms=300") as process:
                child = a_child_of(process.pid)
                os.kill(child, signal.SIGSTOP)
                out, _ = process.communicate(timeout=20)
                assert process.returncode == 0
            line = json.loads(out)
            if line["status"] == "failed":
                break
        assert "died or was stopped" in line["reason"] or "within 200 ms" in line["reason"]
        assert not Path(f"/proc/{child}").exists()

    def test_an_end_that_is_killed_costs_one_target(self) -> None:
        with started("cacheline_cas", many_pairs(3), "model=process", *LONG[:2], "max_ms=300") as process:
            os.kill(a_child_of(process.pid), signal.SIGKILL)
            out, _ = process.communicate(timeout=20)
            assert process.returncode == 0
        lines = [json.loads(text) for text in out.splitlines()]
        assert len(lines) == 3
        assert sum(line["status"] == "failed" for line in lines) == 1


def cpu_time_s(process_id: int) -> float:
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.live
class TestEnding:
    @pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
    def test_a_signal_ends_all_and_keeps_what_was_measured(self, signal_number: int) -> None:
        with started("cacheline_cas", many_pairs(), "model=process") as process:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["kernel"] == "cacheline_cas"
            child = a_child_of(process.pid)
            process.send_signal(signal_number)
            process.wait(timeout=5)
            assert is_gone_soon(child)
            whole = process.stdout.read().splitlines()
        assert all(json.loads(line)["kernel"] == "cacheline_cas" for line in whole)

    def test_kernels_die_with_their_parent(self) -> None:
        """Whatever kills the parent: here SIGKILL, which it cannot pass on."""
        words = [str(build()), "cacheline_cas", many_pairs(20000), "model=process"]
        code = f"import subprocess\np = subprocess.Popen({words!r}, stdout=-3)\nprint(p.pid, flush=True)\np.wait()"
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            kernel = int(parent.stdout.readline())
            child = a_child_of(kernel)
            parent.kill()
            assert is_gone_soon(kernel)
            assert is_gone_soon(child)

    @pytest.mark.parametrize("model", ["thread", "process"])
    def test_a_reader_that_went_away(self, model: str) -> None:
        with started("cacheline_cas", many_pairs(), f"model={model}") as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            complaint = process.stderr.read()
            assert process.wait(timeout=10) == 1
        assert complaint == b"toposcope-kernels: writing a result failed: Broken pipe\n"

    def test_closed_standard_output(self) -> None:
        one, other = two_cpus()
        done = subprocess.run(
            ["sh", "-c", f'"{build()}" cacheline_cas cpus={one},{other} >&-'],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr == b"toposcope-kernels: writing a result failed: Bad file descriptor\n"


@pytest.mark.live
def test_one_process_is_the_other_end_of_all_pairs() -> None:
    """It moves from pair to pair: starting and ending one costs as much as measuring a pair."""
    with started("cacheline_cas", many_pairs(), "model=process") as program:
        seen = set()
        end_s = time.monotonic() + 1.0
        while time.monotonic() < end_s and program.poll() is None:
            seen.update(children_of(program.pid))
            time.sleep(0.001)
    assert len(seen) == 1


@pytest.mark.live
@pytest.mark.parametrize("model", ["thread", "process"])
def test_ends_that_change_places_are_measured_like_others(model: str) -> None:
    """The end that stays follows to the other CPU, and a pair that can't be measured holds up nobody."""
    one, other = two_cpus()
    absent = max(os.sched_getaffinity(0)) + 1
    pairs = f"pairs={one}:{other},{other}:{one},{one}:{absent},{other}:{one},{one}:{other}"
    for _ in range(3):
        lines = measure("cacheline_cas", pairs, f"model={model}")
        if [line["status"] for line in lines] == ["ok", "ok", "not_applicable", "ok", "ok"]:
            break
    assert [line["cpus"] for line in lines] == [
        [one, other], [other, one], [one, absent], [other, one], [one, other]
    ]  # fmt: skip
    assert [line["status"] for line in lines] == ["ok", "ok", "not_applicable", "ok", "ok"]


@pytest.mark.live
def test_numbers_have_six_digits_and_no_zeros_at_their_end() -> None:
    one, other = two_cpus()
    text = run("cacheline_cas", f"cpus={one},{other}").stdout
    numbers = re.findall(
        r"[\[,](\d+(?:\.\d+)?)(?=[,\]])", text[text.index('"samples"') : text.index('"groups"')]
    )
    assert len(numbers) >= 16
    assert all(number == f"{float(number):.6g}" for number in numbers)


def total_cost_s(model: str) -> float:
    """User and system time of a program of 100 pairs and of the children that it has waited for (wait4(2))."""
    words = [str(build()), "cacheline_cas", many_pairs(100), f"model={model}"]
    null = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    process_id = os.posix_spawn(words[0], words, os.environ, file_actions=null)
    _, status, usage = os.wait4(process_id, 0)
    assert status == 0
    return usage.ru_utime + usage.ru_stime


@pytest.mark.live
def test_the_cost_of_every_end_is_in_that_of_the_program() -> None:
    """Ends that were not waited for would cost nothing: half of what threads cost, who do the same."""
    assert total_cost_s("process") > 0.75 * total_cost_s("thread")
