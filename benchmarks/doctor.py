"""How well the doctor for PyTorch does beside its peers: `python -m benchmarks.doctor --peers`.

    python -m benchmarks.doctor                     # the doctor alone, on seeds 0 to 2; prints, and writes nothing
    python -m benchmarks.doctor --seeds 10..12      # on others
    python -m benchmarks.doctor --peers             # and both peers: page, JSON and README's sentence
    python -m benchmarks.doctor --script            # the broken script of chapter 20 and its repairs: stored for those without PyTorch
    python -m benchmarks.doctor --only frozen       # set-ups of one cause ("sound": of none); prints, and writes nothing

The sets of set-ups (`benchmarks/torch_setups/`) were written by three who had not seen the doctor's code, and ten are public reports
rebuilt. Each set-up has one planted fault, or none: what the doctor says is right if it names the fault, and of a sound one if it
says nothing. The peers are asked about the first set.
"""

import argparse
import json
import os
import time

from benchmarks import torch_peers
from benchmarks.case_files import spread_over
from benchmarks.evidence import say_in_readme
from benchmarks.run import describe_machine, say, table
from benchmarks.torch_setups.case import CAUSES
from benchmarks.torch_setups.sets import AT_FIRST_SIGHT, FIRST, REPORTS
from cllm_lib.casebook import script
from cllm_lib.files import shipped, write_atomically

COMMAND = "python -m benchmarks.doctor --peers"
RESULTS, PAGE = shipped("evidence", "measured/doctor.json"), shipped("evidence", "pages/DOCTOR.md")
SEEDS = range(3)
DOCTOR = "the doctor"
SOUND = "sound"
MARKS = "<!-- the doctor, by `python -m benchmarks.doctor --peers` -->", "<!-- end of the doctor -->"


def examined(parts):
    """What the doctor says of a set-up, in the form of :func:`benchmarks.torch_peers.ask`."""
    from cllm_lib.instruments.torch import examine

    began, crashed, said, named = time.perf_counter(), "", [], []
    try:
        report = examine(**parts)
        if not report.is_healthy:
            said, named = [str(report.verdict)], [report.cause] if report.cause else []
    except Exception as error:
        crashed = f"{type(error).__name__}: {error}"
    return {"said": said, "named": named, "crashed": crashed, "late": False, "seconds": round(time.perf_counter() - began, 2)}


