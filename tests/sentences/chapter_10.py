"""Rules of the chapter on training a language model."""

import functools
import tempfile
from pathlib import Path

import numpy as np
from sentences.trials import fallen, rule

from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.casebook import spoilt_texts
from cllm_lib.instruments import movements
from cllm_lib.instruments.diagnosis import HEALTHY_UPDATES
from cllm_lib.model import generate, softmax
from cllm_lib.text import KneserNeyTrigram
from cllm_lib.text.corpora import windows
from cllm_lib.training import validation_loss
from cllm_lib.workbook.exercises.chapter_10 import seen_before

SIZES = {"d_model": 64, "n_layers": 2, "n_heads": 4, "d_ff": 256, "tie_embeddings": False}
CONFIG = CLLMConfig(10_000, **SIZES)
RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2]
LN_V = float(np.log(10_000))


@functools.cache
def sayings():
    return load_corpus("sayings", validation_fraction=0.1)


def lowest(run, name):
    """The rate that the sweep would take."""
    return RATES[int(np.argmin(run[name]))]


def sweep(seed):
    """Both losses after three epochs, at each rate."""
    swept = {"training": [], "held out": []}
    for rate in RATES:
        trainer = Trainer(CLLM(CONFIG, seed=seed), sayings(), learning_rate=rate, seed=seed)
        swept["training"].append(trainer.fit(epochs=3).epoch_losses[-1])
        swept["held out"].append(validation_loss(trainer.model, sayings()))
    return swept


@rule("on the held-out text 0.003 is best for each", of=sweep)
def one_rate_is_best_on_the_held_out_text(swept):
    return lowest(swept, "held out") == 0.003


@rule("on the text trained on 0.003 or 0.01", of=sweep)
def two_rates_share_the_training_text(swept):
    return lowest(swept, "training") in (0.003, 0.01)


@fallen(
    "the rate that is quickest on its own text is not the best on the other",
    of=sweep,
    instead="With other seeds it may be",
)
def the_best_rates_differ(swept):
    return lowest(swept, "training") != lowest(swept, "held out")


# The run


def losses_by_word(model):
    """Mean losses of held-out words that stand in the training text, and of those that do not."""
    inputs, targets = windows(sayings().validation_tokens, 32)
    of_targets = np.take_along_axis(softmax(model.logits(inputs)), targets[..., None], axis=-1)[..., 0]
    old = np.isin(targets, sayings().train_tokens)
    return {"old": float(-np.log(of_targets[old]).mean()), "new": float(-np.log(of_targets[~old]).mean())}


def long_run(seed):
    """Thirty epochs: losses, what the model says, and how far its next step moves each part."""
    trainer = Trainer(CLLM(CONFIG, seed=seed), sayings(), learning_rate=3e-3, evaluate_every=8, seed=seed)
    history = trainer.fit(epochs=30)
    early = CLLM(CONFIG, seed=seed)
    early.flat_parameters[...] = trainer.best.parameters
    copied = {}
    for prompt in ("the sky is", "the sea is", "gold is"):
        said = generate(trainer.model, sayings().encode(prompt), 12, temperature=0)
        copied[prompt] = float(seen_before(sayings().train_tokens, said, 4))
    with tempfile.TemporaryDirectory() as folder:
        trainer.save(Path(folder) / "run.safetensors")
        continued = Trainer.resume(Path(folder) / "run.safetensors", sayings())
    continued.fit(steps=1)
    return {
        "training": history.epoch_losses,
        "held out": list(history.validation_losses.values()),
        "best epoch": losses_by_word(early),
        "last epoch": losses_by_word(trainer.model),
        "copied": copied,
        "moved": [part.update_ratio for part in movements(continued.model, trainer.model.flat_parameters)],
    }


def hoped_for(epoch):
    """What the documents promised: the lower of both curves as the chapter draws them."""
    first = float(np.interp(epoch, [0, 1, 5, 10], [9.2, 7.5, 6.0, 5.0]))
    return min(first, {1: 7.82, 2: 7.22, 3: 6.79}.get(epoch, first))


@rule("this sound model starts above what they hoped for and is below it from its second epoch on, epoch for epoch", of=long_run)
def it_passes_the_promises(run):
    return run["training"][0] > 7.82 and all(run["training"][epoch - 1] < hoped_for(epoch) for epoch in range(2, 11))


@rule("Then it falls through every level with a name", of=long_run)
def it_falls_through_every_level(run):
    return run["training"][-1] < sayings().bigram_entropy(32)


def best_epoch(run):
    return int(np.argmin(run["held out"])) + 1


@rule("with other seeds, too, the held-out loss is lowest in the first ten epochs, after epoch 3 with most", of=long_run, together=True)
def the_held_out_loss_turns_early(runs):
    epochs = [best_epoch(run) for run in runs]
    return max(epochs) <= 10 and epochs.count(3) > len(runs) / 2


@rule("and ends more than one and a half nats higher", of=long_run)
def it_climbs(run):
    return run["held out"][-1] > min(run["held out"]) + 1.5


@rule("Where it ends is up to the seed, in most runs above ln V.", of=long_run, together=True)
def it_ends_above_ln_v_in_most(runs):
    ends = np.array([run["held out"][-1] for run in runs])
    return (ends > LN_V).sum() > len(runs) / 2 and np.ptp(ends) > 0.5


