import functools
import importlib.util
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import numpy as np
import psutil
import pytest
from patience import PATIENCE

from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.experiments import runs as experiments
from cllm_lib.experiments.runs import run

ROOT = Path(__file__).parents[2]


def seed_times(variant, seed):
    return variant * seed


def train(variant, seed, text="sayings"):
    """A few steps, all digits: of float64 sums that differ with the number of threads."""
    corpus = load_corpus(text)
    model = CLLM(CLLMConfig(len(corpus.vocabulary), d_model=variant, n_layers=1, n_heads=2, d_ff=2 * variant, seq_len=16), seed=seed)
    Trainer(model, corpus, batch_size=16, seed=seed).fit(steps=4)
    return [float(values.sum()) for values in model.parameters.values()]


def train_on(log, after, killed, variant, seed):
    """As :func:`train`, leaving a line when it begins; from line `after` on it ends only once the file `killed` is there."""
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {variant} {seed}\n")
    if log.read_text(encoding="utf-8").count("\n") >= after:
        wait_until(killed.exists)
    return train(variant, seed)


CALLS = []


def counted(*arguments):
    CALLS.append(arguments)
    return [*arguments, math.nan, 0.1 + 0.2]


@pytest.fixture
def calls():
    CALLS.clear()
    return CALLS


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_runs_come_back_by_variant_in_the_order_of_the_seeds(n_jobs):
    assert run(seed_times, variants=(1, 10), seeds=range(3), n_jobs=n_jobs) == {1: [0, 1, 2], 10: [0, 10, 20]}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_with_texts_runs_come_back_by_variant_and_text(n_jobs):
    found = run(counted, ("a", "b"), (3, 1), ("sayings", "prose"), n_jobs=n_jobs)
    assert list(found) == [("a", "sayings"), ("a", "prose"), ("b", "sayings"), ("b", "prose")]
    assert [row[:3] for row in found["b", "sayings"]] == [["b", 3, "sayings"], ["b", 1, "sayings"]]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [(([], [0]), "variants"), (([1, 1], [0]), "variants"), (([1], []), "seeds"), (([1], [2, 2]), "seeds"), (([1], [2], []), "texts")],
)
def test_runs_need_distinct_variants_seeds_and_texts(arguments, name):
    with pytest.raises(ValueError, match=f"{name} are .* each once"):
        run(seed_times, *arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "spark"}, "unknown backend 'spark'"),
        ({"backend": "dask"}, "address of its scheduler"),
        ({"address": "tcp://localhost:1"}, "joblib with none"),
        ({"n_jobs": 0}, "n_jobs is 0"),
        ({"n_jobs": 1.5}, "n_jobs is 1.5"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        run(seed_times, [1], [0], **options)


@pytest.mark.parametrize("cached", [False, True])
def test_results_are_plain_whether_new_or_kept(cached, tmp_path):
    def measure(variant, seed):
        return {"a": np.float64(0.1) * 3, "b": (np.int64(7), True, None), "c": [np.float32(0.1), -math.inf]}

    cache = tmp_path if cached else None
    once, again = (run(measure, ["x"], [0], cache=cache) for _ in range(2))
    assert once == again == {"x": [{"a": 0.1 * 3, "b": [7, True, None], "c": [float(np.float32(0.1)), -math.inf]}]}
    assert [type(value) for value in once["x"][0]["b"]] == [int, bool, type(None)]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (np.zeros(2), "of type ndarray"),
        ({1: 2}, "keys are not all strings"),
        (1j, "of type complex"),
        ([{"a": object()}], "of type object"),
    ],
)
def test_a_result_that_cannot_be_kept_names_its_task(result, message):
    with pytest.raises(RuntimeError, match=f"variant 'x', seed 5: TypeError: .*{message}"):
        run(lambda variant, seed: result, ["x"], [5])


def fail_at_two(variant, seed, text):
    if seed == 2:
        raise KeyError("the cause")
    return counted(variant, seed, text)


@pytest.mark.parametrize("n_jobs", [1, -1])
def test_in_a_browser_runs_follow_one_another(n_jobs, monkeypatch):
    monkeypatch.setattr(sys, "platform", "emscripten")
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)  # is not there
    assert run(seed_times, variants=(1, 10), seeds=range(3), n_jobs=n_jobs) == {1: [0, 1, 2], 10: [0, 10, 20]}


