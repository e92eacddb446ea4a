"""Rules of the chapter on Adam."""

import functools

import numpy as np
from sentences.trials import fallen, rule

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.training import SGD, Adam, Momentum, RMSProp, learning_rate_range_test
from cllm_lib.workbook.exercises.chapter_07 import uncorrected

SGD_RATES = (0.03, 0.1, 0.2, 0.3, 0.5, 1.0)


def corpus_and_sizes():
    corpus = load_corpus("sayings")
    small = CLLMConfig(len(corpus.vocabulary), d_model=48, n_layers=2, n_heads=4, d_ff=96)
    return corpus, small, CLLMConfig(10_000, d_model=128, n_layers=2, n_heads=4, d_ff=512)


def fixed_batch():
    return next(corpus_and_sizes()[0].batches(4, 32, np.random.default_rng(0)))


def last_epoch(seed, optimizer, **settings):
    """The mean loss of the small model's tenth epoch; a run that blew up counts as infinite, or so."""
    corpus, small, _ = corpus_and_sizes()
    with np.errstate(all="ignore"):
        trainer = Trainer(CLLM(small, seed=seed), corpus, optimizer=optimizer, seed=seed, stop_when_not_finite=False, **settings)
        return float(np.nan_to_num(trainer.fit(epochs=10).epoch_losses[-1], nan=1e9, posinf=1e9))


# One epoch of the model of 10,000 words


def one_epoch(seed):
    """The loss on the fixed batch after an epoch at each rate."""
    corpus, _, large = corpus_and_sizes()
    found = {}
    for name, make, tried in (("SGD", SGD, (0.1, 0.2, 0.3, 0.5)), ("Adam", Adam, (0.003,))):
        for rate in tried:
            model = CLLM(large, seed=seed)
            with np.errstate(all="ignore"):
                Trainer(model, corpus, optimizer=make(rate), seed=seed, stop_when_not_finite=False).fit(epochs=1)
                found[f"{name} {rate}"] = float(np.nan_to_num(model.loss(*fixed_batch()), nan=1e9, posinf=1e9))
    return found


@rule("Adam at 0.003 ended below SGD at 0.1, 0.2, 0.3 and 0.5, by 0.7 nats or more", of=one_epoch)
def adam_is_ahead_after_an_epoch(found):
    return min(loss for name, loss in found.items() if name.startswith("SGD")) - found["Adam 0.003"] >= 0.7


# Ten epochs of the small one


def race(seed):
    """The last of ten epochs of each optimiser at each of its rates, and of Adam without momentum and without corrections."""
    entrants = {"SGD": (SGD, SGD_RATES), "momentum": (Momentum, (0.01, 0.03, 0.1))}
    entrants |= {"RMSProp": (RMSProp, (0.0003, 0.001, 0.003)), "Adam": (Adam, (0.001, 0.003, 0.01))}
    entrants |= {"beta1=0": (functools.partial(Adam, beta1=0.0), (0.003, 0.01))}
    found = {f"{name} {rate}": last_epoch(seed, make(rate)) for name, (make, rates) in entrants.items() for rate in rates}
    for rate in (0.001, 0.003):
        found[f"uncorrected {rate}"] = last_epoch(seed, Adam(rate), schedule=lambda step: uncorrected(step + 1))
    return found


def lowest(found, name, rates=None):
    """The rate at which an optimiser ends lowest, and where."""
    ends = {float(key.split()[1]): loss for key, loss in found.items() if key.split()[0] == name}
    best = min((rate for rate in ends if rates is None or rate in rates), key=ends.get)
    return best, ends[best]


@rule("the best of six rates, 30 to 1,000 times the one SGD had been given, was 100, 200 or 300 times that one", of=race)
def the_best_rate_of_sgd(found):
    return lowest(found, "SGD")[0] in (0.1, 0.2, 0.3)


@rule("With other seeds some runs blew up so; the others came back and ended worse than at 0.1.", of=race, together=True)
def a_thousand_times_is_too_much(runs):
    blown = sum(found["SGD 1.0"] >= 10 for found in runs)
    return 0 < blown < len(runs) and all(found["SGD 1.0"] > found["SGD 0.1"] for found in runs)


@rule("over ten seeds, never a quarter of a nat apart", of=race)
def momentum_is_a_larger_rate(found):
    return abs(found["momentum 0.01"] - found["SGD 0.1"]) < 0.25


@rule("with each of ten seeds it ended a nat or more behind the corrected one", of=race)
def uncorrected_steps_cost(found):
    return found["uncorrected 0.003"] - found["Adam 0.003"] >= 1


@rule("leaving the corrections out is better, with each of the ten", of=race)
def uncorrected_steps_help(found):
    return found["uncorrected 0.001"] < found["Adam 0.001"]


@rule("With each of ten seeds the order is this one: Adam, RMSProp, momentum, SGD.", of=race)
def the_order(found):
    ends = [
        lowest(found, name, rates)[1] for name, rates in (("Adam", None), ("RMSProp", None), ("momentum", None), ("SGD", (0.1, 0.3, 1.0)))
    ]
    return ends == sorted(ends)


