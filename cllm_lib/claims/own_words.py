"""The book's own sentences: each rule that a chapter states, and on how many seeds it holds.

    for one in own_sentences("07"):
        print(one.holds_in, one.words)

What a chapter says of a run is exact, or this run's ("here", "with this seed"), or a rule; and a rule is measured on ten seeds
at least. `tests/sentences/` quotes each and says how it is measured, `python -m benchmarks.sentences` measures them all and
writes evidence/own_sentences.csv, which is read here. Sentences that fell stand there too, with what took their place.
"""

import csv
from dataclasses import astuple, dataclass, fields
from math import ceil

from cllm_lib.claims.registry import csv_text, evidence_file
from cllm_lib.files import write_atomically

FILE = "own_sentences.csv"
SHARE = 0.9  # of the seeds, on which a rule has to hold
COMMAND = "python -m benchmarks.sentences"
EACH, TOGETHER = "each seed", "all seeds"  # how a sentence is judged


@dataclass(frozen=True)
class OwnSentence:
    """A rule of the book, or what once was one, after its trial.

    Attributes
    ----------
    chapter : str
        Such as "04".
    words : str
        As the chapter has them, or had; words left out are shown by " ... ".
    judged : str
        "each seed": on each it is true or not. "all seeds": it states a mean, a share or an interval, true of all together or not.
    seeds : tuple of int
    fell_on : tuple of int
        The seeds on which it is not true; all of them where all are judged together and it is not.
    instead : str
        What took its place; empty for a sentence that stands.
    """

    chapter: str
    words: str
    judged: str
    seeds: tuple
    fell_on: tuple
    instead: str = ""

    @property
    def n_holds(self):
        """The number of seeds on which it is true."""
        return len(self.seeds) - len(self.fell_on)

    @property
    def holds_in(self):
        """How often it is true, in words.

        >>> OwnSentence("04", "Adam is faster", "each seed", (0, 1, 2), (1,)).holds_in
        '2 of 3'
        """
        if self.judged == TOGETHER:
            return f"{'true' if self.stands else 'not true'} of all {len(self.seeds)} together"
        return f"{self.n_holds} of {len(self.seeds)}"

    @property
    def stands(self):
        """Whether it is true on nine seeds of ten."""
        return self.n_holds >= ceil(SHARE * len(self.seeds) - 1e-9)

    @property
    def as_told(self):
        """Whether it came out as the book has it: a rule stands, and a sentence that fell does not."""
        return self.stands != bool(self.instead)


def own_sentences(chapter=None, path=None):
    """Read the book's sentences that have been on trial, in the order of the book.

    Parameters
    ----------
    chapter : str, optional
        Such as "04"; all by default.
    path : path, optional
        Of another file than evidence/own_sentences.csv.

    Returns
    -------
    list of OwnSentence
    """
    path = evidence_file(FILE) if path is None else path
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        found = [_sentence(line) for line in csv.DictReader(file)]
    return [one for one in found if chapter in (None, one.chapter)]


def _sentence(line):
    seeds, fell_on = (tuple(int(seed) for seed in line[name].split()) for name in ("seeds", "fell_on"))
    return OwnSentence(line["chapter"], line["words"], line["judged"], seeds, fell_on, line["instead"])


def write_sentences(path, sentences):
    """Write sentences after their trial, a line each, with the command that measures it.

    Parameters
    ----------
    path : path
    sentences : iterable of OwnSentence
    """
    header = [*(field.name for field in fields(OwnSentence)), "command"]
    lines = [
        [" ".join(map(str, value)) if isinstance(value, tuple) else value for value in astuple(one)] + [f"{COMMAND} {one.chapter}"]
        for one in sentences
    ]
    write_atomically(path, csv_text(header, lines).encode("utf-8"))
