"""Rules of the chapter on where a word stands. Seeds whose runs are stored are read, others are trained as these were."""

import numpy as np
from sentences.trials import fallen, rule

from benchmarks.positions import MODEL, SHORT, STEPS, TRAINING, measure_task, measure_text, tasks
from cllm_lib import CLLM, CLLMConfig, Trainer, defects
from cllm_lib.claims import stored
from cllm_lib.experiments import paired_difference
from cllm_lib.model import POSITIONS
from cllm_lib.training import cosine

TABLES = ("sinusoidal", "spiral", "clock", "prime", "learned")
TELLING = (*TABLES, "rotary")
FALLING = ("learned", "prime", "spiral", "sinusoidal")
BOTH = (0, 1)  # at 16, and at 64
TWENTY = (*range(10), *range(20, 30))


def rows_of(measure, seed):
    """Of each of the eight two numbers: at 16, as trained, and at 64."""
    kept = stored("positions")
    if seed in kept["seeds"]:
        return {name: kept["rows"][measure][name][kept["seeds"].index(seed)] for name in POSITIONS}
    if measure == "prose":
        return {name: measure_text(STEPS[measure], name, seed) for name in POSITIONS}
    return {name: measure_task(tasks()[measure], STEPS[measure], name, seed) for name in POSITIONS}


def at(row, length):
    return {name: row[name][length] for name in POSITIONS}


def first(shares):
    return max(shares, key=shares.get)


def last(shares):
    return min(shares, key=shares.get)


def mean(runs, name, length):
    return np.mean([run[name][length] for run in runs])


# Three steps back


def steps_back(seed):
    return rows_of("steps back", seed)


@rule("any telling of places will do, as long as there are no more of them than in training", of=steps_back)
def any_telling_will_do(row):
    return min(row[name][0] for name in TELLING) > 0.97


@rule("about what a heap of letters is worth at that length", of=steps_back)
def none_is_a_heap(row):
    return abs(row["none"][0] - stored("positions")["levels"]["steps back"]["without order"][0]) < 0.02


@rule("Rotary leads with each seed", of=steps_back)
def rotary_leads(row):
    return first(at(row, 1)) == "rotary"


@rule("Second in the mean is the program's clock, a little before", of=steps_back, together=True)
def the_clock_is_second_in_the_mean(runs):
    order = sorted(POSITIONS, key=lambda name: -mean(runs, name, 1))
    return order[1:3] == ["clock", "distance_bias"]


@fallen(
    "Second is the program's clock",
    of=steps_back,
    seeds=range(10, 20),
    instead="Second in the mean is the program's clock, a little before",
)
def the_clock_is_second(row):
    return sorted(POSITIONS, key=lambda name: -row[name][1])[1] == "clock"


@rule("with each seed it is before all other tables", of=steps_back)
def the_clock_is_before_the_tables(row):
    return first({name: row[name][1] for name in TABLES}) == "clock"


@rule("gets about half at both lengths", of=steps_back)
def the_bias_gets_half(row):
    return all(0.4 < share < 0.6 for share in row["distance_bias"])


@rule("The last is none or the primes, from seed to seed", of=steps_back)
def none_or_the_primes_are_last(row):
    return last(at(row, 1)) in ("none", "prime")


@rule("are still above none with each seed, by little", of=steps_back)
def learned_rows_are_above_none(row):
    return 0 < row["learned"][1] - row["none"][1] < 0.1


# The last follower


def last_follower(seed):
    return rows_of("last follower", seed)


@rule("Learned rows are first at 16 with each seed (1.00)", of=last_follower)
def learned_rows_are_first(row):
    return first(at(row, 0)) == "learned" and row["learned"][0] > 0.995


@rule("The distance bias loses some two hundredths in going to four times the length, and is first there with each seed", of=last_follower)
def the_bias_keeps_what_it_has(row):
    return first(at(row, 1)) == "distance_bias" and 0.005 < row["distance_bias"][0] - row["distance_bias"][1] < 0.035


@rule("learned rows and primes with each seed, spiral and sinusoidal rows with most", of=last_follower, together=True)
def four_end_below_none(runs):
    below = {name: np.mean([run[name][1] < run["none"][1] for run in runs]) for name in FALLING}
    return min(below["learned"], below["prime"]) == 1 and min(below["spiral"], below["sinusoidal"]) > 0.5


@rule("Which of the four is the last depends on the seed.", of=last_follower, together=True)
def any_of_the_four_is_last(runs):
    those = [last(at(run, 1)) for run in runs]
    return set(those) <= set(FALLING) and max(those.count(name) for name in FALLING) <= 0.6 * len(runs)


@fallen(
    "Learned rows are last at 64",
    of=last_follower,
    instead="Which of the four is the last depends on the seed.",
)
def learned_rows_are_last(row):
    return last(at(row, 1)) == "learned"


# Attention as coded


def as_coded(seed):
    """Shares of right answers at 16: with lattice-aware attention, and with plain attention."""
    task, found = tasks()["last follower"], {}
    for name, part in {"lattice-aware": defects.LatticeAwareAttention(), "plain": None}.items():
        model = CLLM(CLLMConfig(len(task.vocabulary), **MODEL, tie_embeddings=False), seed=seed, attention=part)
        Trainer(model, task, **TRAINING, seed=seed, schedule=cosine(STEPS[task.name])).fit(steps=STEPS[task.name])
        found[name] = task.accuracy(model, np.random.default_rng(1), count=500, length=SHORT)
    return found


@rule("Lattice-aware attention learns next to nothing beyond the heap of letters", of=as_coded)
def as_coded_it_learns_the_heap(shares):
    return abs(shares["lattice-aware"] - stored("positions")["levels"]["last follower"]["without order"][0]) < 0.05


@rule("and gets two tenths less than attention that knows no positions at all, or worse", of=as_coded)
def as_coded_it_is_worse_than_none(shares):
    return shares["lattice-aware"] < shares["plain"] - 0.2


# A text


def prose(seed):
    return rows_of("prose", seed)


def harm(row, name, length):
    return row[name][length] - row["none"][length]


def shows_no_harm(runs, name):
    """Whether the interval of the differences to none reaches below 0, at both lengths."""
    return all(paired_difference([run[name][i] for run in runs], [run["none"][i] for run in runs]).low < 0 for i in BOTH)


@fallen(
    "Of rotary and distance bias no harm shows",
    of=prose,
    seeds=range(20, 30),
    together=True,
    instead="Distance bias costs nothing that shows; rotary costs less than half a tenth of a nat in the mean",
)
def two_do_no_harm(runs):
    return shows_no_harm(runs, "distance_bias") and shows_no_harm(runs, "rotary")


@rule(
    "Distance bias costs nothing that shows; rotary costs less than half a tenth of a nat in the mean",
    of=prose,
    seeds=TWENTY,
    together=True,
)
def two_cost_little(runs):
    return shows_no_harm(runs, "distance_bias") and all(np.mean([harm(run, "rotary", i) for run in runs]) < 0.05 for i in BOTH)


@rule("the program's spiral and clock cost a tenth of a nat in the mean at both lengths", of=prose, seeds=TWENTY, together=True)
def spiral_and_clock_cost_a_tenth(runs):
    return all(0.05 < np.mean([harm(run, name, length) for run in runs]) < 0.15 for name in ("spiral", "clock") for length in BOTH)


@rule("and something with nine seeds in ten or more; the primes do so at 64", of=prose, seeds=TWENTY)
def they_cost_something(row):
    return min(*(harm(row, name, length) for name in ("spiral", "clock") for length in BOTH), harm(row, "prime", 1)) > 0
