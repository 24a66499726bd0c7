"""Tasks on a Ray cluster: Ray places them, starts them again if a machine or a process is lost, and counts resources.

What Ray does not do is done here: a task that fits no machine is refused, since Ray would wait for one forever. Others
may join in the first minute, and one that has left may come back within UNFIT_S. If the head of the cluster is lost,
the run ends. No state of the fleet lies in Ray: what was built is on the disk, and the next run resumes what was not.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from contract.children import child_environment
from contract.errors import SubmodelError, first_line
from contract.files.state_folder import state_folder
from contract.progress import OnEvent
from fleet.fleet_file import TaskPart
from fleet.layout import Outcome
from fleet.own_process import build_in_own_process
from fleet.task import Task, describe
from submodel.extras import install_advice

LOCAL: Final = "local"
ANSWER_S = 60  # for a cluster's head to answer a health check
RETRIES: Final = 3  # of a task whose process or machine was lost; a build resumes, so that a try is seldom for nothing
TICK_S: Final = 1.0
LOOK_EVERY_S: Final = 10.0  # at the machines that are there
UNFIT_S: Final = 600.0  # how long a task waits for a machine that has left
JOIN_WAIT_S: Final = 60.0  # for the machines of a head that has started
MAX_OUTCOME_BYTES: Final = 64 << 10
LOCAL_STARTS: Final = 3  # Ray gives its own start up after 30 seconds, which a busy machine may need
_LOCAL_STORE_BYTES: Final = 128 << 20  # of Ray's shared memory: a task's document and outcome are all that is passed


def build_on_cluster(
    tasks: Mapping[str, tuple[Task, TaskPart]], *, address: str, on_event: OnEvent
) -> Iterator[tuple[str, Outcome]]:
    """Run each task; yield names and outcomes as they come.

    address: as ray.init takes it, or "local" for a cluster of this machine that ends with the fleet. Raises
    SubmodelError if there is no cluster, or if its head is lost.
    """
    os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))  # by default Ray repeats for ever what lacks memory
    with contextlib.redirect_stdout(sys.stderr), _cluster(address) as ray:  # Ray prints news of its nodes to stdout
        if address != LOCAL:
            _wait_for_machines(ray, {part for _, part in tasks.values()}, on_event)
        yield from _run(ray, tasks)


@contextlib.contextmanager
def _cluster(address: str) -> Iterator[Any]:
    try:
        import ray
    except ImportError as error:
        raise SubmodelError(
            f"`submodel-fleet build` needs the package ray; install it with: {install_advice('build,fleet')}"
        ) from error
    store = {"object_store_memory": _LOCAL_STORE_BYTES} if address == LOCAL else {}
    for tries_left in reversed(range(LOCAL_STARTS if address == LOCAL else 1)):
        try:
            # Ray's workers import from the folder that the driver stands in, which may be a stranger's repository.
            with contextlib.chdir(state_folder()):
                # Ray itself refuses a cluster of another version, and 2.60 starts a local one with a token.
                ray.init(
                    address=address, log_to_driver=False, include_dashboard=False, logging_level="warning", **store
                )
            break
        except Exception as error:  # Ray raises a plain Exception if a cluster does not start
            ray.shutdown()
            if not tries_left:
                raise SubmodelError(
                    f"There is no Ray cluster at {address} ({first_line(error)}); start one. If one runs there, it may "
                    "ask for a token: set RAY_AUTH_MODE=token."
                ) from error
    try:
        if address != LOCAL and os.environ.get("RAY_AUTH_MODE", "").lower() != "disabled":
            _check_token(ray.get_runtime_context().gcs_address)
        yield ray
    finally:
        ray.shutdown()


def _check_token(head: str) -> None:
    """Raise SubmodelError if the head of a cluster answers somebody who has no token."""
    command = [sys.executable, "-P", "-m", "ray.scripts.scripts", "health-check", "--address", head]
    environment = child_environment() | {"RAY_AUTH_MODE": "disabled"}
    try:
        answer = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=ANSWER_S).returncode
    except subprocess.TimeoutExpired as error:
        raise SubmodelError(f"The Ray cluster at {head} did not say in {ANSWER_S} s if it asks for a token.") from error
    if answer == 0:
        raise SubmodelError(
            f"The Ray cluster at {head} asks nobody for a token, so whoever reaches it can run programs on it. Start "
            "it with RAY_AUTH_MODE=token, or set RAY_AUTH_MODE=disabled here if its network is closed."
        )


def _run(ray: Any, tasks: Mapping[str, tuple[Task, TaskPart]]) -> Iterator[tuple[str, Outcome]]:
    machines = _machines(ray)
    remote = ray.remote(max_retries=RETRIES)(build_in_own_process)
    # Ray is handed some more than can run, not all: asking about 100,000 at once takes longer than they do.
    most = 8 + 4 * int(sum(machine.get("CPU", 0) for machine in machines))
    names = iter(list(tasks))
    pending: dict[Any, str] = {}  # Ray's reference → name
    unfit_s: dict[str, float] = {}  # name → since when it fits no machine: the one that it fitted has left
    looked_s = time.monotonic()
    while True:
        while len(pending) < most and (name := next(names, None)) is not None:
            task, part = tasks[name]
            if refusal := _refuse(part, machines):
                yield name, {"reason": refusal}
                continue
            pending[remote.options(**_resources(part), name=name).remote(describe(task))] = name
        if not pending:
            return
        ready, _ = ray.wait(list(pending), num_returns=1, timeout=TICK_S)
        for reference in ready:
            try:
                outcome = _read_outcome(ray.get(reference))
            except ray.exceptions.RayError as error:
                outcome = {"reason": _lost(ray, error)}
            yield pending.pop(reference), outcome
        now_s = time.monotonic()
        if now_s - looked_s < LOOK_EVERY_S:
            continue
        looked_s, there = now_s, _machines(ray)
        for reference, name in list(pending.items()):
            refusal = _refuse(tasks[name][1], there)
            if refusal is None:
                unfit_s.pop(name, None)
            elif now_s - unfit_s.setdefault(name, now_s) > UNFIT_S:
                ray.cancel(reference)
                del pending[reference]
                yield name, {"reason": refusal}


def _read_outcome(answer: Any) -> Outcome:
    """Return the outcome that a machine has sent as JSON; one with a reason if it has sent something else."""
    with contextlib.suppress(TypeError, msgspec.DecodeError):
        outcome = msgspec.json.decode(answer[:MAX_OUTCOME_BYTES], type=Outcome)
        if "reason" in outcome or outcome.keys() >= {"fingerprint", "machine", "seconds"}:
            return outcome
    return {"reason": "Its machine sent no outcome; install one version of submodel on all machines."}


def _machines(ray: Any) -> list[Mapping[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _wait_for_machines(ray: Any, parts: Collection[TaskPart], on_event: OnEvent) -> None:
    """Wait until each task fits a machine: they join a head one after the other. Some may never come."""
    until_s = time.monotonic() + JOIN_WAIT_S
    is_said = False
    while any(_refuse(part, _machines(ray)) for part in parts) and time.monotonic() < until_s:
        if not is_said:
            on_event(
                f"Some builds fit no machine of the Ray cluster; waiting {JOIN_WAIT_S:.0f} s for others to join it."
            )
            is_said = True
        time.sleep(TICK_S)


def _resources(part: TaskPart) -> dict[str, Any]:
    memory = {} if part.memory_gb is None else {"memory": int(part.memory_gb * 1e9)}
    return {"num_cpus": part.cores, "num_gpus": part.gpus, **memory}


def _refuse(part: TaskPart, machines: Sequence[Mapping[str, float]]) -> str | None:
    """Why no machine of the cluster will ever run a task, or None."""
    wanted = {"CPU": part.cores, "GPU": part.gpus, "memory": (part.memory_gb or 0) * 1e9}
    if any(all(machine.get(kind, 0) >= least for kind, least in wanted.items()) for machine in machines):
        return None
    memory = f", {part.memory_gb:g} GB of memory" if part.memory_gb else ""
    gpus = f", {part.gpus:g} GPUs" if part.gpus else ""
    return (
        f"No machine of the Ray cluster has {part.cores} cores{memory}{gpus}; ask for less in [task], or start one and "
        "run it again."
    )


def _lost(ray: Any, error: Exception) -> str:
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "Its machine ran out of memory, and Ray ended the build; raise memory_gb, so that fewer run at a time."
    if isinstance(error, ray.exceptions.WorkerCrashedError):
        return f"Its process ended {RETRIES + 1} times without an answer; it was killed, or native code crashed."
    return f"Ray lost the build ({first_line(error, 300)}); run it again, and it resumes."
