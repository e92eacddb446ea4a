"""How well the case files can be solved: `python -m benchmarks.case_files`; some ten minutes on two cores.

    python -m benchmarks.case_files --table           # evidence/case_files.csv: what each instrument measures of each defect
    python -m benchmarks.case_files --fresh 1000      # 200 fresh cases, from that seed on
    python -m benchmarks.case_files --times           # would a clock tell what no word says? beside the healthy twin's times
    python -m benchmarks.case_files                   # both, and separation and cross-validation: page and JSON

The words are frozen by a fingerprint of their files, stored with the table; fresh cases are drawn afterwards, and a fresh
measurement says whether the words are still those.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import median
from types import SimpleNamespace

import numpy as np

from benchmarks.run import describe_machine, say, table
from cllm_lib import casebook
from cllm_lib.casebook import belief, building, cases, faults
from cllm_lib.casebook.curves import looks_healthy
from cllm_lib.files import PACKAGE, shipped, write_atomically
from cllm_lib.instruments import kit
from cllm_lib.progress import progress_bar

COMMAND = "python -m benchmarks.case_files"
TABLE, RESULTS = shipped("evidence", belief.TABLE), shipped("evidence", "measured/case_files.json")
PAGE = shipped("evidence", "pages/CASE_FILES.md")
SICK, HEALTHY = 6, 30  # patients in the table
ADMITTED = 10  # patients of each defect, for separation
FOLDS = 5
FRESH, FIRST = 200, 1_000
ROUNDS = 2  # of timing, the patient and its healthy twin in turn
STEP = "a step of training"
FROZEN = ("instruments/kit", "casebook/faults")  # the files that make words and defects


def fingerprint():
    """SHA-256 over the files that say what words mean and what defects do; the two catalogues, which hold none, left out."""
    found = hashlib.sha256()
    for folder in FROZEN:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            if path.name != "catalogue.py":
                found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:16]


def drawn(purpose, defect, number):
    """A patient with that defect; each purpose has patients of its own."""
    place = [casebook.HEALTHY, *faults.ALL].index(defect)
    return casebook.patient_of(defect, np.random.default_rng([purpose, place, number]))


def measured(job):
    """Everything that the instruments measure of one patient: its settings, and numbers by instrument."""
    purpose, defect, number = job
    with cases._silence():  # as in a case
        patient = drawn(purpose, defect, number)
        readings = {name: building.read(patient, name) for name in kit.ALL}
        healthy_curve = looks_healthy(patient.trained.history.losses, patient.settings.vocab_size)
        told = defect == casebook.HEALTHY or cases.is_told(defect, patient)
    return defect, number, {name: reading.numbers for name, reading in readings.items()}, healthy_curve, told


def spread_over(function, jobs, what, workers):
    """`function` of every job, in several processes, in the order of the jobs."""
    with ProcessPoolExecutor(workers) as pool, progress_bar(total=len(jobs), unit="case", desc=what, visible=True) as bar:
        found = []
        for one in pool.map(function, jobs):
            found.append(one)
            bar.update()
    return found


def jobs_for(purpose, sick, healthy):
    """Patients of each defect, and healthy ones."""
    return [(purpose, casebook.HEALTHY, k) for k in range(healthy)] + [(purpose, name, k) for name in faults.ALL for k in range(sick)]


def write_table(rows):
    """The table as a CSV file: a line a patient, a column a number."""
    heads = [(name, number) for name in kit.ALL for number in sorted({n for _, _, found, *_ in rows for n in found[name]})]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["defect", *(f"{name}: {number}" for name, number in heads)])
    for defect, _, found, *_ in rows:
        writer.writerow([defect, *(f"{found[name][number]:.9g}" if number in found[name] else "" for name, number in heads)])
    write_atomically(TABLE, text.getvalue().encode())
    for cached in (belief.table, belief.words_of_patients, belief.experience, belief.told_by):
        cached.cache_clear()


def said(found):
    """The words of a patient, with their instruments."""
    return {(name, word) for name in kit.ALL for word in kit.words_for(kit.ALL[name], found[name])}


def separation(rows):
    """For each defect how many of its patients show a word that no healthy one shows."""
    usual = set().union(*(said(found) for defect, _, found, *_ in rows if defect == casebook.HEALTHY))
    return {name: sum(bool(said(found) - usual) for defect, _, found, *_ in rows if defect == name) for name in faults.ALL}


def recorded(settings, readings):
    """A case that answers from what was measured."""

    def ask(name):
        return SimpleNamespace(words=readings[name])

    return SimpleNamespace(settings=settings, ask=ask)


def cross_validated(rows):
    """Five-fold: each fifth of the table's patients solved with what the other four taught. Returns (truth, accused, asked)."""
    patients = [(defect, {n: frozenset(kit.words_for(kit.ALL[n], found[n])) for n in kit.ALL}) for defect, _, found, *_ in rows]
    solved = []
    for fold in range(FOLDS):
        known = casebook.Experience([patient for k, patient in enumerate(patients) if k % FOLDS != fold])
        for k in range(fold, len(rows), FOLDS):
            defect, number, *_ = rows[k]
            case = recorded(drawn(1, defect, number).settings, patients[k][1])
            solved.append((defect, *casebook.solve(case, known)))
    return solved


