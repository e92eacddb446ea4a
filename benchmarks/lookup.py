"""Does the order of its rows change the speed of an embedding? `python -m benchmarks.lookup` writes evidence/pages/LOOKUP.md.

The claim: "Ulam spiral locality (20-50% improvement)", document 003. Tables below and above the size of the processor's
last cache, a stream by Zipf's law and two texts, three kinds of work. One to two minutes; one thread. The numbers go to
evidence/measured/lookup.json as well.
"""

import json
import os
import time
from dataclasses import asdict, dataclass

import numpy as np
import psutil

from benchmarks.run import describe_machine, say, table
from cllm_lib.files import shipped, write_atomically
from cllm_lib.text.corpora import load_corpus
from cllm_lib.workbook.row_order import (
    AS_IT_IS,
    BATCH_NUMBERS,
    DOCUMENTS,
    WORK,
    compare,
    last_level_cache,
    numbered_as_met,
    row_orders,
    zipf_stream,
)

COMMAND = "python -m benchmarks.lookup"
PAGE = shipped("evidence", "pages/LOOKUP.md")
CLAIMED = (1 / 1.5, 1 / 1.2)  # of the time, where the speed is 50 or 20 % better
ULAM = "Ulam's spiral"
ROUNDS = 15
NUMBERS, FEWER = 26_000_000, 6_500_000  # floats fetched in a round: some milliseconds; of narrow rows fewer, for these take longer
GRADIENT = 8  # times longer a gradient takes than a look-up, at least: of a text so much shorter
LAYOUT = ("text", "rows", "width", "MiB", "of the cache")