def judged(job):
    """One set-up with one seed, put before everybody: a row."""
    import warnings

    import torch

    from benchmarks.torch_setups.sets import sets

    group, name, seed, asked = job
    torch.set_num_threads(1)  # one for each process; a model this small is no faster with two
    setup = sets()[group][name]
    row = {"set": group, "setup": name, "architecture": setup.architecture, "cause": setup.cause, "seed": seed, "answers": {}}
    for who in asked:
        torch.manual_seed(seed)
        parts = setup.build(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row["answers"][who] = examined(parts) if who == DOCTOR else torch_peers.ask(who, setup, parts)
    return row


def is_named(row, who):
    """Whether somebody has named the planted fault."""
    return row["cause"] is not None and row["cause"] in row["answers"][who]["named"]


def spoke_up(row, who):
    """Whether somebody has found anything at all."""
    return bool(row["answers"][who]["said"])


def summary(rows, who):
    """Counts over all rows.

    Returns
    -------
    dict
        faulty, named, spoke up (named or not), sound, blamed, crashed (of all), late (of all), seconds (the most for one).
    """
    faulty, sound = ([row for row in rows if (row["cause"] is None) == healthy] for healthy in (False, True))
    answers = [row["answers"][who] for row in rows]
    return {
        "faulty": len(faulty),
        "named": sum(is_named(row, who) for row in faulty),
        "spoke up": sum(spoke_up(row, who) for row in faulty),
        "sound": len(sound),
        "blamed": sum(spoke_up(row, who) for row in sound),
        "crashed": sum(bool(answer["crashed"]) for answer in answers),
        "late": sum(answer["late"] for answer in answers),
        "seconds": round(max(answer["seconds"] for answer in answers), 2),
    }


def by_cause(rows, who):
    """Of how many set-ups with each cause it was named: {cause: (named, all)}, in the order of CAUSES."""
    found = {cause: [is_named(row, who) for row in rows if row["cause"] == cause] for cause in CAUSES}
    return {cause: (sum(named), len(named)) for cause, named in found.items() if named}


def mark(row, who):
    """A word for the table: what came of asking."""
    answer = row["answers"][who]
    if is_named(row, who):
        return "named"
    if answer["said"]:
        return f"says {', '.join(answer['named'])}" if who == DOCTOR and answer["named"] else "spoke up" if row["cause"] else "blamed"
    if answer["crashed"]:
        return "crashed"
    if answer["late"]:
        return "out of time"
    return "missed" if row["cause"] else "silent"


def asked_of(rows):
    """Who was asked, in order."""
    return list(rows[0]["answers"])


def counts(marks):
    """Marks of several seeds as one cell: the word, with how often it came if not always."""
    kinds = dict.fromkeys(marks)
    return marks[0] if len(kinds) == 1 else ", ".join(f"{kind} ({marks.count(kind)})" for kind in kinds)


def table_of_setups(rows):
    """A line for each set-up, over all seeds."""
    who, lines = asked_of(rows), []
    for name in dict.fromkeys(row["setup"] for row in rows):
        of_it = [row for row in rows if row["setup"] == name]
        marks = [counts([mark(row, one) for row in of_it]) for one in who]
        lines.append([of_it[0]["cause"] or SOUND, name, of_it[0]["architecture"], *marks])
    return table(["cause", "set-up", "architecture", *who], lines)


def table_of_summaries(rows):
    """A line for each who was asked."""
    lines = []
    for who in asked_of(rows):
        s = summary(rows, who)
        shares = [f"{s[one]} of {s[total]}" for one, total in [("named", "faulty"), ("spoke up", "faulty"), ("blamed", "sound")]]
        lines.append([who, *shares, str(s["crashed"]), str(s["late"]), f"{s['seconds']:.1f}"])
    return table(["", "named rightly", "spoke up", "sound ones blamed", "crashed", "out of time", "seconds, the most"], lines)


def table_of_causes(rows):
    """A line for each cause."""
    found = {who: by_cause(rows, who) for who in asked_of(rows)}
    first = next(iter(found.values()))
    return table(["cause", "of", *found], [[cause, str(first[cause][1]), *(str(f[cause][0]) for f in found.values())] for cause in first])


def table_of_sets(rows):
    """A line for each set: what the doctor made of it, now and at first sight."""
    lines = []
    for group in dict.fromkeys(row["set"] for row in rows):
        s = summary([row for row in rows if row["set"] == group], DOCTOR)
        commit, named, blamed = AT_FIRST_SIGHT.get(group, ("", "", ""))
        now = [f"{s['named']} of {s['faulty']}", f"{s['blamed']} of {s['sound']}", f"{s['seconds']:.1f}"]
        lines.append([group, *now, f"{named}; {blamed} ({commit})" if commit else "mended meanwhile by them"])
    return table(["set", "named rightly", "sound ones blamed", "seconds, the most", "at first sight (commit)"], lines)


def table_of_reports(rows):
    """A line for each public report: its fault, and what the doctor says of it."""
    lines = []
    for row in rows:
        if row["cause"] is not None and row["seed"] == rows[0]["seed"]:
            answer = row["answers"][DOCTOR]
            verdict = answer["said"][0] if answer["said"] else answer["crashed"] or "nothing"
            lines.append([row["setup"], row["architecture"], row["cause"], verdict, "right" if is_named(row, DOCTOR) else "wrong"])
    return table(["report", "thread", "its cause", "the doctor", ""], lines)


def page(found):
    """What was measured, to be read."""
    every = found["rows"]
    rows = [row for row in every if row["set"] == FIRST]
    setups = len({row["setup"] for row in rows})
    reports = [row for row in every if row["set"] == REPORTS]
    faulty = len({row["setup"] for row in rows if row["cause"]})
    mapped = [[f"{torch_peers.CHECKLIST}: {name}", ", ".join(sorted(causes)) or "none"] for name, causes in found["checks"].items()]
    mapped += [[f'{torch_peers.TORCHDIAG}: "{words}"', ", ".join(sorted(causes)) or "none"] for words, causes in found["words"].items()]
    paragraphs = [
        "# The doctor for PyTorch, beside its peers",
        f"Written by `{found['command']}`. Machine: {found['machine'].rstrip('.')}. {_versions(found['versions'])}",
        f"{setups} set-ups, {faulty} of them with one planted fault ({len({row['cause'] for row in rows} - {None})} causes), the others "
        f"sound; seeds {', '.join(map(str, found['seeds']))}. They were written by somebody who had not seen the doctor's code. Named "
        "rightly: the planted fault is named. Spoke up: anything at all was found. A peer has "
        f"{torch_peers.LIMIT:.0f} s for a set-up; what it found until then counts, and a check that raised anything but its own "
        "assertion counts as crashed, beside what the others found.",
        "\n".join(table_of_summaries(rows)),
        "The doctor on all sets; only what stands under at first sight was said before anything was mended by the set:",
        "\n".join(table_of_sets(every)),
        *(["Public reports of trainings that would not learn, rebuilt small:", "\n".join(table_of_reports(reports))] if reports else []),
        "Named rightly, by cause:",
        "\n".join(table_of_causes(rows)),
        f"A peer counts as having named a cause if a check that is about it failed. `{torch_peers.CHECKLIST}` is asked check by check, "
        "all of them, though its own calls stop at the first that fails; with the reader's loss wherever a check takes one; checks of the "
        "first loss are left out where weights were trained before. Which are about what:",
        "\n".join(table(["check, or words", "about"], mapped)),
        "All set-ups:",
        "\n".join(table_of_setups(rows)),
    ]
    return "\n\n".join(paragraphs) + "\n"


def in_short(found):
    """What came out, in the words of README.md."""
    rows = found["rows"]
    groups = [group for group in dict.fromkeys(row["set"] for row in rows) if group in AT_FIRST_SIGHT]
    now = summary([row for row in rows if row["set"] in groups], DOCTOR)
    named, blamed = (_sums(AT_FIRST_SIGHT[group][k] for group in groups) for k in (1, 2))
    first = [row for row in rows if row["set"] == FIRST]
    peers = []
    for who in asked_of(first)[1:]:
        s = summary(first, who)
        peers.append(f"`{who}` names {s['named']} of {s['faulty']} and speaks up in {s['blamed']} of {s['sound']} sound ones")
    seeds = "seed " + ", ".join(map(str, found["seeds"]))
    return (
        f"It was put before {len(groups)} sets of small trainings, written by others who had not seen its code. At first sight it named "
        f"the fault in {named}, and accused {blamed} sound ones; since it was mended by them, {now['named']} of {now['faulty']} and "
        f"{now['blamed']} of {now['sound']} ({seeds}). On the first set, {'; '.join(peers)}. All of them, and ten public "
        "reports: [evidence/pages/DOCTOR.md](evidence/pages/DOCTOR.md)."
    )


def _sums(shares):
    """Several shares, each as `3 of 4`, as one."""
    parts = [[int(n) for n in share.split(" of ")] for share in shares]
    return f"{sum(one for one, _ in parts)} of {sum(all_ for _, all_ in parts)}"


def _versions(versions):
    return "; ".join(f"{name} {number}" for name, number in versions.items()) + "."


def versions():
    """Of what was compared."""
    from importlib import metadata

    return {name: metadata.version(name).split("+")[0] for name in ("torch", torch_peers.CHECKLIST, torch_peers.TORCHDIAG)}


def seeds_of(words):
    """`3` or `0..2`, both ends included."""
    first, _, last = words.partition("..")
    try:
        found = range(int(first), int(last or first) + 1)
    except ValueError:
        found = ()
    if not found:
        raise argparse.ArgumentTypeError(f"seeds are written as 0..2 or 5, not {words!r}")
    return found


def store_script():
    """The answers about chapter 20's script, stage by stage."""
    from importlib import metadata

    answers = {script.key(text): list(script.measured(text)) for text in script.stages()}
    found = {
        "command": "python -m benchmarks.doctor --script",
        "machine": describe_machine(),
        "torch": metadata.version("torch").split("+")[0],
    }
    write_atomically(shipped("evidence", script.STORED), (json.dumps(found | {"answers": answers}, indent=1) + "\n").encode())
    for verdict, cause, losses in answers.values():
        say(f"{cause}: {losses}\n  {verdict}")


def as_json(found):
    """What was measured as JSON, one row a line."""
    rows = ",\n".join(json.dumps(row) for row in found["rows"])
    others = {name: value for name, value in found.items() if name != "rows"}
    return json.dumps(others, indent=1).removesuffix("\n}") + f',\n "rows": [\n{rows}\n ]\n}}\n'


def jobs_for(seeds, only, asked):
    """Set, set-up, seed and who is asked: the peers of the first set alone, whose owners' tasks they were told."""
    from benchmarks.torch_setups.sets import sets

    return [
        (group, name, seed, asked if group == FIRST else [DOCTOR])
        for group, members in sets().items()
        for name, one in members.items()
        if only in (None, one.cause or SOUND)
        for seed in seeds
    ]


def main(arguments=None):
    """Measure, write, say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=seeds_of, default=SEEDS, help="such as 0..2, the default")
    parser.add_argument("--peers", action="store_true", help="ask both peers too, and write page and JSON")
    parser.add_argument("--only", metavar="CAUSE", choices=[*CAUSES, SOUND], help="set-ups of one cause, or the sound ones")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--script", action="store_true", help="examine the script of chapter 20, and store what was said")
    options = parser.parse_args(arguments)
    if options.script:
        store_script()
        return
    asked = [DOCTOR, *torch_peers.PEERS] if options.peers else [DOCTOR]
    jobs = jobs_for(options.seeds, options.only, asked)
    rows = spread_over(judged, jobs, "set-ups", options.workers)
    first = [row for row in rows if row["set"] == FIRST] or rows
    say("\n".join([*table_of_setups(first), "", *table_of_causes(first), "", *table_of_summaries(first), "", *table_of_sets(rows)]))
    for row in rows:
        for who, answer in row["answers"].items():
            if who == DOCTOR and answer["crashed"]:
                say(f"{row['setup']}, seed {row['seed']}: {answer['crashed']}")
    if not options.peers or options.only:
        return
    found = {
        "command": COMMAND,
        "machine": describe_machine(),
        "versions": versions(),
        "seeds": list(options.seeds),
        "summary": {who: summary(first, who) for who in asked},
        "by cause": {who: by_cause(first, who) for who in asked},
        "checks": {name: sorted(causes) for name, causes in torch_peers.NAMED_BY_CHECK.items()},
        "words": {words: sorted(causes) for words, causes in torch_peers.NAMED_BY_WORDS.items()},
        "rows": rows,
    }
    write_atomically(RESULTS, as_json(found).encode())
    write_atomically(PAGE, page(found).encode())
    say_in_readme(in_short(found), marks=MARKS)


if __name__ == "__main__":
    main()