def solved_fresh(seed):
    """One fresh case, solved: truth, accused, questions, whether its curve looks healthy, how many draws were refused."""
    case = casebook.admit(seed)
    file = cases._FILES[case]
    accused, asked = casebook.solve(case)
    return file.defect, accused, asked, looks_healthy(case.losses, case.settings.vocab_size), file.refused


def summary(solved):
    """Shares and medians of a list of (truth, accused, asked, ...)."""
    sick = [row for row in solved if row[0] != casebook.HEALTHY]
    healthy = [row for row in solved if row[0] == casebook.HEALTHY]
    return {
        "cases": len(solved),
        "right": sum(row[0] == row[1] for row in solved),
        "healthy": len(healthy),
        "acquitted": sum(row[1] == casebook.HEALTHY for row in healthy),
        "questions": {"all": median(len(row[2]) for row in solved), "sick": median(len(row[2]) for row in sick),
                      "healthy": median(len(row[2]) for row in healthy) if healthy else None},
        "confused": sorted([[*pair, n] for pair, n in Counter((row[0], row[1]) for row in solved if row[0] != row[1]).items()]),
    }  # fmt: skip


def fresh(first, count, workers):
    """Fresh cases from a seed on."""
    solved = spread_over(solved_fresh, range(first, first + count), "fresh cases", workers)
    refused = sum(row[4] for row in solved)
    found = summary(solved) | {"first seed": first, "refused": refused, "words": fingerprint()}
    return found | {"looks healthy": sum(row[3] for row in solved)}


def timed(job):
    """Seconds of a step and of each reading: of a patient, and of its healthy twin on the same settings, in turn. The least of some.

    A reading counts only where it says the same words of both: where the words differ, whoever asked has been told already.
    """
    purpose, defect, number = job
    with cases._silence():
        patient = drawn(purpose, defect, number)
        twin = cases.Patient(patient.settings, partial(building.assembled, patient.settings), patient.steps)
        alike = {STEP} | {name for name in kit.ALL if building.read(patient, name).words == building.read(twin, name).words}
        least = {}
        for _ in range(ROUNDS):
            for who, one in enumerate((patient, twin)):
                one.__dict__.pop("trained", None)
                spent = {STEP: _seconds(lambda one=one: one.trained) / one.steps}
                spent |= {name: _seconds(lambda one=one, name=name: building.read(one, name)) for name in kit.ALL}
                for name, seconds in spent.items():
                    least[name, who] = min(seconds, least.get((name, who), seconds))
    return defect, {name: (least[name, 0], least[name, 1]) for name, who in least if who == 0 and name in alike}


def _seconds(work):
    """Of the processor, so that what others do beside it counts less."""
    began = time.process_time()
    work()
    return time.process_time() - began


def seen_by_a_clock(found):
    """What a clock would tell, of a list of (defect, seconds of patient and of healthy twin by what was timed).

    Parameters
    ----------
    found : list of (str, dict of str to (float, float))
        What was not timed of a patient is left out of its dictionary.

    Returns
    -------
    spread : dict of str to (float, float)
        By what was timed: the shortest and the longest of the healthy, of the sick's twins too, each with settings of its own,
        as a share of their median. Whoever knows times of other healthy trainings sees what lies beyond.
    noise : dict of str to (float, float)
        The least and the largest ratio of a healthy one to its healthy twin.
    outside : list of (str, str, float)
        Defect, what was timed, and the ratio of patient to twin (the median over a defect's patients): those beyond the spread.
    beside_a_twin : list of (str, str, float)
        Those beyond the noise, by a tenth at least: whoever trains a healthy twin by himself sees these.
    """
    spread, noise, outside, beside = {}, {}, [], []
    for what in dict.fromkeys(name for _, seconds in found for name in seconds):
        timed = [(defect, *seconds[what]) for defect, seconds in found if what in seconds]
        twins = [twin for _, _, twin in timed]
        spread[what] = min(twins) / median(twins), max(twins) / median(twins)
        same = [one / twin for defect, one, twin in timed if defect == casebook.HEALTHY]
        noise[what] = min(same), max(same)
        for name in dict.fromkeys(defect for defect, _, _ in timed if defect != casebook.HEALTHY):
            ratio = median(one / twin for defect, one, twin in timed if defect == name)
            if not spread[what][0] <= ratio <= spread[what][1]:
                outside.append((name, what, ratio))
            if not noise[what][0] / 1.1 <= ratio <= 1.1 * noise[what][1]:
                beside.append((name, what, ratio))
    return spread, noise, outside, beside


