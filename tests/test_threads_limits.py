"""How many threads a call may use: the machine's limits, the user's, and the guard after fork()."""

import importlib.util
import itertools
import math
import os
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest

from fastbp import _threads

LARGE = 1000 * _threads.FLOPS_PER_THREAD  # enough work for any team
ZEROS = [(value, ValueError) for value in (0, -1, np.int64(0))]
NOT_INTEGERS = [(value, TypeError) for value in (True, False, np.True_, 2.0, np.float64(2), "2", [2])]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
read_quota = _threads.cgroup_quota  # the real one: `machine` replaces it


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Eight CPUs, no quota, no OMP_NUM_THREADS, nothing set by the user. Calling it changes the machine."""

    def change(cpus=8, quota=None):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cpus)), raising=False)
        monkeypatch.setattr(_threads, "cgroup_quota", lambda: quota)
        monkeypatch.setattr(_threads, "_quota_until", -math.inf)

    change()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name, value in {"_process_cap": None, "_quota_threads": None, "_forked": False}.items():
        monkeypatch.setattr(_threads, name, value)
    return change


# --- Control groups, in a fake /proc/self and /sys/fs/cgroup


class V2:
    line, mount, no_quota = "0::{}", "cgroup2 cgroup2 rw,nsdelegate", "max"

    def write(folder, quota, period=100000):
        write(folder / "cpu.max", f"{quota} {period}\n")


class V1:
    line, mount, no_quota = "4:cpu,cpuacct:{}", "cgroup cgroup rw,cpu,cpuacct", -1

    def write(folder, quota, period=100000):
        write(folder / "cpu.cfs_quota_us", f"{quota}\n")
        write(folder / "cpu.cfs_period_us", f"{period}\n")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def mounted(tmp_path, version, path, mount_root="/"):
    """Put the process into group `path` of a hierarchy, and return the folder where that is mounted."""
    point = tmp_path / "a mount"
    root, escaped = (str(name).replace("\\", r"\134").replace(" ", r"\040") for name in (mount_root, point))
    write(tmp_path / "cgroup", f"9:memory:/elsewhere\n{version.line.format(path)}\n")
    other = "22 1 254:0 / / rw - ext4 /dev/vda rw\n"
    listed = f"31 23 0:28 {root} {escaped} rw,nosuid shared:9 - {version.mount}\n"
    write(tmp_path / "mountinfo", other + listed + other)
    return point


def quota_in(tmp_path):
    return read_quota(proc=str(tmp_path), root=str(tmp_path / "sys"))


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize(
    "quota, period, cpus",
    [(150000, 100000, 1.5), (20000, 100000, 0.2), (100000, 50000, 2.0)]
    + [("max", 1, None), (-1, 1, None), (0, 1, None), (1, 0, None)]
    + [("many", "few", None), ("1.5", 1, None), ("", "", None), ("1 2", 3, None)],
)
def test_quota_of_the_own_group(tmp_path, version, quota, period, cpus):
    version.write(mounted(tmp_path, version, "/a/b") / "a" / "b", quota, period)
    assert quota_in(tmp_path) == cpus


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize("smallest", ["", "a", "a/b", "a/b/c"])
def test_the_smallest_quota_up_to_the_top_counts(tmp_path, version, smallest):
    top = mounted(tmp_path, version, "/a/b/c")
    for folder, quota in {"": 400000, "a": 500000, "a/b": version.no_quota, "a/b/c": 400000}.items():
        version.write(top / folder, quota)
    version.write(top / smallest, 300000)
    version.write(top / "a/sibling", 100000)
    assert quota_in(tmp_path) == 3


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize(
    "mount_root, path, folder",
    [("/docker/x", "/docker/x", ""), (r"/docker\x2dx", r"/docker\x2dx/a", "a")]
    # written in another namespace
    + [("/docker/x", "/other", ""), ("/docker/x", "/docker/xzy", ""), ("/", "/../y", "")],
)
def test_a_container_sees_a_part_of_the_groups(tmp_path, version, mount_root, path, folder):
    top = mounted(tmp_path, version, path, mount_root)
    version.write(top / folder, 200000)
    for not_ours in (top / "y", top / "zy", top.parent / "y"):
        version.write(not_ours, 100000)
    assert quota_in(tmp_path) == 2


@pytest.mark.parametrize("folder_v1, folder_v2", [("cpu", "unified"), ("cpu,cpuacct", "")])
@pytest.mark.parametrize("v1, v2", [(100000, 200000), (200000, 100000)])
def test_without_mountinfo_both_versions_are_found(tmp_path, folder_v1, folder_v2, v1, v2):
    write(tmp_path / "cgroup", "4:cpuset:/\n3:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/b\n")
    V1.write(tmp_path / "sys" / folder_v1 / "a", v1)
    V2.write(tmp_path / "sys" / folder_v2 / "b", v2)
    assert quota_in(tmp_path) == 1


def test_version_1_needs_the_cpu_controller_and_both_files(tmp_path):
    V1.write(tmp_path / "sys" / "cpu" / "a", 100000)
    write(tmp_path / "cgroup", "4:cpuset,cpuacct:/a\n")
    assert quota_in(tmp_path) is None
    write(tmp_path / "cgroup", "4:cpu:/a\n")
    assert quota_in(tmp_path) == 1
    (tmp_path / "sys/cpu/a/cpu.cfs_period_us").unlink()
    assert quota_in(tmp_path) is None


@pytest.mark.parametrize("text", ["", "\n", "nonsense", "::", "0::\n", "4:cpu\n", "\xff::\n", " - cgroup2\n"])
def test_garbage_in_proc_or_nothing_there(tmp_path, text):
    assert quota_in(tmp_path) is None
    write(tmp_path / "mountinfo", text)
    for groups in (text, "0::/a\n"):
        write(tmp_path / "cgroup", groups)
        assert quota_in(tmp_path) is None


# --- The limit, and what one call gets


@pytest.mark.parametrize("count, expected", [(6, 6), (None, 1)])
def test_without_affinity_the_machine_is_counted(monkeypatch, count, expected):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert _threads.limit() == expected


def test_the_quota_is_read_again_when_a_second_has_passed(monkeypatch):
    quotas = itertools.count(1)
    monkeypatch.setattr(_threads, "cgroup_quota", lambda: next(quotas))
    seen = []
    for now in [100.0, 100.0, 100.9, 101.1, 101.2]:
        monkeypatch.setattr(_threads.time, "monotonic", lambda now=now: now)
        seen.append(_threads.limit())
    assert seen == [1, 1, 1, 2, 2]


ACCEPTED = ["3", " 3\t", "+3", "003", "3,2", "3 , 9"]
REFUSED = ["", " ", "0", "-2", "3.0", "0x3", "3 2", "1_0", "two", "3,", ",3", "3,0", "3,two", "9" * 5000]


@pytest.mark.parametrize("value, expected", [(v, 3) for v in ACCEPTED] + [(v, 8) for v in REFUSED])
def test_omp_num_threads_is_read_as_libgomp_reads_it(monkeypatch, value, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert _threads.limit() == expected


@pytest.mark.parametrize(
    "cpus, quota, omp, openmp_max, expected",
    [(2, 5, 5, 5, 2), (5, 2, 5, 5, 2), (5, 5, 2, 5, 2), (5, 5, 5, 2, 2)]
    + [(5, 6, 7, 8, 5), (5, None, 9, None, 5)]
    + [(5, quota, 5, 5, rounded_up) for quota, rounded_up in [(0.2, 1), (1.0, 1), (1.5, 2), (2.01, 3)]],
)
def test_the_smallest_limit_counts(machine, monkeypatch, cpus, quota, omp, openmp_max, expected):
    machine(cpus, quota)
    monkeypatch.setenv("OMP_NUM_THREADS", str(omp))
    assert _threads.limit(openmp_max) == expected
    assert _threads.choose(None, LARGE, openmp_max) == _threads.choose(100, 0, openmp_max) == expected


@pytest.mark.parametrize("n", [1, 3, 8, 20, np.int32(5)])
def test_set_num_threads_replaces_affinity_and_quota(machine, n):
    machine(cpus=4, quota=2.0)
    _threads.set_num_threads(n)
    assert _threads.get_num_threads() == _threads.limit() == _threads.choose(n + 1, 0) == n
    assert type(_threads.get_num_threads()) is int
    _threads.set_num_threads(None)
    assert _threads.get_num_threads() == 2


def test_set_num_threads_replaces_the_default_of_the_openmp_runtime_but_not_its_limits(machine, monkeypatch):
    machine(cpus=4)
    _threads.set_num_threads(6)
    assert _threads.limit(openmp_max=4) == 6  # every CPU: nobody limited it
    assert _threads.limit(openmp_max=3) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert _threads.limit() == 5


@pytest.mark.parametrize(
    "n_threads, share, expected",
    [(None, 0, 1), (None, 1.99, 1), (None, 2, 2), (None, 7.99, 7), (None, 9, 8), (None, math.inf, 8)]
    + [(n, share, min(n, 8)) for n in (1, 8, 9, np.int64(3), 10**400) for share in (0, 1000)],
)
def test_automatic_teams_follow_the_work_and_all_obey_the_limit(n_threads, share, expected):
    threads = _threads.choose(n_threads, share * _threads.FLOPS_PER_THREAD)
    assert (threads, type(threads)) == (expected, int)


def test_small_work_does_not_look_at_the_limits(monkeypatch):
    monkeypatch.delattr(_threads, "limit")
    assert _threads.choose(None, 1000.0) == 1


@pytest.mark.parametrize("value, error", ZEROS + NOT_INTEGERS)
def test_what_is_not_a_count_is_refused(value, error):
    for name, call in {"n": _threads.set_num_threads, "n_threads": lambda n: _threads.choose(n, 0)}.items():
        with pytest.raises(error) as caught:
            call(value)
        assert str(caught.value) == f"{name} must be an integer >= 1 or None (automatic), got {value!r}"
    assert _threads.get_num_threads() == 8


def status_in_fork(function):
    """Call `function` in a forked child; return its exit status: what `function` returned, or 99."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python >= 3.12, when another thread runs
        pid = os.fork()
    if pid == 0:
        try:
            os._exit(function())
        except BaseException:
            traceback.print_exc()
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def count_warnings():
    """Return how many of four calls warned, all of them answered with one thread."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n_threads in (4, None, 4, 1):
            assert _threads.choose(n_threads, LARGE) == 1
    assert all(w.category is RuntimeWarning and "spawn or forkserver" in str(w.message) for w in caught)
    return len(caught)


@needs_fork
@pytest.mark.parametrize("cpus, cap, expected", [(8, None, 1), (1, 20, 1), (1, None, 0)])
def test_a_forked_child_and_its_own_are_serial_and_warn_once_each(machine, cpus, cap, expected):
    machine(cpus)
    _threads.set_num_threads(cap)
    assert status_in_fork(lambda: 10 * count_warnings() + status_in_fork(count_warnings)) == 11 * expected
    assert status_in_fork(_threads.get_num_threads) == 1
    assert _threads.choose(20, 0) == _threads.get_num_threads() == (cap or cpus)


PRELOADED = """
import os, sys
from fastbp import _threads
PID = os.getpid()
def work():
    _threads.set_num_threads(4)
    sys.exit(99 if os.getpid() == PID else _threads.choose(4, 0))
"""
MAIN = """
import multiprocessing, preloaded
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["preloaded"])
process = context.Process(target=preloaded.work)
process.start()
process.join()
assert process.exitcode == 4, process.exitcode
"""


@needs_fork
def test_children_of_a_fork_server_that_has_loaded_fastbp_keep_their_threads(tmp_path):
    write(tmp_path / "preloaded.py", PRELOADED)
    path = os.pathsep.join([str(tmp_path), str(Path(_threads.__file__).parents[1])])
    environment = os.environ | {"PYTHONPATH": path}  # the fixture has removed OMP_NUM_THREADS
    subprocess.run([sys.executable, "-c", MAIN], env=environment, timeout=60, check=True)


def test_the_module_loads_where_there_is_no_fork(monkeypatch):
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    spec = importlib.util.spec_from_file_location("threads_without_fork", _threads.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.limit() >= 1
