"""Variants x seeds x texts as plain functions: run side by side or on a cluster, kept on disk, taken up again after a kill.

One run is an anecdote: another seed gives another number. So a comparison is run over several seeds, every variant with
the same ones; :mod:`cllm_lib.experiments.intervals` says what follows.
"""

import dataclasses
import functools
import gc
import hashlib
import itertools
import json
import numbers
import platform
import warnings
from pathlib import Path

import numpy as np

from cllm_lib.browser import in_browser, no_threads
from cllm_lib.checks import one_of
from cllm_lib.experiments.fingerprints import fingerprint
from cllm_lib.faces import needed
from cllm_lib.files import PACKAGE, write_atomically
from cllm_lib.model.threads import one_thread
from cllm_lib.progress import progress_bar
from cllm_lib.text.corpora import TEXTS, read_text

SECONDS_TO_ANSWER = 5  # for a scheduler
SECONDS_TO_START = 20  # for a first worker
SECONDS_WITHOUT_BAR = 2


@dataclasses.dataclass(frozen=True)
class _Task:
    """One call of a measure, what people call it, and where its result is kept."""

    measure: object
    arguments: tuple
    label: str
    key: str | None = None
    path: Path | None = None


def run(measure, variants, seeds, texts=None, *, n_jobs=1, backend="joblib", address=None, cache=None, progress=False):
    """Run an experiment: measure every variant with every seed, and on every text if there are any.

    Parameters
    ----------
    measure : callable
        `measure(variant, seed)`, or `measure(variant, seed, text)` where there are texts, returns a number, or whatever of a
        run is to be kept: numbers, strings, None, and lists and dicts of them. With several processes it must stand in a
        module or be a plain function of a notebook.
    variants : iterable
        Names, or anything that can be a key.
    seeds : iterable of int
    texts : iterable of str, optional
        Names for :func:`cllm_lib.text.corpora.load_corpus`, or paths.
    n_jobs : int
        Processes side by side; -1 for all processors, of which a browser gives one. For "joblib"; a cluster knows its own.
    backend : str
        "joblib", processes of this machine, or "dask", a cluster at `address`.
    address : str or distributed.Client, optional
        Of the scheduler, such as "tcp://192.168.0.7:8786".
    cache : str or path, optional
        A folder, made if missing, that holds each result as soon as it is there, and from which results are taken
        instead of measured again.
    progress : bool
        Show a bar, where the run takes more than two seconds.

    Returns
    -------
    dict
        For each variant, or each pair (variant, text), the list of its results in the order of the seeds.

    Raises
    ------
    ValueError
        If there is no variant, seed or text, or one stands there twice; an option makes no sense, or asks for processes in a
        browser; a result cannot be kept; or, with `cache`, a measure or a variant cannot be told from another by what it says.
    RuntimeError
        If a measure raises, or a process runs another version of the library: the message names the task. What is finished
        stays in `cache`.
    ConnectionError
        If no scheduler answers at `address`, there is no worker, or the scheduler goes away.
    ImportError
        If `backend` is "dask" and the package `distributed` is missing.

    Notes
    -----
    **Same numbers everywhere.** Results depend neither on `n_jobs` nor on `backend`, bit for bit on processors of one kind:
    each task computes in one thread of BLAS, whose sums differ in the last digits with the number of threads. Results pass
    through JSON, so that one from the cache equals a new one: tuples come back as lists, NumPy's numbers as Python's.

    **Cache.** A result's file is named by the SHA-256 of what it depends on: name and source of the measure, with the whole
    file it stands in; the source of all of `cllm_lib`, so a changed line anywhere makes every key new; the versions of
    Python and NumPy; the arguments; the bytes of the text. In a notebook, where there is no file, the functions and values
    that the measure names take its place. Other packages, and modules of yours that the measure imports, are not seen:
    after a change there, take another folder. The process that computed a result writes it, whole, at once: a kill loses
    the tasks under way. A file that is damaged, or that something else wrote, is measured again. Several runs may share a
    folder.

    Examples
    --------
    >>> run(lambda variant, seed: variant * seed, variants=[1, 10], seeds=[0, 1, 2])
    {1: [0, 1, 2], 10: [0, 10, 20]}
    """
    variants, seeds = _distinct(variants, "variants"), _distinct(seeds, "seeds")
    texts = None if texts is None else _distinct(texts, "texts")
    _check_options(backend, address, n_jobs)
    keys = variants if texts is None else list(itertools.product(variants, texts))
    tasks = _tasks(measure, keys, seeds, texts is not None, cache)
    results = _results(tasks, backend, address, n_jobs, progress)
    return {key: results[i * len(seeds) : (i + 1) * len(seeds)] for i, key in enumerate(keys)}


