"""What was said of times: a slow start, threads that stand idle, rows that lattice reduction was to make faster."""

import numpy as np

from cllm_lib.claims.judging import exact, measured, timed, untestable, verdict

SECONDS_AT_START, LARGE_PART = 5.0, 0.1  # what the documents say the start took; a smaller part is no cause of it


def _at_start(run, suspect, name):
    alone = run["alone"]
    part = alone[suspect] / (1000 * SECONDS_AT_START)
    found = (
        f"{alone[suspect]:.2g} ms of the {SECONDS_AT_START:.0f} s that the start is said to have taken; the entries of the lattice cache, "
        f"one at a time in Python, {alone['lattice cache, one entry at a time']:.0f} ms ({run['command']}; the program itself was not run)"
    )
    return found, verdict(part >= LARGE_PART), [exact(f"{name}, part of the {SECONDS_AT_START:.0f} s", part, "share")]


@measured(
    "18",
    "Likely causes: ... Thread pool creation - Creating 3 threads even when not training",
    "001",
    about="of a slow start",
    section="Startup Slowness",
    experiment="A pool of 3 threads made, used once and given back, as a part of the 5 s that were reported; timed twice.",
    change_our_mind="A profile of the program's own start in which its pool takes a tenth of the time.",
)
@timed("startup")
def threads_at_start(run):
    """The pool's part of what start-up waited for."""
    return _at_start(run, "pool of 3 threads", "pool of 3 threads")


@measured(
    "18",
    "Expected: Startup time < 2 seconds",
    "002",
    section="Test 3: After Optimizing Startup",
    experiment="Time until a first answer of this workbook's lattice with nothing built before it, timed twice.",
    change_our_mind="A clock beside the program's own start.",
)
@timed("startup")
def start_after_the_fix(run):
    """The program's start is the program's: here is only what it no longer builds."""
    without, built = (run["until the first answer"][way] for way in ("on first touch", "at once"))
    found = (
        f"the first answer after {without:.1f} ms with nothing built before it, {built:.0f} ms with the lattice ({run['command']}; the "
        "program itself was not run)"
    )
    judged = untestable("it is about the program's own start, which was not run")
    return found, judged, [exact("first answer with nothing built before it", without / 1000, "s")]


@measured(
    "18",
    "Likely causes: ... Model loading - Loading 5,120,000 floats (embeddings)",
    "001",
    about="of a slow start",
    section="Startup Slowness",
    experiment="So many float32 numbers read from a file, as a part of the 5 s that were reported; timed twice.",
    change_our_mind="A profile of the program's own start in which loading takes a tenth of the time.",
)
@timed("startup")
def loading_at_start(run):
    """The embedding's part of what start-up waited for."""
    return _at_start(run, "5,120,000 floats from a file", "loading")


OVERHEAD = 1.05  # times as long: less is not worth a word


@measured(
    "18",
    "Threading overhead without benefit ... training is still single-threaded, so threads are idle overhead",
    "001",
    section="Executive Summary, root cause 5; UI Unresponsiveness",
    experiment="Forward and backward passes with one thread, with an idle pool of 3 beside it, and with two threads, in paired rounds.",
    change_our_mind="An idle pool that makes a step 5 % slower in three rounds of four.",
)
@timed("threads")
def threads_in_training(run):
    """An idle pool, and a second thread for the matrix products, at two sizes."""
    found = {(row["size"], row["with"]): row for row in run["measurements"]}
    sizes = dict.fromkeys(size for size, _ in found)
    idle = [found[size, "an idle pool of 3"] for size in sizes]
    two = {size: found[size, "two threads"] for size in sizes}
    without = [size for size in sizes if two[size]["ratio"] >= 1.0]
    said = "; ".join(
        f"{size}: with an idle pool {found[size, 'an idle pool of 3']['ratio']:.2f} of the time without, "
        f"with two threads {two[size]['ratio']:.2f} of that with one"
        for size in sizes
    )
    costly = all(row["low"] >= OVERHEAD for row in idle)
    ratios = [row["ratio"] for row in idle]
    return (
        f"{said} ({run['command']})",
        verdict(costly and len(without) == len(sizes)),
        [exact("time with an idle pool over time without", float(np.median(ratios)), "ratio", min(ratios), max(ratios))],
    )


FASTER_BY_LLL = 2.0  # the least of "2-4x"


@measured(
    "16",
    "LLL reduction (2-4x speedup)",
    "003",
    about="a plan",
    section="Next Steps After Training Works",
    experiment="Look-ups and dot products with a trained embedding's rows, and with the LLL-reduced rows, in paired rounds; timed twice.",
    change_our_mind="A use of the reduced rows that gives the same answers in half the time.",
)
@timed("reduced")
def speed_of_reduced_rows(run):
    """As many rows, as wide, as before: the same multiplications and additions."""
    works = run["measurements"]
    said = ", ".join(f"{row['work']} {row['ratio']:.2f}" for row in works)
    found = (
        f"{run['rows']} rows of {run['width']} are {run['reduced rows']} rows of {run['reduced width']} afterwards; "
        f"time over that before: {said} ({run['command']})"
    )
    ratios = [row["ratio"] for row in works]
    judged = verdict(all(row["high"] <= 1 / FASTER_BY_LLL for row in works))
    return found, judged, [exact("time with reduced rows over time before", float(np.median(ratios)), "ratio", min(ratios), max(ratios))]
