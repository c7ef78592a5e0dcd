"""How many threads may one call use?

Never more than this process was given (CPU affinity, the container's CPU quota, OMP_NUM_THREADS, or what
`set_num_threads` was told instead of the first two), nor more than the call's `n_threads`. Small work gets
one thread, and so does a process made by fork(). OpenMP runtimes see neither quotas nor forks, hence this.
"""

import math
import operator
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

# The two barriers of a step cost about 4 us and a core does about 100 GFLOP/s: with 4 MFLOP (40 us) for every
# thread, the barriers stay near 10 % of a step.
FLOPS_PER_THREAD = 4e6

_QUOTA_SECONDS = 1.0  # reading the quota costs about 0.1 ms; an orchestrator may change it at any time
_OMP_NUMBER = re.compile(r"\s*\+?([0-9]{1,9})\s*")

# Lines of /proc/self/cgroup, see cgroups(7): id, controllers (none in version 2), path
_GROUP = re.compile(r"^[0-9]+:([^:\n]*):(/.*)$", re.MULTILINE)
# Lines of /proc/self/mountinfo, see proc(5): ids, device, root, mount point, ..., -, type, source, options
_MOUNT = re.compile(r"^\S+ \S+ \S+ (\S+) (\S+) .*- (cgroup2?) \S+ (\S+)$", re.MULTILINE)
_USUAL_MOUNTS = {"cgroup2": ("", "unified"), "cgroup": ("cpu", "cpu,cpuacct")}

_process_cap: int | None = None  # what set_num_threads was given
_quota_until = -math.inf  # when _quota_threads expires, in seconds of time.monotonic
_quota_threads: int | None = None
_forked = False
_fork_warned = False


def choose(n_threads: int | None, flops: float, openmp_max: int | None = None) -> int:
    """Return the number of threads for one call.

    Parameters
    ----------
    n_threads : int or None
        What the caller asked for: at most so many, whatever the work. None sizes the team by the work.
    flops : float
        Floating-point operations of one step.
    openmp_max : int or None, default None
        See `limit`.

    Returns
    -------
    int
        At least 1, at most `limit(openmp_max)`. In a process made by fork() 1, with one RuntimeWarning a
        process, the first time it would have been more.

    Raises
    ------
    TypeError, ValueError
        If `n_threads` is neither None nor an integer >= 1.
    """
    if n_threads is None:
        if flops < 2 * FLOPS_PER_THREAD:  # first of all: a batch of one is served in 2 us
            return 1
        wanted = flops / FLOPS_PER_THREAD
    else:
        wanted = _positive_int("n_threads", n_threads)
    threads = int(min(wanted, limit(openmp_max)))
    if threads > 1 and _forked:
        _warn_forked()
        return 1
    return threads


def team_sizes(n_threads: int | None, flops: float, openmp_max: int | None = None) -> tuple[int, int | None]:
    """Return the number of threads for a call of many steps, and another to try, or None.

    What the caller asked for stands. Else `choose` says where to begin; the other size is one thread, or, where
    it begins with one, all that there are: a rule by flops does not see that the step of a wide layer on one
    sample is bound by memory, where two cores help, nor what other processes do.
    """
    first = choose(n_threads, flops, openmp_max)
    if n_threads is not None or _forked:
        return first, None
    return first, 1 if first > 1 else limit(openmp_max)


def limit(openmp_max: int | None = None) -> int:
    """Return the most threads a call may use now, at least 1.

    Parameters
    ----------
    openmp_max : int or None, default None
        `omp_get_max_threads()` of the calling thread: threadpoolctl's limits show there. A value that is not
        below the affinity is only the runtime's default, and says nothing.

    Notes
    -----
    The smallest of affinity, CPU quota (rounded up), OMP_NUM_THREADS and `openmp_max`. A number given to
    `set_num_threads` replaces affinity and quota, be it smaller or larger; the other two still hold.
    """
    cpus, cap = _affinity(), _process_cap  # read once: another thread may set it meanwhile
    threads = min(cpus, _quota(default=cpus)) if cap is None else cap
    threads = min(threads, _omp_num_threads(default=threads))
    if openmp_max is not None and openmp_max < cpus:
        threads = min(threads, openmp_max)
    return threads


def set_num_threads(n: int | None) -> None:
    """Set how many threads fastbp may use in this process.

    Parameters
    ----------
    n : int or None
        At least 1. This is your own statement about the process: it replaces the CPU affinity and the
        container's CPU quota, so it may be larger than they are. OMP_NUM_THREADS and threadpoolctl still
        hold. None goes back to automatic.

    Raises
    ------
    TypeError, ValueError
        If `n` is neither None nor an integer >= 1.
    """
    global _process_cap
    _process_cap = None if n is None else _positive_int("n", n)


def get_num_threads() -> int:
    """Return how many threads a call with ``n_threads=None`` may use at most.

    Returns
    -------
    int
        The smallest of CPU affinity, the container's CPU quota and OMP_NUM_THREADS; `set_num_threads`
        replaces the first two. 1 in a process made by fork().
    """
    return 1 if _forked else limit()


