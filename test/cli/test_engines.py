"""Work on files spread over workers: each file once, also where workers are lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from depth_anything_ros.cli.support.engine import ATTEMPTS, ENGINES
from depth_anything_ros.errors import DepthAnythingError, InputError


def set_up(folder: Path) -> Callable[[int], int]:
    """A worker that leaves a file for every number it does, and one for its own start."""
    (folder / f"worker-{os.getpid()}").touch()
    return partial(square, folder)


def square(folder: Path, number: int) -> int:
    begun = folder / f"begun-{number}"
    first = not begun.exists()
    begun.touch()
    if number == 3 and first:
        os._exit(1)  # as the kernel's memory killer does it
    if number == 13:
        os._exit(1)
    if number == 5:
        raise InputError("5 cannot be read")
    if number == 6:
        raise KeyError("six")
    with (folder / f"done-{number}").open("a") as file:
        file.write("x")
    return number * number


@pytest.mark.parametrize("workers", [0, 2])
def test_every_file_has_an_outcome(workers: int, tmp_path: Path) -> None:
    items = [1, 2, 5, 6, 7, 8]
    outcomes = {
        each.item: each
        for each in ENGINES.get("local").run(partial(set_up, tmp_path), items, workers)
    }
    assert sorted(outcomes) == items
    assert {each.item: each.result for each in outcomes.values() if not each.error} == {
        1: 1, 2: 4, 7: 49, 8: 64,
    }  # fmt: skip
    assert outcomes[5].error == "5 cannot be read"
    assert outcomes[6].error == "KeyError: 'six'"
    assert 1 <= len(list(tmp_path.glob("worker-*"))) <= max(workers, 1)  # each set up once


def test_a_lost_worker_costs_no_file(tmp_path: Path) -> None:
    items = [1, 2, 3, 4, 7, 13]
    outcomes = {
        each.item: each for each in ENGINES.get("local").run(partial(set_up, tmp_path), items, 2)
    }
    assert sorted(outcomes) == items
    assert {each.item for each in outcomes.values() if not each.error} == {1, 2, 3, 4, 7}
    assert outcomes[3].result == 9
    assert outcomes[3].attempts == 2
    assert outcomes[13].attempts == ATTEMPTS
    assert "3 workers ended while they worked on it" in outcomes[13].error


def broken_set_up() -> Callable[[int], int]:
    raise InputError("the network is not there")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_cannot_start_is_an_error(workers: int) -> None:
    with pytest.raises(DepthAnythingError, match="the network is not there"):
        list(ENGINES.get("local").run(broken_set_up, [1, 2], workers))


def slow_square(folder: Path, number: int) -> int:
    begun = time.time()
    time.sleep(0.3)
    (folder / f"done-{number}-{begun}").touch()
    return number * number


def slow_set_up(folder: Path) -> Callable[[int], int]:
    return partial(slow_square, folder)


def test_a_lost_machine_of_a_cluster_costs_no_file(tmp_path: Path) -> None:
    """Two nodes of Ray's own cluster; one is killed while both work."""
    ray = pytest.importorskip("ray", reason="ray is not installed (extra 'cluster')")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        other = cluster.add_node(num_cpus=1)
        ray.init(
            address=cluster.address,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}},
            logging_level="ERROR",
        )
        cluster.wait_for_nodes()
        outcomes = []
        for outcome in ENGINES.get("ray").run(partial(slow_set_up, tmp_path), range(24), 2):
            outcomes.append(outcome)
            if len(outcomes) == 6:
                cluster.remove_node(other, allow_graceful=False)
        assert sorted(each.item for each in outcomes) == list(range(24))
        assert {each.item: each.result for each in outcomes} == {n: n * n for n in range(24)}
        assert max(each.attempts for each in outcomes) == 2
        assert sum(each.attempts == 2 for each in outcomes) <= 2
    finally:
        ray.shutdown()
        cluster.shutdown()
