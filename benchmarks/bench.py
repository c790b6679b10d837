"""One run: starts subjects when they are first needed, lets them take turns, keeps every round."""

import contextlib
import itertools
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
    free_port,
    peak_mb,
    run_to_completion,
    wait_until_ready,
)
from benchmarks.queues import queue_server
from benchmarks.servers import SERVICE
from benchmarks.subject import OWN_PYTHON, Subject, Workspace
from benchmarks.subjects import SUBJECTS
from shared.redis.servers import socket_path

START_TIMEOUT_S = 120.0
MAX_EMPTY_ROUNDS = 5
"""Without a single answer, before it is believed that there is none."""
CARS_PER_ROUND = 100_000
"""Each round gets numbers of cars that no other round has had."""
SETTLED_SHARE, SETTLE_STEP_S, SETTLE_TIMEOUT_S = 0.05, 0.3, 20.0
"""A subject has settled when it takes less than this share of a core for one step."""
PROBE_S = 0.2
"""A client's shortest run, by which a queue without HTTP shows that it is ready."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How much a run does."""

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
    """A subject that is up."""

    subject: Subject
    url: str
    programs: Sequence[Program]

    def cpu_s(self) -> float:
        """CPU time of all its processes so far."""
        return sum(program.cpu_s() for program in self.programs)

    def peak_mb(self) -> float:
        """Most memory that any one of its processes has held since its start."""
        return max(peak_mb(one.pid) for program in self.programs for one in program.family())

    def settle(self) -> None:
        """Wait until it works no more.

        A slow server goes on with requests whose callers have hung up; the next subject would
        have to share the cores with it.
        """
        until = time.monotonic() + SETTLE_TIMEOUT_S
        before = self.cpu_s()
        while time.monotonic() < until:
            time.sleep(SETTLE_STEP_S)
            now = self.cpu_s()
            if now - before < SETTLED_SHARE * SETTLE_STEP_S:
                return
            before = now


Measure = Callable[[str, int], Round]
"""Measures one round of a subject, given its name and the round's number."""


class Bench:
    """One run.

    Args:
        options: what to do.
        workspace: where its files are.
        say: told what happens.
    """

    def __init__(self, options: Options, workspace: Workspace, say: Callable[[str], None]) -> None:
        self.options = options
        self.workspace = workspace
        self.rounds: list[Round] = []
        self.left_out: dict[str, str] = {}
        self.api_memory_mb: float | None = None
        self.say = say
        self._stack = contextlib.ExitStack()
        self._running: dict[str, Running] = {}
        self._queue: Program | None = None
        self._first_cars = itertools.count(0, CARS_PER_ROUND)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def next_car_number(self) -> int:
        """The number of the first of some cars that have not been asked for yet."""
        return next(self._first_cars)

    def command(self, module: str, *arguments: object, python: str = OWN_PYTHON) -> Command:
        """A program of the suite."""
        line = [python, "-m", module, *map(str, arguments)]
        return Command(name=module, arguments=line, env=self.workspace.env())

    def available_subjects(self, names: Sequence[str]) -> list[str]:
        """Which of these subjects take part: chosen, installed and up."""
        chosen = [name for name in names if name in self.options.subjects]
        self._start_all([name for name in chosen if name not in self._running])
        return [name for name in chosen if name in self._running]

    def running(self, name: str) -> Running:
        """A subject that takes part."""
        return self._running[name]

    def run_interleaved(self, names: Sequence[str], measure: Measure) -> None:
        """Let the subjects take turns, each round in another order."""
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
        self.say(f"  {one.scenario} {number}: {name} {one.per_second:,.0f}/s")

    def exclude(self, name: str, error: ProgramError) -> None:
        """A subject takes no further part; the table will say why."""
        last_line = str(error).strip().splitlines()[-1]
        self.left_out[name] = last_line.replace(str(ROOT), ".")
        self.say(f"  left out: {name}: {error}")

    def note_api_memory(self) -> None:
        """Keep the resident memory of the service's API process, the largest of granian's."""
        if SERVICE in self._running:
            family = [one for p in self._running[SERVICE].programs for one in p.family()]
            sizes = [one.memory_info().rss for one in family if "granian" in _command_line(one)]
            self.api_memory_mb = max(sizes, default=0) / 1e6 or None

    def _start_all(self, names: Sequence[str]) -> None:
        """Start subjects side by side, then wait for each."""
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
        self.say(f"starting {subject.name}")
        if subject.uses_pipeline and not self.workspace.pipeline.exists():
            inputs.train_pipeline(self.workspace, small=self.options.smoke)
        shared = [self._queue_server()] if subject.uses_queue else []
        port = free_port()
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
            self._await_socket()
        return self._queue

    def _await_socket(self) -> None:
        """A worker that starts before its server waits for seconds; the server takes a moment."""
        path = socket_path(self.workspace.queue, "broker")
        until = time.monotonic() + START_TIMEOUT_S
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.05)

    def _program(self, command: Command) -> Program:
        program = Program(command, self.workspace.folder / f"{command.name}.log")
        self._stack.callback(program.stop)
        return program


def _check_imports(subject: Subject) -> None:
    """Find out whether a peer's packages are there.

    Raises:
        ProgramError: they are not; the message says what to do.
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
    """A round; repeated when the machine had so much else to do that nobody was answered in it."""
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
    """CPU time that the whole machine has spent working so far."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
