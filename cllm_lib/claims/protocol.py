"""The frozen protocol: every rule of the table, written down and committed before the seeds that it judges are drawn.

`evidence/protocol.json` holds the questions of each row with threshold, margin and kind of interval, the seeds, what the first
runs let so many seeds see (the power), and a fingerprint of the code that turns numbers into verdicts; and the comparisons of
:mod:`~cllm_lib.claims.changed`, a family of their own. Whoever changes a rule afterwards is seen: :func:`changes` names the row.
"""

import ast
import dataclasses
import hashlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

from cllm_lib.claims import changed, judging, questions, registry
from cllm_lib.experiments import intervals
from cllm_lib.experiments.intervals import CONFIDENCE

FILE = "protocol.json"
POWER = "smallest difference from the threshold that so many seeds tell four times in five"


def protocol():
    """The rules as they stand in the code now, and what the stored runs say of their power.

    Returns
    -------
    dict
        As JSON holds it; the same twice.
    """
    rows = {}
    for row in judging.table():
        effects = {one.question.name: one for one in row.effects if one.question is not None}
        rows[f"{row.chapter}: {row.claim}"] = {
            "source": row.source,
            "experiment": row.experiment,
            "would change our mind": row.change_our_mind,
            "questions": [_question(one, effects[one.name]) for one in row.asks],
        }
    return {
        "correction": f"Bonferroni: all intervals of {questions.comparisons()} questions hold at once at {CONFIDENCE:.0%}",
        "power": POWER,
        "seeds": {name: _seeds(one.seeds) for name, one in sorted(registry.EXPERIMENTS.items())},
        "judges": {module.__name__: _code(module) for module in _judges()},
        "rows": rows,
        "changes": changed.rules(),
    }


def _question(question, effect):
    detectable = None if effect.detectable is None else float(f"{effect.detectable:.3g}")
    return dataclasses.asdict(question) | {"seeds": effect.n_seeds, "detectable": detectable}


def _seeds(seeds):
    seeds = sorted(seeds)
    return f"{seeds[0]} to {seeds[-1]}" if seeds == list(range(seeds[0], seeds[-1] + 1)) else ", ".join(map(str, seeds))


def _judges():
    """The modules that turn numbers into verdicts, in order of their names."""
    modules = {inspect.getmodule(inspect.unwrap(one.judge)) for group in judging._CLAIMS.values() for one in group.values()}
    modules |= {sys.modules[name] for name in changed.judges()}
    return sorted({*modules, judging, questions, intervals}, key=lambda module: module.__name__)


def _code(module):
    """A fingerprint of what a module does: comments, docstrings and layout change nothing."""
    tree = ast.parse(inspect.getsource(module))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            node.body = body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def stored():
    """The protocol as it was frozen.

    Raises
    ------
    FileNotFoundError
        If there is none; the error says how one is made.
    """
    path = registry.evidence_file(FILE)
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}: `python -m benchmarks.evidence --freeze` writes it, before any seed is drawn")
    return json.loads(path.read_text(encoding="utf-8"))


def changes(frozen=None, now=None):
    """Where the rules in the code are not those of the protocol: one sentence each, none if nothing changed.

    Parameters
    ----------
    frozen, now : dict, optional
        As :func:`stored` and :func:`protocol` give them.

    Returns
    -------
    list of str
    """
    frozen, now = stored() if frozen is None else frozen, protocol() if now is None else now
    found = [
        f"{name!r} is judged by other code" for name in sorted({*frozen["judges"], *now["judges"]}) if _differ("judges", name, frozen, now)
    ]
    found += _other_rows(frozen["rows"], now["rows"], _rules)
    found += _other_rows(frozen["changes"]["comparisons"], now["changes"]["comparisons"], lambda rules: rules)
    families = ((frozen, now), (frozen["changes"], now["changes"]))
    return found + [f"the correction was {then['correction']!r}" for then, new in families if then["correction"] != new["correction"]]


def _other_rows(frozen, now, rules_of):
    """Rows that came in, went, or have other rules: one sentence each."""
    found = []
    for name in sorted({*frozen, *now}):
        if name not in frozen or name not in now:
            found.append(f"{name!r} {'has come in' if name in now else 'is gone'}")
        elif rules_of(frozen[name]) != rules_of(now[name]):
            found.append(f"{name!r} has other rules")
    return found


def _differ(part, name, one, other):
    return one[part].get(name) != other[part].get(name)


def _rules(row):
    """Of a row of the protocol, what is decided before the runs."""
    asked = [{key: value for key, value in one.items() if key not in ("seeds", "detectable")} for one in row["questions"]]
    return row["would change our mind"], asked


def commit_of(path):
    """The commit in which a file last changed, in seven characters.

    Raises
    ------
    RuntimeError
        If it was changed since, or git does not know it: then nobody can check that it came before the runs.
    """

    def git(*words):
        return subprocess.run(["git", *words, "--", path.name], cwd=Path(path).parent, capture_output=True, text=True, check=False)

    if git("status", "--porcelain").stdout.strip() or not (found := git("log", "-1", "--format=%h", "--abbrev=7").stdout.strip()):
        raise RuntimeError(f"{path} is not committed as it stands: commit it first, so that anybody can see that it is older than the runs")
    return re.match(r"\w{7}", found).group()
