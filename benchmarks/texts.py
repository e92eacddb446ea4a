"""How long does a large text take to load and to count? `python -m benchmarks.texts` writes evidence/pages/TEXTS.md.

A made text of 100 MB: words by Zipf's law, some with capitals, quotation marks, commas and accents. Beside `load_corpus`
stands `str.split` and `Counter`, which only count; beside the bigram entropy, one integer key a pair, sorted by NumPy.
Each contestant runs in a process of its own, in turns; peak memory is that of the process, less what it held before. Two
minutes; one thread. The numbers go to evidence/measured/texts.json as well.
"""

import json
import math
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil

from benchmarks import compare
from benchmarks.compare import Worker, alternate
from benchmarks.memory import peak_bytes
from benchmarks.run import describe_machine, say, table, verdict
from cllm_lib.files import shipped, write_atomically
from cllm_lib.text.corpora import load_corpus

COMMAND = "python -m benchmarks.texts"
PAGE = shipped("evidence", "pages/TEXTS.md")
RESULTS = shipped("evidence", "measured/texts.json")
MEGABYTES, ROUNDS, KINDS = 100, 5, 200_000
EXPONENT, SEQ_LEN, VOCAB_SIZE = 1.1, 32, 10_000
FORMS = ("{}", "{}", "{}", "{}", "{},", "{}.", "“{}”", "{}\n")
LOAD, COUNT = "load_corpus", "str.split and Counter"
ENTROPY, KEYS = "Corpus.bigram_entropy", "one key a pair, NumPy"
TO_REACH = {LOAD: 2.0, ENTROPY: 2.0}
HEADER = ["ours", "peer", "ours, s", "peer, s", "ratio", "at most", "memory", "peer's", "at most", ""]
MEMORY_TO_REACH = 8.0  # times the size of the file


def made_text(size, seed=0):
    """About `size` bytes of text: made-up words, the frequent ones often, in upper and lower case, with punctuation."""
    generator = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgkéü"))
    words = ["".join(letters[generator.integers(0, len(letters), length)]) for length in generator.integers(1, 11, KINDS)]
    chances = 1.0 / np.arange(1.0, KINDS + 1.0) ** EXPONENT
    steps, parts, length = np.cumsum(chances / chances.sum()), [], 0
    while length < size:
        drawn = np.searchsorted(steps, generator.random(200_000) * steps[-1]).tolist()
        forms, capitals = generator.integers(0, len(FORMS), len(drawn)).tolist(), (generator.random(len(drawn)) < 0.1).tolist()
        named = (words[i].capitalize() if capital else words[i] for i, capital in zip(drawn, capitals, strict=True))
        parts.append(" ".join(FORMS[form].format(word) for form, word in zip(forms, named, strict=True)).encode("utf-8") + b" ")
        length += len(parts[-1])
    return b"".join(parts)


class Contestant:
    """Something to do with a text file, and the memory that it took."""

    def __init__(self, path):
        self.path = Path(path)
        self.before = psutil.Process().memory_info().rss

    def memory(self):
        """Bytes at the peak, beyond what the process held before."""
        return peak_bytes() - self.before

    def answer(self):
        """What was found, to be compared."""
        return self.found


class Load(Contestant):
    """The library: words, vocabulary, ids."""

    def step(self):
        """Load the text; what was loaded before goes first."""
        self.corpus = None
        self.corpus = load_corpus(self.path, VOCAB_SIZE)
        self.found = len(self.corpus.tokens)


class Count(Contestant):
    """Words as they stand, and how often each occurs."""

    def step(self):
        """Read, split, count."""
        self.found = Counter(self.path.read_text(encoding="utf-8").split()).total()


class Entropy(Contestant):
    """The library's bigram entropy."""

    def __init__(self, path):
        self.corpus = load_corpus(path, VOCAB_SIZE)
        super().__init__(path)

    def step(self):
        """Count pairs."""
        self.found = self.corpus.bigram_entropy(SEQ_LEN)


