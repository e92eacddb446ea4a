"""The book's own rules on trial, with ten seeds or more each: `python -m benchmarks.sentences`, or with the numbers of chapters.

Each is quoted, with what is measured, in tests/sentences/. What comes out goes to evidence/own_sentences.csv. With other seeds,
`--seeds 20..29`, it is only printed. Finished runs are kept in .cache/evidence: stop it as you like, it goes on where it was.
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks.fresh import numbers_of
from benchmarks.run import say
from cllm_lib.claims.own_words import FILE, own_sentences, write_sentences

ROOT = Path(__file__).resolve().parent.parent
FOLDER, CACHE = ROOT / "evidence", ROOT / ".cache" / "evidence"


def room_of_trials():
    """The module `sentences.trials`, which stands with the tests, so that a changed chapter is seen there."""
    if str(ROOT / "tests") not in sys.path:
        sys.path.insert(0, str(ROOT / "tests"))
    from sentences import trials

    return trials


def measure(chapters=(), seeds=None, n_jobs=-1, report=say):
    """Put the sentences of some chapters, or of all, on trial.

    Parameters
    ----------
    chapters : iterable of str
    seeds : iterable of int, optional
        Others than their own.
    n_jobs : int
    report : callable
        Takes a line.

    Returns
    -------
    list of OwnSentence
    """
    trials, made = room_of_trials(), []
    of_chapter = {}
    for one in trials.all_trials():
        of_chapter.setdefault(one.chapter, []).append(one)
    for chapter in chapters or of_chapter:
        started = time.monotonic()
        held = trials.hold(of_chapter[chapter], seeds, n_jobs=n_jobs, cache=CACHE, progress=True)
        made += held
        for one in held:
            report(f"{one.chapter}  {one.holds_in:24} {'fell once: ' if one.instead else ''}{one.words}")
        report(f"chapter {chapter}: {len(held)} sentences, {time.monotonic() - started:.0f} s")
    return made


def main(arguments=None):
    """Measure, say, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapters", nargs="*", help="such as 04 (all by default)")
    parser.add_argument("--seeds", help="others than the sentences' own, such as 20..29: printed, not written")
    parser.add_argument("--jobs", type=int, default=-1, help="processes side by side; all processors by default")
    options = parser.parse_args(arguments)
    known = sorted({one.chapter for one in room_of_trials().all_trials()})
    unknown = sorted({*options.chapters} - {*known})
    if unknown:
        parser.error(f"chapter {unknown[0]!r} has no rule on trial: choose among {', '.join(known)}")
    try:
        seeds = numbers_of(options.seeds) if options.seeds else None
    except ValueError as error:
        parser.error(str(error))
    made = measure(options.chapters, seeds, options.jobs)
    if not options.seeds:
        measured = {one.chapter for one in made}
        kept = [one for one in own_sentences(path=FOLDER / FILE) if options.chapters and one.chapter not in measured]
        write_sentences(FOLDER / FILE, sorted([*kept, *made], key=lambda one: one.chapter))
    wrong = [one for one in made if not one.as_told]
    if wrong:
        raise SystemExit("\n".join(f"{one.chapter}: {one.holds_in}, and the book says otherwise: {one.words}" for one in wrong))


if __name__ == "__main__":
    from benchmarks import sentences as this  # under this name the other processes find its functions

    this.main()