def _distinct(items, name):
    items = list(items)
    if not items or len(set(items)) < len(items):
        raise ValueError(f"{name} are {items}: give at least one, each once")
    return items


def _check_options(backend, address, n_jobs):
    one_of(backend, {"joblib": None, "dask": None}, "backend")
    if (backend == "dask") != (address is not None):
        raise ValueError(
            f"backend is {backend!r}, address {address!r}: backend='dask' goes with the address of its scheduler, joblib with none"
        )
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, numbers.Integral) or n_jobs == 0:
        raise ValueError(f"n_jobs is {n_jobs!r}: give how many processes, or -1 for all processors")
    if in_browser() and backend == "dask":
        raise no_threads("a cluster", "leave backend and address out, and the runs follow one another")
    if in_browser() and n_jobs not in (-1, 1):
        raise no_threads(f"n_jobs={n_jobs}", "leave it out, and the runs follow one another")


def _tasks(measure, keys, seeds, with_text, cache):
    """All tasks, key by key and seed by seed; with `cache`, each has its own file."""
    tasks = []
    for key, seed in itertools.product(keys, seeds):
        arguments = (key[0], seed, key[1]) if with_text else (key, seed)
        label = ", ".join(f"{name} {value!r}" for name, value in zip(("variant", "seed", "text"), arguments, strict=False))
        tasks.append(_Task(measure, arguments, label))
    return tasks if cache is None else _with_files(tasks, Path(cache).absolute())