class Keys(Entropy):
    """The same number, by one integer a pair and `np.unique`."""

    def step(self):
        """Count pairs."""
        tokens = self.corpus.tokens[: (len(self.corpus.tokens) - 1) // SEQ_LEN * SEQ_LEN + 1]
        pairs = np.unique(tokens[:-1] * VOCAB_SIZE + tokens[1:], return_counts=True)[1]
        self.found = _entropy(pairs) - _entropy(np.unique(tokens[:-1], return_counts=True)[1])


def _entropy(counts):
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def measure(megabytes=MEGABYTES, rounds=ROUNDS, report=lambda words: None):
    """Both pairs of contestants, in turns.

    Returns
    -------
    dict
        Size of the text, and for each of ours: seconds, those of its peer, ratio with quartiles, and peak memory as a multiple of the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        path.write_bytes(made_text(int(1e6 * megabytes)))
        size, results = path.stat().st_size, {}
        for ours, peer, builders in ((LOAD, COUNT, (Load, Count)), (ENTROPY, KEYS, (Entropy, Keys))):
            workers = {name: Worker(build, str(path)) for name, build in zip((ours, peer), builders, strict=True)}
            times = alternate(workers, rounds, 1, report=lambda done, ours=ours: report(f"{ours}, round {done} of {rounds}"))
            found, expected = (worker.call("answer") for worker in workers.values())
            if not math.isclose(found, expected, rel_tol=1e-9):
                raise SystemExit(f"{peer} finds {expected}, and {ours} {found}: nothing is written")
            memory = {name: round(worker.call("memory") / size, 2) for name, worker in workers.items()}
            for worker in workers.values():
                worker.close()
            results[ours] = {"peer": peer, "ratio": asdict(compare.ratio(times[ours], times[peer])), "memory": memory, "found": found}
        return {"bytes": size, "results": results}


def rows_of(found):
    """Rows of the table."""
    rows = []
    for ours, result in found["results"].items():
        timing, memory = result["ratio"], result["memory"]
        reached = timing["value"] <= TO_REACH[ours] and memory[ours] <= MEMORY_TO_REACH
        ratio = f"{timing['value']:.2f} ({timing['low']:.2f} to {timing['high']:.2f})"
        row = [ours, result["peer"], f"{timing['ours']:.2f}", f"{timing['peer']:.2f}", ratio, f"{TO_REACH[ours]:.1f}"]
        row += [f"{memory[ours]:.1f}", f"{memory[result['peer']]:.1f}", f"{MEMORY_TO_REACH:.0f}", verdict(reached)]
        rows.append(row)
    return rows


def page(facts):
    """The whole of TEXTS.md."""
    words = facts["results"][LOAD]["found"]
    how = (
        f"Written by `{COMMAND}`. A made text of {facts['bytes'] / 1e6:.0f} MB, {words:,} words by Zipf's law with exponent {EXPONENT}, "
        f"UTF-8, {KINDS:,} different words in capitals and small letters, with and without punctuation. {COUNT} only count words as they "
        f"stand; {LOAD} also checks the file, normalises, takes off punctuation, makes the vocabulary and every id. Times are medians "
        f"over {facts['rounds']} rounds; a ratio is the median over the rounds, with its quartiles. Memory: the most that the process "
        "held beyond what it held before, as a multiple of the file's size; before an entropy the corpus is loaded already."
    )
    return "\n\n".join(["# Large texts", how, facts["machine"], "\n".join(table(HEADER, rows_of(facts)))]) + "\n"


def main():
    """Measure, and write page and numbers."""
    busy, started = psutil.cpu_percent(interval=3), time.monotonic()
    found = measure(report=say)
    took = (
        f"Before the run other programs kept the processors {busy:.0f} % busy; it took {time.monotonic() - started:.0f} s, with a load of "
        f"{psutil.getloadavg()[0]:.1f} at its end (1.0 is the run alone)."
    )
    facts = {"command": COMMAND, "machine": f"{describe_machine()} {took}", "rounds": ROUNDS} | found
    write_atomically(PAGE, page(facts).encode("utf-8"))
    write_atomically(RESULTS, (json.dumps(facts, indent=1) + "\n").encode("utf-8"))
    say("\n".join(table(HEADER, rows_of(found))))


if __name__ == "__main__":
    main()
