"""Everything the verdicts of chapter 18 rest on, made anew: `make evidence`, or `python -m benchmarks.evidence`.

Every experiment of `cllm_lib.claims` with all its seeds, every single number to evidence/NAME.csv; the seeded numbers under
evidence/measured/ once more, which have to come out as they are stored; times, to evidence/timings.csv; the book's own
sentences, to evidence/own_sentences.csv; and from all that evidence/table.csv, evidence/effects.csv and a paragraph of
README.md, and of what changed since 2017 evidence/changes.csv and its page. Finished runs are kept in .cache/evidence: stop it
as you like, it goes on where it was. `python -m benchmarks.evidence NAME` runs one experiment, such as a new one or one that is
run on demand only, and then writes the tables. `--freeze` writes the rules to evidence/protocol.json; once that is committed,
`--seeds 200..219` judges by it anew, with seeds that nobody has seen. `--tiny` tries the whole path in a minute, in a folder
that is thrown away.
"""

import argparse
import contextlib
import functools
import json
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks import changes, fresh, lookup, positions, reduced, sentences, similarity, startup, threads
from benchmarks.run import describe_machine, say
from cllm_lib import claims
from cllm_lib.claims import judging, protocol, registry
from cllm_lib.claims.questions import LEAST_SEEDS
from cllm_lib.experiments import runs as experiments
from cllm_lib.files import write_atomically

ROOT = Path(__file__).resolve().parent.parent
FOLDER, CACHE = ROOT / "evidence", ROOT / ".cache" / "evidence"
ALLOWED = 0.01  # between seeded numbers and the stored ones: another processor rounds sums elsewhere, and 600 steps make more of it
MARKS = ("<!-- written by make evidence -->", "<!-- until here -->")
ADVICE = "if the library was meant to change, the script of that name in benchmarks/ stores the new ones"


def measure_experiments(folder, cache, tiny=False, n_jobs=-1, names=None, report=say):
    """Run the registered experiments and write the runs of each, as soon as it is done.

    Parameters
    ----------
    folder, cache : path
    tiny : bool
        Only the fast part of each that has one.
    n_jobs : int
    names : iterable of str, optional
        Which; by default all but those that are run on demand only.
    report : callable
        Takes a line.
    """
    for name in [name for name, one in claims.EXPERIMENTS.items() if not one.on_demand] if names is None else names:
        started, one = time.monotonic(), claims.EXPERIMENTS[name]
        if tiny and one.fast is None:
            continue
        chosen = {} if tiny else {"variants": one.variants, "seeds": one.seeds, "texts": one.texts}
        made = claims.recompute(name, **chosen, n_jobs=n_jobs, cache=cache, progress=True)
        write_atomically(folder / f"{name}.csv", registry.csv_of_runs(made).encode("utf-8"))
        registry.forget()  # an experiment may read what one before it found
        report(f"{name}: {len(made):,} numbers, {time.monotonic() - started:.0f} s")


def check_positions(cache, n_jobs=-1, names=positions.MEASURES, variants=positions.VARIANTS, seeds=positions.SEEDS):
    """Measure evidence/measured/positions.json anew; stop if it comes out otherwise."""
    kept = claims.stored("positions")
    for name in names:
        rows = positions.measure(name, kept["steps"][name], variants, seeds, n_jobs, cache)
        for variant, again in rows.items():
            _compare("positions", f"{name}, {variant}", again, [kept["rows"][name][variant][kept["seeds"].index(seed)] for seed in seeds])


def check_similarity(cache, n_jobs=-1, names=similarity.TEXTS, variants=similarity.VARIANTS, seeds=similarity.SEEDS):
    """Measure the losses of evidence/measured/similarity.json anew; stop if they come out otherwise."""
    kept = {one["text"]: one for one in claims.stored("similarity")["losses"]}
    for name in names:
        found = experiments.run(functools.partial(similarity.train, name), variants, seeds, n_jobs=n_jobs, cache=cache, progress=True)
        known = {(run["kind"], run["strength"]): run for run in kept[name]["runs"]}
        places = [kept[name]["seeds"].index(seed) for seed in seeds]
        for (kind, strength), again in found.items():
            for key in again[0]:
                stored = [known[kind, strength][key][place] for place in places]
                _compare("similarity", f"{name}, {kind}, {strength:g}, {key}", [run[key] for run in again], stored)


def _compare(name, what, again, kept):
    gap = float(np.abs(np.subtract(again, kept)).max())
    if not gap <= ALLOWED:
        raise SystemExit(
            f"evidence/measured/{name}.json does not come out again: {what} is off by {gap:.3g}, more than {ALLOWED:g}. The verdicts were "
            f"not written: {ADVICE}."
        )