def _with_files(tasks, folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ValueError(f"cache is {str(folder)!r}, a file: give a folder") from None
    same_for_all = json.dumps([fingerprint(tasks[0].measure), _versions()])
    text_bytes = functools.cache(_text_bytes)
    found = []
    for task in tasks:
        key = hashlib.sha256(json.dumps([same_for_all, fingerprint(task.arguments)]).encode())
        key.update(b"".join(map(text_bytes, task.arguments[2:])))
        found.append(dataclasses.replace(task, key=key.hexdigest(), path=folder / f"{key.hexdigest()}.json"))
    return found


def _results(tasks, backend, address, n_jobs, progress):
    """The result of each task, in their order, whichever is there first."""
    found = {i: kept[0] for i, task in enumerate(tasks) if (kept := _kept(task))}
    left = [(i, task) for i, task in enumerate(tasks) if i not in found]
    if not left or in_browser() or (backend == "joblib" and n_jobs == 1):
        new = ((i, _measured(task)) for i, task in left)
    elif backend == "joblib":
        new = _on_this_machine(left, n_jobs)
    else:
        new = _on_cluster(left, address)
    bar = progress_bar(new, initial=len(found), total=len(tasks), unit="run", visible=progress, delay=SECONDS_WITHOUT_BAR)
    found.update(bar)
    return [found[i] for i in range(len(tasks))]


def _on_this_machine(tasks, n_jobs):
    joblib = needed("joblib", "an experiment in several processes")
    together = joblib.Parallel(n_jobs=n_jobs, backend="loky", return_as="generator_unordered")
    return together(joblib.delayed(_measured_by_worker)(i, task, _versions()) for i, task in tasks)


def _on_cluster(tasks, address):
    """Number and result of each task, as they come in. What a dying worker leaves undone, the scheduler gives to another."""
    try:
        from distributed import CancelledError, Client, KilledWorker, as_completed
    except ImportError:
        raise ImportError("backend='dask' needs the package distributed: pip install distributed, or take backend='joblib'") from None
    client = address if isinstance(address, Client) else _connected(Client, address)
    futures = {}
    try:
        _wait_for_a_worker(client)
        futures = {client.submit(_measured_by_worker, i, task, _versions(), pure=False): task for i, task in tasks}
        for future in as_completed(futures):
            try:
                i, result = future.result()
            except (CancelledError, OSError):  # whatever a measure raises comes as RuntimeError
                raise ConnectionError("the scheduler went away: what is finished stays in the cache; start the run again") from None
            except KilledWorker as error:
                raise RuntimeError(f"{futures[future].label}: worker after worker died of it ({error}); is memory short?") from error
            task = futures[future]
            if task.path is not None and not task.path.exists():  # the worker's disk is not ours
                _keep(task, result)
            yield i, result
    finally:
        client.cancel(list(futures))
        if client is not address:
            client.close()


def _connected(client, address):
    """A client, or an error within seconds.

    A plain connection is tried first: a client that fails leaves a loop behind, which, collected at a bad moment, can stop the
    start of the next one.
    """
    import socket

    from distributed.comm import get_address_host_port

    try:
        with socket.create_connection(get_address_host_port(address), SECONDS_TO_ANSWER) as probe:
            if not address.startswith("tls://") and not probe.recv(1):  # a scheduler speaks first
                raise OSError("something else listens there")
        return client(address, timeout=SECONDS_TO_ANSWER)
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    gc.collect()  # such a client ends here, in this thread
    raise ConnectionError(f"no scheduler answers at {address!r} ({reason}): start one by `dask scheduler`, or give the address it printed")


def _wait_for_a_worker(client):
    try:
        client.wait_for_workers(1, timeout=SECONDS_TO_START)
    except TimeoutError:
        raise ConnectionError("the scheduler answers, but has no worker: start some by `dask worker ADDRESS`") from None


def _measured_by_worker(i, task, versions):
    """In a process that is there for such tasks: its BLAS stays at one thread, whichever tasks come and go beside this one."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1, user_api="blas")
    if _versions() != versions:
        raise RuntimeError(f"{task.label}: this process has another cllm_lib, Python or NumPy than the one that asks; start both anew")
    return i, _measured(task)


def _measured(task):
    with one_thread():
        try:
            result = json.loads(json.dumps(_plain(task.measure(*task.arguments))))
        except Exception as error:
            raise RuntimeError(f"{task.label}: {type(error).__name__}: {error}") from error
    _keep(task, result)
    return result


def _plain(value):
    """`value` as JSON can hold it, or an error."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(item) for key, item in value.items()}
    what = "a dict whose keys are not all strings" if isinstance(value, dict) else f"of type {type(value).__name__}"
    raise TypeError(f"the measure returned something {what}: return numbers, strings, None, lists and dicts of them (array.tolist())")


def _keep(task, result):
    if task.path is None or not task.path.parent.is_dir():
        return
    try:
        write_atomically(task.path, _file_bytes(task, result))
    except OSError as error:
        warnings.warn(f"the result of {task.label} could not be kept: {error}", stacklevel=2)


def _kept(task):
    """A list with the result in the task's file, or an empty one: if a single byte is not as it was written, there is none."""
    try:
        if task.path is None or not task.path.is_file():
            return []
        data = task.path.read_bytes()
        result = json.loads(data)["result"]
        return [result] if _file_bytes(task, result) == data else []
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return []


def _file_bytes(task, result):
    content = {"key": task.key, "task": task.label, "result": result}
    return json.dumps(content | {"sha256": hashlib.sha256(json.dumps(content).encode()).hexdigest()}).encode() + b"\n"


@functools.cache
def _versions():
    """What numbers depend on besides measure and arguments: source of the library, Python, NumPy."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest(), platform.python_version(), np.__version__


def _text_bytes(text):
    if isinstance(text, str) and text in TEXTS:
        return read_text(text).encode("utf-8")
    return Path(text).read_bytes() if isinstance(text, str | Path) and Path(text).is_file() else b""
