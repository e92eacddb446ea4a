import threading

from benchmarks import threads
from benchmarks.peers import SMALL
from cllm_lib.claims import stored


def test_the_pool_is_there_and_idle():
    before = threading.active_count()
    contestant = threads.beside_an_idle_pool(SMALL)
    assert threading.active_count() == before + threads.POOL
    assert contestant.step() == threads.alone(SMALL).step()
    contestant.pool.shutdown()


def test_each_contestant_has_its_threads_and_the_setting_is_left_as_it_was(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    worker = threads.worker(blas_threads, 1, None)
    assert worker.call("count") == "1"
    worker.close()
    assert threads.os.environ["OPENBLAS_NUM_THREADS"] == "7"


class blas_threads:
    def __init__(self, config):
        pass

    def count(self):
        return threads.os.environ["OPENBLAS_NUM_THREADS"]


def test_what_is_stored_has_every_size_and_contestant_and_says_how():
    kept = stored("threads")
    assert (kept["command"], kept["rounds"]) == (threads.COMMAND, threads.ROUNDS)
    assert [(row["size"], row["with"]) for row in kept["measurements"]] == [
        (size, name) for size in threads.SIZES for name in (threads.IDLE, threads.TWO)
    ]
