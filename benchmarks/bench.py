"""A benchmark run: starts each subject on first use and alternates between subjects."""

import contextlib
import itertools
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from benchmarks import inputs
from benchmarks.measurements import Round
from benchmarks.processes import (
    ROOT,
    Command,
    Program,
    ProgramError,
    peak_mb,
    run_to_completion,
    wait_until_ready,
)
from benchmarks.queues import queue_server
from benchmarks.servers import SERVICE
from benchmarks.subject import OWN_PYTHON, Subject, Workspace
from benchmarks.subjects import SUBJECTS
from scripts.ports import reserve_port
from shared.redis.servers import socket_path

START_TIMEOUT_S = 120.0
MAX_EMPTY_ROUNDS = 5
"""Rounds without a single answer after which the subject counts as not answering."""
CARS_PER_ROUND = 100_000
"""Car numbers set aside for a round; no two rounds request the same car."""
IDLE_SHARE, IDLE_STEP_S, IDLE_TIMEOUT_S = 0.05, 0.3, 20.0
"""A subject is idle when it uses less than this share of a core during one step."""
PROBE_S = 0.2
"""Duration of the client run that shows that a queue without HTTP is ready."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a run, from the command line."""

    scenarios: Sequence[str]
    subjects: Sequence[str]
    rounds: int
    seconds: float
    warm_up_s: float
    connections: Sequence[int]
    rows: int
    stored: int
    """Jobs and audit lines of the full service in the `flat` scenario."""
    smoke: bool


@dataclass(frozen=True, kw_only=True)
class Running:
    """A started subject."""

    subject: Subject
    url: str
    programs: Sequence[Program]

    def cpu_s(self) -> float:
        """Return the CPU time of all its processes so far."""
        return sum(program.cpu_s() for program in self.programs)

    def peak_mb(self) -> float:
        """Return the largest peak memory of its processes since their start."""
        return max(peak_mb(one.pid) for program in self.programs for one in program.processes())

    def wait_until_idle(self) -> None:
        """Wait until it uses almost no CPU time, `IDLE_TIMEOUT_S` at most.

        A slow server continues with requests whose clients have disconnected, and would take CPU
        time from the next subject.
        """
        until = time.monotonic() + IDLE_TIMEOUT_S
        before = self.cpu_s()
        while time.monotonic() < until:
            time.sleep(IDLE_STEP_S)
            now = self.cpu_s()
            if now - before < IDLE_SHARE * IDLE_STEP_S:
                return
            before = now


Measure = Callable[[str, int], Round]
"""Measures one round of a subject, given its name and the round's number."""