@rule("New words cost most", of=long_run)
def new_words_cost_most(run):
    return all(run[when]["new"] > run[when]["old"] for when in ("best epoch", "last epoch"))


def risen(run, which):
    return run["last epoch"][which] - run["best epoch"][which]


@rule("But for old words in new company, too, the loss has risen", of=long_run)
def both_have_risen(run):
    return min(risen(run, "old"), risen(run, "new")) > 0


@rule("with other seeds mostly by one or more", of=long_run, together=True)
def mostly_by_a_nat(runs):
    return sum(risen(run, "old") >= 1 for run in runs) > len(runs) / 2


@rule("With most seeds one of the three or more is copied from end to end", of=long_run, together=True)
def most_recite(runs):
    return sum(max(run["copied"].values()) == 1 for run in runs) > len(runs) / 2


@rule("over all seeds more than half of the runs of four are copies", of=long_run, together=True)
def more_than_half_are_copies(runs):
    return np.mean([list(run["copied"].values()) for run in runs]) > 0.5


@fallen(
    "What it said of sky and sea are copies",
    of=long_run,
    instead="With most seeds one of the three or more is copied from end to end",
)
def sky_and_sea_are_copies(run):
    return run["copied"]["the sky is"] == run["copied"]["the sea is"] == 1


@rule("Every part moves by a healthy share, and the model over-fits", of=long_run)
def every_part_moves(run):
    return min(run["moved"]) > HEALTHY_UPDATES[0] and max(run["moved"]) < HEALTHY_UPDATES[1] and it_climbs(run)


# More text


def of_counting(corpus):
    """The held-out losses of counted words and counted triples."""
    size, train, held_out = len(corpus.vocabulary), corpus.train_tokens, corpus.validation_tokens
    counts = np.bincount(train.astype(np.intp), minlength=size) + 1
    chances = {"words": (counts / counts.sum())[held_out], "triples": KneserNeyTrigram(train, size).probabilities(held_out)}
    return {name: float(-np.log(of).mean()) for name, of in chances.items()}


def stopped_in_time(seed):
    """The model of the prose at its best, by how much it is ahead of counting, and when it was stopped."""
    prose = load_corpus("prose", validation_fraction=0.15)
    model, every = CLLM(CLLMConfig(len(prose.vocabulary), **SIZES), seed=seed), prose.batches_per_epoch(8, 32)
    trainer = Trainer(model, prose, evaluate_every=every, learning_rate=1e-3, batch_size=8, patience=4, seed=seed)
    epochs = len(trainer.fit(epochs=40).epoch_losses)
    best = {"epochs": epochs, "best epoch": trainer.best.step // every, "loss": trainer.best.loss}
    return best | {name: loss - trainer.best.loss for name, loss in of_counting(prose).items()}


def read_once(seed):
    """The same of Python's documentation after one epoch."""
    docs = load_corpus("python-docs", vocab_size=2_000, validation_fraction=0.1)
    model = CLLM(CLLMConfig(len(docs.vocabulary), **SIZES), seed=seed)
    Trainer(model, docs, learning_rate=3e-3, batch_size=16, seed=seed).fit(epochs=1)
    loss = validation_loss(model, docs)
    return {"loss": loss} | {name: counted - loss for name, counted in of_counting(docs).items()}


@rule("With other seeds it is 0.1 to 0.4 better than words, and 0.3 to 0.6 worse than triples.", of=stopped_in_time)
def between_words_and_triples(best):
    return 0.1 <= round(best["words"], 2) <= 0.4 and 0.3 <= round(-best["triples"], 2) <= 0.6


@rule("With other seeds it is 0.4 to 0.7 below counted words, and 0.2 to 0.5 above triples.", of=read_once)
def nearer_to_triples(read):
    return 0.4 <= round(read["words"], 2) <= 0.7 and 0.2 <= round(-read["triples"], 2) <= 0.5


# Five texts


def pupils(seed):
    """The last training loss and the best held-out one on each text."""
    found, layers = {}, {"d_model": 32, "n_layers": 1, "n_heads": 4, "d_ff": 64, "tie_embeddings": False}
    texts = spoilt_texts()
    config = CLLMConfig(len(texts["S"].vocabulary), **layers)
    for name, text in texts.items():
        every = text.batches_per_epoch(16, 32)
        pupil = Trainer(CLLM(config, seed=seed), text, evaluate_every=every, learning_rate=1e-2, batch_size=16, seed=seed)
        found[name] = {"training": pupil.fit(epochs=12).epoch_losses[-1], "held out": pupil.best.loss}
    return found


@rule("both are too good", of=pupils)
def two_losses_are_too_good(found):
    others = [found[name] for name in "BDES"]
    return found["A"]["training"] < 0.05 and found["C"]["held out"] < min(one["held out"] for one in others) - 1


@rule("On text that it had not read, no network in this chapter came below 5.", of=pupils)
def none_comes_below_five(found):
    return min(found[name]["held out"] for name in "ABDES") > 5


@rule(
    "with other seeds, too, E looks slow beside it, by more than a nat, D by half a nat or so, and B harmless",
    of=pupils,
)
def two_look_slow(found):
    more = {name: found[name]["training"] - found["S"]["training"] for name in "BDE"}
    return more["E"] > 1 and 0.3 < more["D"] < 0.7 and abs(more["B"]) < 0.25
