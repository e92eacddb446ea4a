"""Which question next: beliefs over defects, updated by Bayes' rule from a table of words, and the information per cost.

The table, evidence/case_files.csv, holds what each instrument measured of six patients with each defect and of thirty healthy
ones. `python -m benchmarks.case_files` makes it.
"""

import csv
from functools import lru_cache

import numpy as np

from cllm_lib.casebook import faults
from cllm_lib.casebook.building import read
from cllm_lib.casebook.faults import HEALTHY
from cllm_lib.casebook.settings import HEALTHY_SHARE
from cllm_lib.files import shipped
from cllm_lib.instruments import kit

TABLE = "case_files.csv"
SURE = 0.98  # belief at which the solver stops asking
DOUBT = {True: 0.002, False: 0.3}  # added to the counts of a word, said and not said: for what theory makes certain, and for signs
NOTHING_MORE = 1e-3  # nats: a question that tells less is not asked
SHARE = 5 / 6  # of a defect's patients, for an instrument that can tell it


@lru_cache(maxsize=1)
def table():
    """The table: what each instrument measured of each patient.

    Returns
    -------
    list of (str, dict of str to dict)
        The defect, and for each instrument its numbers by name; none where it refused.
    """
    with open(shipped("evidence", TABLE), encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    heads = [head.split(": ", 1) for head in rows[0][1:]]
    patients = []
    for row in rows[1:]:
        readings = {name: {} for name, _ in heads}
        for (instrument, name), value in zip(heads, row[1:], strict=True):
            if value:
                readings[instrument][name] = float(value)
        patients.append((row[0], readings))
    return patients


@lru_cache(maxsize=1)
def words_of_patients():
    """For each patient of the table its defect, and for each instrument the words it says, as a frozenset."""
    return [(defect, {name: frozenset(kit.words_for(kit.ALL[name], numbers[name])) for name in kit.ALL}) for defect, numbers in table()]


class Experience:
    """What some patients taught: how likely each answer is under each defect.

    Parameters
    ----------
    patients : list of (str, dict of str to frozenset)
        As :func:`words_of_patients` gives them.
    """

    def __init__(self, patients):
        self.names = [HEALTHY, *faults.ALL]
        places = {name: i for i, name in enumerate(self.names)}
        owners = np.array([places[defect] for defect, _ in patients], dtype=np.intp)
        counts = np.bincount(owners, minlength=len(self.names)).astype(np.float64)
        self.answers, self.likelihoods, self._shares, self._words = {}, {}, {}, {}
        for instrument, tool in kit.ALL.items():
            words = [word.name for word in tool.words] + [kit.REFUSED]
            doubt = np.array([DOUBT[word.certain] for word in tool.words] + [DOUBT[True]])
            said = np.array([[word in readings[instrument] for word in words] for _, readings in patients], dtype=np.float64)
            share = np.stack([np.bincount(owners, weights=column, minlength=len(self.names)) for column in said.T], axis=1)
            self._shares[instrument], self._words[instrument] = (share + doubt) / (counts[:, None] + 2.0 * doubt), words
            self.answers[instrument] = sorted({readings[instrument] for _, readings in patients}, key=sorted)
            likelihood = np.array([self.likelihood(instrument, answer) for answer in self.answers[instrument]])
            self.likelihoods[instrument] = likelihood / likelihood.sum(axis=0)  # (answers, defects)

    def likelihood(self, instrument, words):  # -> (n_defects,)
        """How likely an instrument says just these words, under each defect: naive Bayes, word by word."""
        said = np.array([word in words for word in self._words[instrument]])
        shares = self._shares[instrument]
        return np.where(said, shares, 1.0 - shares).prod(axis=1)


@lru_cache(maxsize=1)
def experience():
    """What the whole table taught."""
    return Experience(words_of_patients())


def prior(settings):
    """The belief before any question: the share of the healthy, and the rest divided among the defects that settings allow.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    dict of str to float
        By defect; they sum to 1.
    """
    fitting = [name for name, fault in faults.ALL.items() if fault.applies(settings)]
    return {HEALTHY: HEALTHY_SHARE} | {name: (1.0 - HEALTHY_SHARE) / len(fitting) if name in fitting else 0.0 for name in faults.ALL}


def updated(belief, instrument, words, known=None):
    """The belief after an answer, by Bayes' rule.

    Parameters
    ----------
    belief : dict of str to float
    instrument : str
    words : collection of str
        What it said.
    known : Experience, optional
        The whole table's by default.

    Returns
    -------
    dict of str to float
    """
    known = known or experience()
    joint = np.array([belief[name] for name in known.names]) * known.likelihood(instrument, words)
    return dict(zip(known.names, (joint / joint.sum()).tolist(), strict=True))


def information(belief, instrument, known=None):
    """Expected information of a question, in nats: by how much the entropy of the belief will fall on average.

    Parameters
    ----------
    belief : dict of str to float
    instrument : str
    known : Experience, optional

    Returns
    -------
    float

    Notes
    -----
    Lindley 1956, "On a Measure of the Information Provided by an Experiment", section 3; mutual information.
    """
    known = known or experience()
    weights = np.array([belief[name] for name in known.names])
    joint = known.likelihoods[instrument] * weights  # (answers, defects)
    chance = joint.sum(axis=1)
    after = joint[chance > 0.0] / chance[chance > 0.0, None]
    return float(_entropy(weights) - chance[chance > 0.0] @ np.array([_entropy(row) for row in after]))


def _entropy(weights):
    positive = weights[weights > 0.0]
    return float(-(positive * np.log(positive)).sum())


def best_question(belief, asked=(), known=None):
    """The question with the most expected information for its cost.

    Parameters
    ----------
    belief : dict of str to float
    asked : collection of str
        Not to be asked again.
    known : Experience, optional

    Returns
    -------
    str or None
        None where no question tells anything more.
    """
    worth = {name: information(belief, name, known) for name in kit.ALL if name not in asked}
    worth = {name: told / kit.ALL[name].cost for name, told in worth.items() if told > NOTHING_MORE}
    return max(worth, key=worth.get) if worth else None


def solve(case, known=None):
    """Ask the best question, and the next best, until one defect is as good as certain.

    Parameters
    ----------
    case : Case
        It stays open.
    known : Experience, optional

    Returns
    -------
    accused : str
    asked : list of str
        In order.
    """
    belief, asked = prior(case.settings), []
    while max(belief.values()) < SURE:
        question = best_question(belief, asked, known)
        if question is None:
            break
        asked.append(question)
        belief = updated(belief, question, case.ask(question).words, known)
    return max(belief, key=belief.get), asked


def shares_told():
    """How many of a defect's patients show a word, instrument by instrument, that no healthy patient shows.

    Returns
    -------
    dict of str to dict of str to float
        By instrument and defect: a share of the defect's patients in the table.
    """
    patients = words_of_patients()
    shares = {}
    for name in kit.ALL:
        usual = frozenset().union(*(readings[name] for defect, readings in patients if defect == HEALTHY))
        told = {fault: [bool(readings[name] - usual) for defect, readings in patients if defect == fault] for fault in faults.ALL}
        shares[name] = {fault: sum(said) / max(len(said), 1) for fault, said in told.items()}  # of one newer than the table: none
    return shares


@lru_cache(maxsize=1)
def told_by():
    """For each defect the instruments that can tell it: most of its patients show a word there that no healthy one shows."""
    shares = shares_told()
    return {fault: tuple(name for name in kit.ALL if shares[name][fault] >= SHARE) for fault in faults.ALL}


def difficulties():
    """How hard each defect is: 1 where five instruments or more can tell it, 3 where one alone can, 2 between."""
    return {name: 1 if len(tools) >= 5 else 2 if len(tools) >= 2 else 3 for name, tools in told_by().items()}


def most_telling(defect, settings, patient):
    """The question that tells most of a patient, for its cost, and what it says.

    Parameters
    ----------
    defect : str
        The truth.
    settings : Settings
    patient : Patient

    Returns
    -------
    instrument : str
    words : tuple of str
    """
    before = prior(settings)
    found = {}
    for name in told_by()[defect] or faults.ALL[defect].told_by:
        words = read(patient, name).words
        after = updated(before, name, words)[defect]
        found[name] = (np.log(after / before[defect]) / kit.ALL[name].cost, words)
    best = max(found, key=lambda name: found[name][0])
    return best, found[best][1]