class Bench:
    """One run: its subjects and their rounds.

    Args:
        options: the options of the run.
        workspace: the folders of the run.
        show: prints one line of progress.
    """

    def __init__(self, options: Options, workspace: Workspace, show: Callable[[str], None]) -> None:
        self.options = options
        self.workspace = workspace
        self.rounds: list[Round] = []
        self.left_out: dict[str, str] = {}
        self.api_memory_mb: float | None = None
        self.show = show
        self._stack = contextlib.ExitStack()
        self._running: dict[str, Running] = {}
        self._queue: Program | None = None
        self._first_cars = itertools.count(0, CARS_PER_ROUND)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def next_car_number(self) -> int:
        """Return the first of `CARS_PER_ROUND` car numbers that no request has used."""
        return next(self._first_cars)

    def command(self, module: str, *arguments: object, python: str = OWN_PYTHON) -> Command:
        """Return the command that runs a module of this package."""
        line = [python, "-m", module, *map(str, arguments)]
        return Command(name=module, arguments=line, env=self.workspace.env())

    def available_subjects(self, names: Sequence[str]) -> list[str]:
        """Start those of the subjects that the options select; return those that are ready."""
        chosen = [name for name in names if name in self.options.subjects]
        self._start_all([name for name in chosen if name not in self._running])
        return [name for name in chosen if name in self._running]

    def running(self, name: str) -> Running:
        """Return a started subject."""
        return self._running[name]

    def restart_service(self) -> None:
        """Start the service with an empty home: earlier scenarios have stored jobs and records."""
        if SERVICE not in self._running:
            return
        self.record_api_memory()
        self.show(f"restarting {SERVICE} with an empty home")
        for program in self._running.pop(SERVICE).programs:
            program.stop()
        shutil.rmtree(self.workspace.home)
        self.workspace.home.mkdir()
        self.available_subjects([SERVICE])

    def run_interleaved(self, names: Sequence[str], measure: Measure) -> None:
        """Measure the rounds of all subjects, alternating; each round starts with another one."""
        for number in range(1, self.options.rounds + 1):
            shift = (number - 1) % max(1, len(names))
            for name in (*names[shift:], *names[:shift]):
                self._one_round(name, number, measure)

    def _one_round(self, name: str, number: int, measure: Measure) -> None:
        if name in self.left_out:
            return
        try:
            one = _retry_empty_round(name, number, measure)
        except ProgramError as error:
            self.exclude(name, error)
            return
        self.rounds.append(one)
        self.show(f"  {one.scenario} {number}: {name} {one.per_second:,.0f}/s")

    def exclude(self, name: str, error: ProgramError) -> None:
        """Exclude a subject from the rest of the run; the report states the reason."""
        last_line = str(error).strip().splitlines()[-1]
        self.left_out[name] = last_line.replace(str(ROOT), ".")
        self.show(f"  left out: {name}: {error}")

    def record_api_memory(self) -> None:
        """Record the resident memory of the API: the largest of granian's processes."""
        if SERVICE in self._running:
            processes = [one for p in self._running[SERVICE].programs for one in p.processes()]
            sizes = [one.memory_info().rss for one in processes if "granian" in _command_line(one)]
            largest = max([self.api_memory_mb or 0.0, *(size / 1e6 for size in sizes)])
            self.api_memory_mb = largest or None

    def _start_all(self, names: Sequence[str]) -> None:
        """Start subjects in parallel, then wait until each is ready."""
        started: list[Running] = []
        for name in names:
            if name not in self.left_out:
                try:
                    started.append(self._start(SUBJECTS[name]))
                except ProgramError as error:
                    self.exclude(name, error)
        for running in started:
            name = running.subject.name
            try:
                self._wait_until_ready(running)
                self._running[name] = running
            except ProgramError as error:
                self.exclude(name, error)

    def _start(self, subject: Subject) -> Running:
        _check_imports(subject)
        self.show(f"starting {subject.name}")
        if subject.uses_pipeline and not self.workspace.pipeline.exists():
            inputs.train_pipeline(self.workspace, small=self.options.smoke)
        shared = [self._queue_server()] if subject.uses_queue else []
        port = reserve_port()
        commands = subject.programs(self.workspace, port)
        programs = [self._program(command) for command in commands]
        url = f"http://127.0.0.1:{port}"
        return Running(subject=subject, url=url, programs=[*programs, *shared])

    def _wait_until_ready(self, running: Running) -> None:
        subject = running.subject
        if subject.ready:
            wait_until_ready(running.url + subject.ready, running.programs, START_TIMEOUT_S)
        else:
            probe = self.command(subject.client, PROBE_S, python=subject.python)
            run_to_completion(probe, START_TIMEOUT_S)

    def _queue_server(self) -> Program:
        if self._queue is None:
            self.workspace.queue.home.mkdir(parents=True, exist_ok=True)
            self._queue = self._program(queue_server(self.workspace))
            self._wait_for_socket()
        return self._queue

    def _wait_for_socket(self) -> None:
        """Wait for the server: a worker that starts before it retries only after seconds."""
        path = socket_path(self.workspace.queue, "broker")
        until = time.monotonic() + START_TIMEOUT_S
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.05)

    def _program(self, command: Command) -> Program:
        program = Program(command, self.workspace.folder / f"{command.name}.log")
        self._stack.callback(program.stop)
        return program


def _check_imports(subject: Subject) -> None:
    """Check that a peer's packages are installed.

    Raises:
        ProgramError: a package is missing; the message says what to do.
    """
    if not subject.imports:
        return
    if not Path(subject.python).exists():
        raise ProgramError("not installed: `make bench` installs the peers into .venv-peers")
    code = "import " + ", ".join(subject.imports)
    done = subprocess.run(
        [subject.python, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        raise ProgramError(f"cannot be imported: {done.stderr.strip().splitlines()[-1]}")


def _retry_empty_round(name: str, number: int, measure: Measure) -> Round:
    """Measure a round; repeat it if a busy machine left no time for a single answer."""
    one = measure(name, number)
    for _ in range(MAX_EMPTY_ROUNDS - 1):
        if one.operations:
            break
        one = measure(name, number)
    return one


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def machine_cpu_s() -> float:
    """Return the CPU time of all processes of the machine since its start."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