def look_ups():
    """As evidence/measured/lookup.json, on one processor."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    return {"command": lookup.COMMAND, "measurements": lookup.measure()}


def similarities():
    """The times of evidence/measured/similarity.json that a verdict asks for."""
    rows = [
        row
        for words in similarity.WORDS
        for width in similarity.WIDTHS
        for row in similarity.speed_rows(words, width, similarity.contestants(words, width), similarity.ROUNDS, similarity.STEPS)[1]
    ]
    return {"command": similarity.COMMAND, "speed": rows}


def starts():
    """As evidence/measured/startup.json."""
    return {"command": startup.COMMAND} | startup.measure()


TIMINGS = {"startup": starts, "lookup": look_ups, "similarity": similarities, "threads": threads.numbers, "reduced": reduced.numbers}


def measure_timings(folder, timings=TIMINGS, report=say):
    """Take all times anew, one after the other, each in a fresh process with one thread of BLAS, and write them."""
    found = {"these times": {"differ": "from run to run", "machine": describe_machine()}}
    for name, measure in timings.items():
        started = time.monotonic()
        with _environment("OPENBLAS_NUM_THREADS", "1"), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
            found[name] = fresh.submit(measure).result()
        report(f"times of {name}: {time.monotonic() - started:.0f} s")
    write_atomically(folder / registry.TIMINGS, registry.csv_of_timings(found).encode("utf-8"))


@contextlib.contextmanager
def _environment(name, value):
    kept = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if kept is not None:
            os.environ[name] = kept


def write_tables(folder):
    """Judge every claim, and what changed since 2017, by what stands in evidence/ now, and write the tables."""
    registry.forget()
    rows = claims.table()
    claims.write_table(folder / "table.csv", rows)
    claims.write_effects(folder / "effects.csv", rows)
    changes.write(folder)
    return rows


def summary(rows):
    """What came out, in the words of README.md."""
    kinds = [row.kind for row in rows]
    holds, partly, fails, unsure, open_ = (
        kinds.count(kind) for kind in (claims.HOLDS, claims.PARTLY, claims.FAILS, claims.UNDECIDED, claims.UNTESTABLE)
    )
    asked = sum(len(row.asks) for row in rows)
    said = (
        f"Of {len(rows)} claims that were judged, {holds} hold as they stand, {partly} hold under a condition that was found, "
        f"{fails} do not hold, {unsure} {'is' if unsure == 1 else 'are'} undecided, and {open_} cannot be tested as they are said. Where "
        f"chance has a part the verdicts answer {asked} questions, each with at least {LEAST_SEEDS} seeds and an interval wide "
        f"enough for all {asked} to hold at once."
    )
    again = judging.fresh_lines()
    return f"{said} {fresh.summary(again)}" if again else said


def say_in_readme(words, page=ROOT / "README.md", marks=MARKS):
    """Put words between two marks of the README."""
    before, rest = page.read_text(encoding="utf-8").split(marks[0])
    _, after = rest.split(marks[1])
    write_atomically(page, f"{before}{marks[0]}\n{words}\n{marks[1]}{after}".encode())


def tiny():
    """The whole path on a small part, in a folder that is thrown away; verdicts from what is stored."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        measure_experiments(folder, folder / "cache", tiny=True, n_jobs=1)
        check_positions(folder / "cache", 1, ["steps back"], ["clock"], [0])
        check_similarity(folder / "cache", 1, ["sayings"], [similarity.VARIANTS[0]], [0])
        measure_timings(folder, {"reduced": reduced.numbers})
        say(summary(write_tables(folder)))


def with_fresh_seeds(words, n_jobs, parser):
    """Everything that chance has a part in once more, by the frozen protocol."""
    try:
        seeds = fresh.seeds_of(words)
    except ValueError as error:
        parser.error(str(error))
    commit = fresh.check_protocol()
    (FOLDER / registry.FRESH).mkdir(exist_ok=True)
    fresh.measure(FOLDER / registry.FRESH, CACHE, seeds, n_jobs)
    say(fresh.summary(fresh.judge(FOLDER / "fresh.csv", seeds, commit)))
    say_in_readme(summary(write_tables(FOLDER)))


def main(arguments=None):
    """Measure everything, judge, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", help="experiments to run, such as a new one; then the tables, and nothing else (all by default)"
    )
    parser.add_argument("--tiny", action="store_true", help="a small part of everything; leaves nothing behind")
    parser.add_argument("--freeze", action="store_true", help=f"write the rules to evidence/{protocol.FILE}, to be committed")
    parser.add_argument("--seeds", default="", help="seeds that nobody has seen, such as 200..219: judge by the frozen rules anew")
    parser.add_argument("--jobs", type=int, default=-1, help="processes side by side; all processors by default")
    options = parser.parse_args(arguments)
    if options.tiny:
        tiny()
        return
    if options.freeze:
        write_atomically(FOLDER / protocol.FILE, (json.dumps(protocol.protocol(), indent=1) + "\n").encode("utf-8"))
        say(f"Written to evidence/{protocol.FILE}. Commit it, and then take fresh seeds: `make evidence SEEDS=200..219`.")
        return
    if options.seeds:
        with_fresh_seeds(options.seeds, options.jobs, parser)
        return
    unknown = set(options.names) - set(claims.EXPERIMENTS)
    if unknown:
        parser.error(f"no experiment is called {sorted(unknown)[0]!r}: choose among {', '.join(sorted(claims.EXPERIMENTS))}")
    started = time.monotonic()
    FOLDER.mkdir(exist_ok=True)
    measure_experiments(FOLDER, CACHE, n_jobs=options.jobs, names=options.names or None)
    if not options.names:
        check_positions(CACHE, options.jobs)
        check_similarity(CACHE, options.jobs)
        say("The seeded numbers under evidence/measured/ came out again.")
        measure_timings(FOLDER)
        sentences.main(["--jobs", str(options.jobs)])
    rows = write_tables(FOLDER)
    say_in_readme(summary(rows))
    say(f"{summary(rows)} Written to evidence/ in {(time.monotonic() - started) / 60:.0f} minutes.")


if __name__ == "__main__":
    from benchmarks import evidence as this  # under this name the other processes find its functions

    this.main()