@pytest.mark.parametrize(
    ("options", "said"), [({"n_jobs": 2}, "n_jobs=2: leave it out"), ({"backend": "dask", "address": "tcp://x:1"}, "a cluster: leave")]
)
def test_in_a_browser_who_asks_for_processes_is_told(options, said, monkeypatch):
    monkeypatch.setattr(sys, "platform", "emscripten")
    with pytest.raises(ValueError, match=said):
        run(seed_times, [1], [0], **options)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_exception_names_its_task_and_what_is_finished_stays(n_jobs, tmp_path, calls):
    with pytest.raises(RuntimeError, match="variant 'x', seed 2, text 'prose': KeyError: 'the cause'"):
        run(fail_at_two, ["x"], [0, 1, 2], ["prose"], cache=tmp_path, n_jobs=n_jobs)
    run(fail_at_two, ["x"], [0], ["prose"], cache=tmp_path)
    assert len(calls) == (2 if n_jobs == 1 else 0)  # the other processes count for themselves


def test_a_result_in_the_cache_is_not_measured_again(tmp_path, calls):
    folder = tmp_path / "a" / "b"
    once = run(counted, ["x", ("y", 2)], [0, 1], ["sayings"], cache=folder)
    assert len(calls) == 4
    again = run(counted, [("y", 2), "x"], [1, 0, 2], ["sayings"], cache=folder)
    assert calls[4:] == [(("y", 2), 2, "sayings"), ("x", 2, "sayings")]
    assert repr(again["x", "sayings"][:2]) == repr(once["x", "sayings"][::-1])


def test_1_and_true_and_one_point_zero_are_three_variants(tmp_path, calls):
    for variant in (1, True, 1.0, "1"):
        run(counted, [variant], [0], cache=tmp_path)
    assert len(calls) == 4


def module_of(path, source):
    path.write_text(source, encoding="utf-8")
    specification = importlib.util.spec_from_file_location("measures_of_a_test", path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    exec(compile(source, str(path), "exec"), module.__dict__)  # the loader would take stale bytecode for a file changed within a second
    return module


def test_a_changed_line_of_the_measures_file_is_measured_again(tmp_path):
    cache, path = tmp_path / "cache", tmp_path / "measures.py"
    source = "SCALE = 1\ncalls = []\ndef measure(variant, seed):\n    calls.append(seed)\n    return SCALE * seed\n"
    for text, n_calls, results in ((source, 2, [3, 4]), (source, 0, [3, 4]), (source.replace("= 1", "= 2"), 2, [6, 8])):
        module = module_of(path, text)
        assert run(module.measure, ["x"], [3, 4], cache=cache) == {"x": results}
        assert len(module.calls) == n_calls


def test_a_changed_library_or_numpy_is_measured_again(tmp_path, calls, monkeypatch):
    run(counted, ["x"], [0], cache=tmp_path)
    for versions in (("another", *experiments._versions()[1:]), (*experiments._versions()[:2], "0.1")):
        monkeypatch.setattr(experiments, "_versions", lambda versions=versions: versions)
        run(counted, ["x"], [0], cache=tmp_path)
    assert len(calls) == 3


def test_the_librarys_version_follows_every_line_of_it(tmp_path, monkeypatch):
    package = tmp_path / "cllm_lib"
    (package / "model").mkdir(parents=True)
    files = [package / "files.py", package / "model" / "layers.py"]
    seen = set()
    monkeypatch.setattr(experiments, "PACKAGE", package)
    for lines in (("a", "b"), ("a", "c"), ("d", "b"), ("ab", "")):
        for path, line in zip(files, lines, strict=True):
            path.write_text(line, encoding="utf-8")
        seen.add(experiments._versions.__wrapped__())
    assert len(seen) == 4


def test_a_changed_text_is_measured_again(tmp_path, calls):
    text = tmp_path / "mine.txt"
    for words in ("a b c", "a b d", "a b d"):
        text.write_text(words, encoding="utf-8")
        run(counted, ["x"], [0], [str(text)], cache=tmp_path / "cache")
    assert len(calls) == 2


def test_a_text_of_the_workbook_is_known_by_its_bytes(tmp_path, calls, monkeypatch):
    run(counted, ["x"], [0], ["prose"], cache=tmp_path)
    monkeypatch.setitem(experiments.TEXTS, "prose", lambda seed: "another text")
    run(counted, ["x"], [0], ["prose"], cache=tmp_path)
    assert len(calls) == 2


def files_after_one_run(folder):
    run(counted, ["x"], [0, 1], cache=folder)
    return sorted(folder.glob("*.json"))


def test_a_file_of_the_cache_is_json_for_people_too(tmp_path):
    content = json.loads(files_after_one_run(tmp_path)[0].read_text(encoding="utf-8"))
    assert content["task"] in ("variant 'x', seed 0", "variant 'x', seed 1")
    assert content["result"][0] == "x"


def test_no_damaged_byte_passes(tmp_path, monkeypatch):
    path = files_after_one_run(tmp_path)[0]
    data = path.read_bytes()
    task = experiments._Task(None, (), json.loads(data)["task"], path.stem, path)
    assert experiments._kept(task)
    damaged = [data[:i] + bytes([data[i] ^ flip]) + data[i + 1 :] for i in range(len(data)) for flip in (1, 2, 32, 255)]
    damaged += [data[:i] for i in range(len(data))] + [data + b" ", data + data]
    monkeypatch.setattr(experiments.Path, "is_file", lambda path: True)
    for bad in damaged:
        monkeypatch.setattr(experiments.Path, "read_bytes", lambda path, bad=bad: bad)
        assert experiments._kept(task) == [], bad


@pytest.mark.parametrize(
    "foreign", [b"", b"[]", b"null", b"\xff\xfe", b'{"result": 1}', b"[" * 100_000, b'{"result": {"a": 1e999}}', "other", "folder"]
)
def test_a_foreign_file_is_measured_again_and_replaced(foreign, tmp_path, calls, recwarn):
    paths = files_after_one_run(tmp_path)
    other = paths[1].read_bytes()
    paths[0].unlink()
    if foreign == "folder":
        paths[0].mkdir()
    else:
        paths[0].write_bytes(other if foreign == "other" else foreign)
    calls.clear()
    expected = repr(run(counted, ["x"], [0, 1]))
    calls.clear()
    assert repr(run(counted, ["x"], [0, 1], cache=tmp_path)) == expected
    assert len(calls) == 1
    if foreign == "folder":
        assert "could not be kept" in str(recwarn.pop(UserWarning).message)
    else:
        assert files_after_one_run(tmp_path)
        assert len(calls) == 1


def test_a_cache_that_is_a_file_is_refused(tmp_path):
    path = tmp_path / "a"
    path.write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="a file: give a folder"):
        run(counted, ["x"], [0], cache=path)