def cgroup_quota(proc: str = "/proc/self", root: str = "/sys/fs/cgroup") -> float | None:
    """Return the CPU quota of the process's Linux control groups, or None if there is none.

    Parameters
    ----------
    proc : str, default "/proc/self"
        Folder with the process's `cgroup` and `mountinfo`.
    root : str, default "/sys/fs/cgroup"
        Where hierarchies are looked for that `mountinfo` does not list.

    Returns
    -------
    float or None
        Number of CPUs, possibly fractional: the smallest quota from the process's own group up to the top of
        its mount, over version 2 and version 1 hierarchies alike.
    """
    mounts = list(_cgroup_mounts(proc))
    quotas = []
    for filesystem, path in _cpu_groups(proc):
        listed = [mount[1:] for mount in mounts if mount[0] == filesystem]
        usual = [(f"{root}/{name}", "/") for name in _USUAL_MOUNTS[filesystem]]
        for mount_point, mount_root in listed or usual:
            for folder in _folders_up_to(mount_point, mount_root, path):
                quotas.append(_read_quota(filesystem, folder))
    return min((quota for quota in quotas if quota is not None), default=None)


def _cpu_groups(proc: str) -> Iterator[tuple[str, str]]:
    """Yield (file system, path) of the process's group in each hierarchy that can hold a CPU quota."""
    for controllers, path in _GROUP.findall(_text(f"{proc}/cgroup")):
        if not controllers:
            yield "cgroup2", path
        elif "cpu" in controllers.split(","):
            yield "cgroup", path


def _cgroup_mounts(proc: str) -> Iterator[tuple[str, str, str]]:
    """Yield (file system, mount point, group mounted there) of each such hierarchy."""
    for mount_root, mount_point, filesystem, options in _MOUNT.findall(_text(f"{proc}/mountinfo")):
        if filesystem == "cgroup2" or "cpu" in options.split(","):
            yield filesystem, _unescape(mount_point), _unescape(mount_root)


def _unescape(path: str) -> str:
    """Undo mountinfo's octal escapes; systemd's names of groups are full of backslashes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _folders_up_to(mount_point: str, mount_root: str, path: str) -> list[str]:
    """Return the group's folder and those above it, up to the mount point."""
    prefix = mount_root.rstrip("/") + "/"
    # A path outside of what is mounted comes from another namespace: only the top is known to be above us.
    inside = f"{path}/".startswith(prefix) and not path.startswith("/..")
    names = [name for name in path[len(prefix) :].split("/") if name] if inside else []
    return ["/".join([mount_point, *names[:depth]]) for depth in range(len(names), -1, -1)]


def _read_quota(filesystem: str, folder: str) -> float | None:
    if filesystem == "cgroup2":
        numbers = _text(f"{folder}/cpu.max").split()
    else:
        numbers = [_text(f"{folder}/cpu.cfs_quota_us"), _text(f"{folder}/cpu.cfs_period_us")]
    try:
        quota, period = map(int, numbers)
    except ValueError:  # no such file, or "max"
        return None
    return quota / period if quota > 0 and period > 0 else None  # version 1 writes -1 for no quota


def _text(path: str) -> str:
    """Return what the file holds; nothing if it is not there, as where the system has no control groups."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _quota(default: int) -> int:
    global _quota_threads, _quota_until
    now = time.monotonic()
    if now >= _quota_until:
        quota = cgroup_quota()
        _quota_threads = None if quota is None else math.ceil(quota)
        _quota_until = now + _QUOTA_SECONDS  # last, so that no other thread takes the old number for a new one
    threads = _quota_threads  # read once, likewise
    return default if threads is None else threads


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _omp_num_threads(default: int) -> int:
    """Return the first number of OMP_NUM_THREADS ("4", "4,2"); as in libgomp, one bad item voids the list."""
    value = os.environ.get("OMP_NUM_THREADS")
    if value is None:
        return default
    items = [_OMP_NUMBER.fullmatch(item) for item in value.split(",")]
    numbers = [int(item[1]) if item else 0 for item in items]
    return numbers[0] if min(numbers) >= 1 else default


def _positive_int(name: str, value: Any) -> int:
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < 1:
        error = TypeError if number is None else ValueError
        raise error(f"{name} must be an integer >= 1 or None (automatic), got {value!r}")
    return number


def _warn_forked() -> None:
    global _fork_warned
    if not _fork_warned:
        _fork_warned = True
        warnings.warn(
            "fastbp runs serially in a process made by fork(); "
            "use the spawn or forkserver start method for threads",
            RuntimeWarning,
            stacklevel=4,  # the caller of fit or forward
        )


def _after_fork_in_child() -> None:
    """Keep this process out of OpenMP: libgomp takes the parent's team for alive and waits for it forever.

    GCC PR 60035; users see it as LightGBM #4751 or faiss #5206. The children of multiprocessing's fork server
    are spared: it has imported modules (since Python 3.13.8 and 3.14.1 the main script too), trained nothing.
    """
    global _forked, _fork_warned
    _fork_warned = False
    caller = sys._getframe().f_back
    if caller is None or caller.f_globals.get("__name__") != "multiprocessing.forkserver":
        _forked = True


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