def times(workers, sick=1, healthy=12):
    """Measure, and say what a clock would tell."""
    spread, noise, outside, beside = seen_by_a_clock(spread_over(timed, jobs_for(3, sick, healthy), "by the clock", workers))
    rows = [[what, *(f"{x:.2f}" for x in (*spread[what], *noise[what]))] for what in spread]
    say("\n".join(table(["timed", "shortest", "longest", "same settings, least", "largest"], rows)))
    for title, found in {
        "Beyond the spread of healthy ones of other settings": outside,
        "Beyond the noise beside a healthy twin": beside,
    }.items():
        rows = [[name, what, f"{ratio:.2f}"] for name, what, ratio in found]
        say(f"\n{title}:\n" + ("\n".join(table(["defect", "timed", "ratio"], rows)) if rows else "none"))


def main(arguments=None):
    """Measure, write, say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="make the table only")
    parser.add_argument("--fresh", type=int, metavar="SEED", help="solve 200 cases from that seed on, and write nothing")
    parser.add_argument("--times", action="store_true", help="tell what a clock would tell and no word, and write nothing")
    parser.add_argument("--count", type=int, default=FRESH, help="how many fresh cases")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args(arguments)
    if options.fresh is not None:
        say(json.dumps(fresh(options.fresh, options.count, options.workers), indent=1))
        return
    if options.times:
        times(options.workers)
        return
    rows = spread_over(measured, jobs_for(1, SICK, HEALTHY), "the table", options.workers)
    write_table(rows)
    if options.table:
        return
    others = spread_over(measured, jobs_for(2, ADMITTED, HEALTHY), "separation", options.workers)
    found = {
        "command": COMMAND,
        "machine": describe_machine(),
        "words": fingerprint(),
        "defects": len(faults.ALL),
        "instruments": len(kit.ALL),
        "separation": separation(others),
        "admitted": {name: sum(told for defect, *_, told in others if defect == name) for name in faults.ALL},
        "looks healthy": {
            name: float(np.mean([curve for d, _, _, curve, _ in others if d == name])) for name in [casebook.HEALTHY, *faults.ALL]
        },
        "five-fold": summary(cross_validated(rows)),
        "fresh": fresh(FIRST, options.count, options.workers),
        "told by": {name: len(tools) for name, tools in casebook.told_by().items()},
    }
    write_atomically(RESULTS, (json.dumps(found, indent=1) + "\n").encode())
    write_atomically(PAGE, page(found).encode())


def page(found):
    """What was measured, to be read."""
    folds, new = found["five-fold"], found["fresh"]
    rows = [
        [name, f"{found['separation'][name]} of {ADMITTED}", str(found["told by"][name]), f"{share:.0%}"]
        for name, share in found["looks healthy"].items()
        if name in faults.ALL
    ]
    confused = [[truth, accused, str(count)] for truth, accused, count in new["confused"] + folds["confused"]]
    seeds = f"seeds {new['first seed']} to {new['first seed'] + new['cases'] - 1}"
    paragraphs = [
        "# Case files",
        f"Written by `{found['command']}`. Machine: {found['machine'].rstrip('.')}. Words: {found['words']}.",
        f"{found['defects']} defects and healthy trainings, {found['instruments']} instruments; the table has {SICK} patients of each "
        f"defect and {HEALTHY} healthy ones.",
        f"Five-fold over the table: {_told(folds)}",
        f"Fresh cases, {seeds}, drawn after the words were frozen: {_told(new)} {new['looks healthy']} of {new['cases']} loss curves look "
        f"healthy. {new['refused']} draws were refused.",
        "Taken for another, fresh and five-fold:",
        "\n".join(table(["defect", "accused", "times"], confused)) if confused else "none",
        "Patients that show a word that none of thirty healthy ones shows; instruments that can tell; loss curves that look healthy:",
        "\n".join(table(["defect", "told", "instruments", "curve looks healthy"], rows)),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _told(found):
    asked, right = found["questions"], f"{found['right']} of {found['cases']} right"
    medians = f"{asked['all']:g} questions in the median ({asked['sick']:g} for the sick, {asked['healthy']:g} for the healthy)"
    return f"{right}, {found['acquitted']} of {found['healthy']} healthy acquitted, {medians}."


if __name__ == "__main__":
    main()