def test_a_variant_that_says_nothing_of_itself_runs_only_without_cache(tmp_path):
    variant = object()
    assert run(lambda variant, seed: seed, [variant], [0]) == {variant: [0]}
    with pytest.raises(ValueError, match="cannot be told from others of type object"):
        run(counted, [variant], [0], cache=tmp_path)


PROGRAM = """
import pathlib, sys, time
from cllm_lib.experiments.runs import run

def measure(log, variant, seed):
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"{seed}\\n")
    while seed >= 6 and not pathlib.Path("killed").exists():
        time.sleep(0.02)
    return seed / 3

if __name__ == "__main__":
    import functools
    import program  # under this name the other processes find the function
    print(run(functools.partial(program.measure, sys.argv[1]), ["x"], range(12), n_jobs=2, cache=sys.argv[2])["x"])
"""


def test_a_run_that_is_killed_loses_at_most_the_tasks_under_way(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    shutil.copytree(ROOT / "cllm_lib", tmp_path / "cllm_lib", ignore=shutil.ignore_patterns("__pycache__"))  # nobody edits this one
    log, cache = tmp_path / "log", tmp_path / "cache"
    command = [sys.executable, "program.py", str(log), str(cache)]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    first = psutil.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: log.exists() and log.read_text(encoding="utf-8").count("\n") >= 8)  # so two processes have a task that does not end
    for process in [first, *first.children(recursive=True)]:
        process.kill()  # signal 9
    first.wait()
    (tmp_path / "killed").touch()
    finished = {json.loads(path.read_text(encoding="utf-8"))["result"] for path in cache.glob("*.json")}
    printed = subprocess.run(command, cwd=tmp_path, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert json.loads(printed) == [seed / 3 for seed in range(12)]
    began = log.read_text(encoding="utf-8").split()
    twice = {seed for seed in began if began.count(seed) > 1}
    assert len(began) == 12 + len(twice)
    assert len(twice) == 2  # as many as there are processes
    assert len(finished) >= 4
    assert not {int(seed) / 3 for seed in twice} & finished


def test_two_runs_share_a_cache_at_the_same_time(tmp_path):
    found = {}

    def one(name):
        found[name] = run(seed_times, [1, 10], range(40), cache=tmp_path)

    threads = [threading.Thread(target=one, args=(name,)) for name in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1] == run(seed_times, [1, 10], range(40))
    assert len(list(tmp_path.iterdir())) == 80  # and nothing half-written beside


THREADS = "import experiments.test_runs as t; print(t.run(t.train, [48], [0], ['prose'], n_jobs={}))"


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_all_digits_are_the_same_whatever_the_threads_of_blas(n_jobs):
    alone = run(train, [48], [0], ["prose"])
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    two = subprocess.run([sys.executable, "-c", THREADS.format(n_jobs)], env=environment, check=True, capture_output=True, text=True)
    assert two.stdout.strip() == repr(alone)


def test_the_callers_threads_are_as_before():
    from threadpoolctl import threadpool_info, threadpool_limits

    with threadpool_limits(limits=2, user_api="blas"):
        assert run(lambda variant, seed: next(pool["num_threads"] for pool in threadpool_info()), [1], [0]) == {1: [1]}
        assert {pool["num_threads"] for pool in threadpool_info()} == {2}


def test_a_bar_shows_only_what_takes_long(capsys, monkeypatch):
    run(seed_times, [1], range(3), progress=True)
    assert "run" not in capsys.readouterr().err
    monkeypatch.setattr(experiments, "SECONDS_WITHOUT_BAR", 0)
    run(seed_times, [1], range(3), progress=True)
    assert "3/3" in capsys.readouterr().err


def wait_until(happened, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster


@pytest.mark.elsewhere
def test_a_cluster_gives_the_same_digits_even_when_a_worker_dies(cluster, tmp_path):
    log, killed = tmp_path / "log", tmp_path / "killed"
    here = run(train, [16, 24], range(4))
    measure = functools.partial(train_on, log, 3, killed)

    def kill_a_worker():
        wait_until(lambda: log.exists() and log.read_text(encoding="utf-8").count("\n") >= 3)
        last = log.read_text(encoding="utf-8").splitlines()[-1]
        psutil.Process(int(last.split()[0])).kill()  # its task has not ended: it waits for this file
        killed.write_text(last, encoding="utf-8")

    thread = threading.Thread(target=kill_a_worker)
    thread.start()
    found = run(measure, [16, 24], range(4), backend="dask", address=cluster.scheduler_address)
    thread.join()
    assert found == here
    began = [line.split(maxsplit=1)[1] for line in log.read_text(encoding="utf-8").splitlines()]
    assert began.count(killed.read_text(encoding="utf-8").split(maxsplit=1)[1]) == 2
    assert found == run(measure, [16, 24], range(4), n_jobs=2)


@pytest.mark.elsewhere
def test_a_client_will_do_and_results_stay_in_the_cache(cluster, tmp_path, calls):
    with cluster.get_client() as client:
        once = run(counted, ["x"], [0, 1], backend="dask", address=client, cache=tmp_path)
        assert client.status == "running"
    assert repr(run(counted, ["x"], [0, 1], cache=tmp_path)) == repr(once)
    assert calls == []


@pytest.mark.elsewhere
def test_an_exception_on_a_cluster_names_its_task(cluster):
    with pytest.raises(RuntimeError, match="variant 'x', seed 2, text 'prose': KeyError: 'the cause'"):
        run(fail_at_two, ["x"], [0, 1, 2], ["prose"], backend="dask", address=cluster.scheduler_address)


@pytest.mark.elsewhere
def test_a_worker_with_another_library_is_refused(cluster, monkeypatch):
    versions = ("another", *experiments._versions()[1:])
    monkeypatch.setattr(experiments, "_versions", lambda: versions)
    with pytest.raises(RuntimeError, match="another cllm_lib"):
        run(seed_times, ["x"], [0], backend="dask", address=cluster.scheduler_address)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense", "tcp://no.such.host.invalid:8786", 5])
def test_an_address_where_no_scheduler_is_is_told_within_seconds(address, monkeypatch):
    monkeypatch.setattr(experiments, "SECONDS_TO_ANSWER", min(0.5, experiments.SECONDS_TO_ANSWER))
    began = time.monotonic()
    import distributed  # noqa: F401  (its own settings come with it, and would replace this one)

    by_itself = dask.config.set({"distributed.comm.timeouts.connect": PATIENCE})  # for so long Dask would go on asking
    with by_itself, pytest.raises(ConnectionError, match="no scheduler answers at .* start one by"):
        run(seed_times, [1], [0], backend="dask", address=address)
    assert time.monotonic() - began < PATIENCE / 2


def test_what_listens_but_is_no_scheduler_is_told(monkeypatch):
    monkeypatch.setattr(experiments, "SECONDS_TO_ANSWER", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(ConnectionError, match="no scheduler answers"):
        run(seed_times, [1], [0], backend="dask", address=f"tcp://127.0.0.1:{server.getsockname()[1]}")


def test_a_scheduler_without_workers_is_told(monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr(experiments, "SECONDS_TO_START", 0.5)
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as empty,
        pytest.raises(ConnectionError, match="has no worker"),
    ):
        run(seed_times, [1], [0], backend="dask", address=empty.scheduler_address)


def test_without_distributed_one_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match="pip install distributed"):
        run(seed_times, [1], [0], backend="dask", address="tcp://127.0.0.1:9")
