"""The verdicts once more, by the frozen protocol and with seeds that nobody has seen: `make evidence SEEDS=200..219`.

What is run, how, and what follows from it stands in evidence/protocol.json, which has to be committed before; where a rule has
changed since, nothing is run. The runs go to evidence/fresh/, the verdicts to evidence/fresh.csv; where a verdict changes, the
table says undecided.
"""

import functools
import json
import re

from benchmarks import positions, similarity
from benchmarks.run import say
from cllm_lib import claims
from cllm_lib.claims import changed, crystalline, judging, protocol, registry
from cllm_lib.claims.questions import LEAST_SEEDS
from cllm_lib.experiments import runs as experiments
from cllm_lib.files import write_atomically

CHOOSING = ("tuning",)  # what chooses stays as it was: only what judges is drawn anew
ON_DEMAND_SEEDS = 10  # of what takes minutes a run


def numbers_of(words):
    """The seeds that "200..219" or "200,203" name.

    Raises
    ------
    ValueError
        If it is neither.
    """
    whole = re.fullmatch(r"(\d+)\.\.(\d+)", words)
    if not whole and not re.fullmatch(r"\d+(,\d+)*", words):
        raise ValueError(f"--seeds is {words!r}: give a range such as 200..219, or numbers such as 200,201,202")
    return tuple(range(int(whole[1]), int(whole[2]) + 1) if whole else sorted({int(seed) for seed in words.split(",")}))


def seeds_of(words):
    """The seeds that such words name, which nobody has used.

    Raises
    ------
    ValueError
        If they name fewer than ten, or some that the first runs have used.
    """
    seeds = numbers_of(words)
    used = sorted({seed for one in claims.EXPERIMENTS.values() for seed in one.seeds} & {*seeds})
    if used:
        raise ValueError(f"--seeds names {used[0]}, which the first runs have used: fresh ones are those nobody has seen, such as 200..219")
    if len(seeds) < LEAST_SEEDS:
        raise ValueError(f"--seeds names {len(seeds)}: where chance has a part, no verdict without {LEAST_SEEDS} at least")
    return seeds


def check_protocol():
    """The commit of the protocol; stop if a rule has changed since, or it is not committed."""
    changed = protocol.changes()
    if changed:
        raise SystemExit(
            f"The rules are not those of evidence/{protocol.FILE} any more: {'; '.join(changed[:3])}. Freeze them anew by "
            "`python -m benchmarks.evidence --freeze`, commit that, and take seeds that nobody has seen since."
        )
    try:
        return protocol.commit_of(registry.evidence_file(protocol.FILE))
    except RuntimeError as error:
        raise SystemExit(str(error)) from None


def measure(folder, cache, seeds, n_jobs=-1, report=say):
    """Run all that the verdicts rest on with other seeds, and write it to a folder as `evidence/` has it."""
    of_its_own = changed.judges()  # what changed since 2017 is no claim of the documents
    for name, one in claims.EXPERIMENTS.items():
        if name in CHOOSING or one.measure.__module__ in of_its_own:
            continue
        chosen = seeds[:ON_DEMAND_SEEDS] if one.on_demand else seeds
        made = claims.recompute(name, variants=one.variants, seeds=chosen, texts=one.texts, n_jobs=n_jobs, cache=cache, progress=True)
        write_atomically(folder / f"{name}.csv", registry.csv_of_runs(made).encode("utf-8"))
        report(f"{name}: {len(made):,} numbers with {len(chosen)} fresh seeds")
    _write(folder / "measured" / "positions.json", _positions(seeds, cache, n_jobs))
    _write(folder / "measured" / "similarity.json", _similarities(seeds, cache, n_jobs))


def _positions(seeds, cache, n_jobs):
    """As evidence/measured/positions.json, of what the verdicts ask for."""
    asked = {"prose": ("none", *crystalline.CRYSTALLINE_POSITIONS)} | {task: ("none", name) for task, name in crystalline.GAIN}
    steps = claims.stored("positions")["steps"]
    rows = {name: positions.measure(name, steps[name], variants, seeds, n_jobs, cache) for name, variants in asked.items()}
    return {"command": __doc__.splitlines()[0], "seeds": list(seeds), "steps": steps, "rows": rows}


def _similarities(seeds, cache, n_jobs):
    """As the losses of evidence/measured/similarity.json, of what the verdicts ask for; its times stay as they were."""
    train = functools.partial(similarity.train, "prose")
    found = experiments.run(train, similarity.VARIANTS, seeds, n_jobs=n_jobs, cache=cache, progress=True)
    best = {kind: similarity.chosen(found, kind) for kind in (similarity.FEATURES, similarity.SHUFFLED, similarity.UNIFORM)}
    losses = [{"text": "prose", "seeds": list(seeds), "chosen": best}]
    return claims.stored("similarity") | {"losses": losses}


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode("utf-8"))


def judge(path, seeds, commit, first=None):
    """Judge every claim by the fresh runs, beside the first ones, and write both verdicts.

    Returns
    -------
    list of dict
        The lines that were written, of claims in which chance has a part.
    """
    first = [row for row in (judging.judged() if first is None else first) if row.n_seeds is not None]
    with registry.reading(registry.FRESH):
        again = {(row.chapter, row.claim): row for row in judging.judged()}
    named = f"{min(seeds)} to {max(seeds)}"
    lines = [
        dict(zip(judging.FRESH_COLUMNS, (row.chapter, row.claim, row.verdict, other.verdict, named, commit, other.measured), strict=True))
        for row in first
        for other in [again[row.chapter, row.claim]]
    ]
    write_atomically(path, registry.csv_text(judging.FRESH_COLUMNS, (line.values() for line in lines)).encode("utf-8"))
    return lines


def summary(lines):
    """How many verdicts stayed."""
    kinds = [(judging.kind_of(line["verdict"]), judging.kind_of(line["fresh_verdict"])) for line in lines]
    stayed = sum(one == other for one, other in kinds)
    how = f"With fresh seeds ({lines[0]['seeds']}), by the protocol of commit {lines[0]['protocol']}"
    return f"{how}, {stayed} of {len(lines)} verdicts stayed."