@dataclass(frozen=True)
class Case:
    """A text, and a table of so many times the cache's size.

    Attributes
    ----------
    text : str
        "zipf", or a corpus.
    share : float, optional
        Table size over the size of the cache; without, the width is that of the program.
    width : int, optional
        Floats a row; for a corpus it follows from the share.
    numbers : int
        Floats fetched in a round.
    """

    text: str
    share: float | None = None
    width: int | None = None
    numbers: int = NUMBERS

    def layout(self, cache, rounds):
        """Tokens, rows and width. A text too short for all rounds begins anew."""
        if self.text == "zipf":
            rows = int(self.share * cache) // (4 * self.width)
            return numbered_as_met(zipf_stream(rows, rounds * self.numbers // self.width)), rows, self.width
        tokens = numbered_as_met(load_corpus(self.text).tokens)
        rows = int(tokens.max()) + 1
        width = self.width or max(16, int(self.share * cache) // (4 * rows) // 16 * 16)
        return np.resize(tokens, rounds * self.numbers // width), rows, width


CASES = (
    Case("zipf", 0.5, 512),
    Case("zipf", 4.0, 512),
    Case("zipf", 0.5, 4, FEWER),
    Case("zipf", 2.0, 4, FEWER),
    Case("python-docs", 0.5),
    Case("python-docs", 4.0),
    Case("sayings", width=512),
)


def measure(cases=CASES, rounds=ROUNDS, report=lambda words: None):
    """All cases, every kind of work.

    Returns
    -------
    list of dict
        With the layout of the table, the work, and the timings by order.
    """
    cache, _ = last_level_cache()
    found = []
    for case in cases:
        tokens, rows, width = case.layout(cache, rounds)
        size = 4 * rows * width
        layout = dict(zip(LAYOUT, (case.text, rows, width, round(size / 2**20, 1), round(size / cache, 2)), strict=True))
        orders = row_orders(tokens, rows)
        for work in WORK:
            part = tokens[: len(tokens) // GRADIENT] if work == "gradient" else tokens
            timings = compare(part, rows, width, work, rounds, orders=orders)
            found.append(layout | {"work": work, "orders": {name: asdict(timing) for name, timing in timings.items()}})
            report(f"{case.text}, {rows:,} x {width}, {work}: {ULAM} {timings[ULAM].ratio:.2f}")
    return found


def reached(found, order=ULAM):
    """The measurements in which an order is as much faster as claimed at least: by its upper quartile, so not by luck."""
    return [row for row in found if row["orders"][order]["high"] <= CLAIMED[1]]


def verdict(found):
    """What the measurements say of the claim, in one paragraph."""
    ratios = [row["orders"][ULAM]["ratio"] for row in found]
    same = [row["orders"][DOCUMENTS]["ratio"] for row in found]
    count = len(reached(found))
    said = "holds" if count == len(found) else "does not hold" if count == 0 else "holds in some of them only"
    return (
        f'The claim "20-50% improvement" would be a ratio of {CLAIMED[0]:.2f} to {CLAIMED[1]:.2f}. Rows along {ULAM} reach it in '
        f"{count} of {len(found)} measurements (upper quartile at most {CLAIMED[1]:.2f}); their ratios go from {min(ratios):.2f} to "
        f"{max(ratios):.2f}. It {said}. The documents' own spiral stores the rows by id; it differs from by id by chance alone, "
        f"from {min(same):.2f} to {max(same):.2f}. {extreme(found, 'fastest', min)} {extreme(found, 'slowest', max)}"
    )


def extreme(found, word, which):
    """The order furthest from 1, by the quartile that lies nearer to it."""
    bound = {"fastest": "high", "slowest": "low"}[word]
    row, name = which(((row, name) for row in found for name in row["orders"]), key=lambda pair: pair[0]["orders"][pair[1]][bound])
    where = ", ".join(
        f"{name} {row[name]:,}" if isinstance(row[name], int) else str(row[name]) for name in ("text", "rows", "width", "work")
    )
    return f"The {word} of all: {name}, {cell(row['orders'][name])} ({where})."


def cell(timing):
    """A ratio with its quartiles."""
    return f"{timing['ratio']:.2f} ({timing['low']:.2f} to {timing['high']:.2f})"


def page(found, conditions):
    """The whole of LOOKUP.md."""
    others = [name for name in found[0]["orders"] if name != AS_IT_IS]
    header = [*LAYOUT, "work", "by id, ms", *others]
    rows = [
        [f"{row[name]:,}" if isinstance(row[name], int) else str(row[name]) for name in LAYOUT]
        + [row["work"], f"{1e3 * row['orders'][AS_IT_IS]['seconds']:.1f}", *(cell(row["orders"][name]) for name in others)]
        for row in found
    ]
    how = (
        f"Written by `{COMMAND}`. A round fetches {NUMBERS / 1e6:.0f} million float32 numbers ({FEWER / 1e6:.1f} million of rows of 4; for "
        f"gradients an eighth), {BATCH_NUMBERS:,} a call, of another stretch of the text, in each order in turn; {ROUNDS} rounds. Ratio: "
        "time over that by id in the same round, median and quartiles; below 1 is faster. Ids are given in the order in which words "
        "first occur. Frequency: the most frequent first. Ulam's spiral and Hilbert's curve: ids written on a square row by row, "
        "stored along the curve. The ratios are of texts so long: a "
        "short one has met few rows, which lie in one piece by id and all over the table in random order, and gives others."
    )
    return (
        "\n\n".join(["# Row order and the speed of an embedding", how, *conditions, "\n".join(table(header, rows)), verdict(found)]) + "\n"
    )


def main():
    """Measure, and write page and numbers."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    cache, told = last_level_cache()
    busy, started = psutil.cpu_percent(interval=3), time.monotonic()
    found = measure(report=say)
    size = f"Its last cache holds {cache / 2**20:.0f} MiB" + ("." if told else " (assumed: the system does not say).")
    conditions = [
        f"{describe_machine()} {size}",
        f"One processor of them. Before the run other programs kept the processors {busy:.0f} % busy; "
        f"it took {time.monotonic() - started:.0f} s, with a load of {psutil.getloadavg()[0]:.1f} at its end (1.0 is the run alone).",
    ]
    write_atomically(PAGE, page(found, conditions).encode("utf-8"))
    facts = {"command": COMMAND, "machine": " ".join(conditions), "rounds": ROUNDS, "cache": cache, "measurements": found}
    path = shipped("evidence", "measured/lookup.json")
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, (json.dumps(facts, indent=1) + "\n").encode("utf-8"))
    say(f"\n{verdict(found)}\nWritten to evidence/pages/{PAGE.name} and evidence/measured/{path.name}.")


if __name__ == "__main__":
    main()