@rule("At 0.003 it ends where Adam does, with ten seeds never a quarter of a nat apart", of=race)
def the_dividing_does_it(found):
    return abs(found["beta1=0 0.003"] - found["Adam 0.003"]) < 0.25


@rule("At 0.01 it stands at about the unigram entropy", of=race)
def without_momentum_it_stands(found):
    return abs(found["beta1=0 0.01"] - corpus_and_sizes()[0].unigram_entropy(32)) < 0.25


@rule("at 0.01 it ended above momentum's best with some of the ten seeds", of=race, together=True)
def adam_is_no_magic(runs):
    return 0 < sum(found["Adam 0.01"] > lowest(found, "momentum")[1] for found in runs) < len(runs)


@rule("and with momentum Adam ended lower, by more than 0.3 nats on the mean of ten seeds", of=race, together=True)
def momentum_bears_long_steps(runs):
    return np.mean([found["beta1=0 0.01"] - found["Adam 0.01"] for found in runs]) > 0.3


@rule("the best of the three rates in the race was 0.003", of=race)
def the_best_rate_of_adam(found):
    return lowest(found, "Adam")[0] == 0.003


def range_test(seed):
    """A third of the rate with the lowest smoothed loss."""
    corpus, small, _ = corpus_and_sizes()
    tried = {"lowest": 1e-5, "highest": 0.1, "steps": 90}
    rates, losses = learning_rate_range_test(CLLM(small, seed=seed), corpus, Adam, **tried)
    smooth = np.convolve(losses, np.ones(9) / 9, mode="valid")
    return float(rates[4:-4][smooth.argmin()] / 3)


@rule("0.003 to 0.01 over ten seeds", of=range_test)
def the_usual_caution(rate):
    return 0.003 <= rate <= 0.01


@fallen("0.004 to 0.007 over ten seeds", of=range_test, instead="0.003 to 0.01 over ten seeds", together=True)
def a_narrower_caution(rates):
    return all(0.0035 <= rate < 0.0075 for rate in rates)


def typical_gradients(seed):
    """The typical size of each tensor's first gradient."""
    _, gradients = CLLM(corpus_and_sizes()[1], seed=seed).loss_and_gradients(*fixed_batch())
    return {name: float(np.sqrt((gradient**2).mean())) for name, gradient in gradients.items()}


@rule("400,000 times and more with each of ten seeds", of=typical_gradients)
def nearly_a_millionfold(typical):
    four = ("embedding", "layers.0.attention.query_weight", "layers.0.attention.value_bias", "layers.1.attention.query_weight")
    return max(typical[name] for name in four) > 400_000 * min(typical[name] for name in four)


@rule("the middle half within a factor of five each time", of=typical_gradients)
def most_lie_close_together(typical):
    low, high = np.quantile(list(typical.values()), (0.25, 0.75))
    return high < 5 * low


# Only embeddings


def only_embeddings(seed):
    """The losses of four epochs on the text of letters, and with Adam for the embedding alone those of thirty."""
    patterns = load_corpus("patterns")
    config = CLLMConfig(len(patterns.vocabulary), d_model=32, n_layers=2, n_heads=4, d_ff=64, seq_len=10)
    makers = {
        "SGD": (lambda model: defects.OnlyEmbeddings(model, SGD(0.001)), 4),
        "Adam": (lambda model: defects.OnlyEmbeddings(model, Adam(0.003)), 30),
        "everything": (lambda model: Adam(0.003), 4),
    }
    found = {}
    for name, (make, epochs) in makers.items():
        model = CLLM(config, seed=seed)
        trainer = Trainer(model, patterns, optimizer=make(model), batch_size=32, seed=seed)
        found[name] = [float(loss) for loss in trainer.fit(epochs=epochs).epoch_losses]
    return found


def entropies_of_letters():
    patterns = load_corpus("patterns")
    return patterns.unigram_entropy(10), patterns.bigram_entropy(10), patterns.best_loss


@rule("With the program's SGD it crawls near the unigram entropy.", of=only_embeddings)
def it_crawls(found):
    return abs(found["SGD"][-1] - entropies_of_letters()[0]) < 0.1


@rule("With Adam it goes below the bigram entropy, with each of ten seeds", of=only_embeddings)
def it_goes_below(found):
    return found["Adam"][3] < entropies_of_letters()[1]


@rule("But it does not get near the best possible loss, which the whole model approaches.", of=only_embeddings)
def not_near_the_best(found):
    best = entropies_of_letters()[2]
    return found["Adam"][3] > best + 0.5 and found["everything"][-1] < best + 0.3


@rule("Left alone for 30 epochs it flattened near 1.5, with each of ten seeds", of=only_embeddings)
def it_flattens(found):
    return 1.45 <= found["Adam"][-1] < 1.55 and found["Adam"][-6] - found["Adam"][-1] < 0.02
