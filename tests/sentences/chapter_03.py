"""Rules of the chapter on real attention."""

import functools

import numpy as np
from sentences.trials import rule

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.model import CausalSelfAttention, attention_weights, softmax
from cllm_lib.text import AssociativeRecall, windows


class Equal(CausalSelfAttention):
    """A plain mean of the values in sight: scores of 0, whatever queries and keys say."""

    def attend(self, query, key, value):
        return super().attend(0.0 * query, 0.0 * key, value)

    def attend_backward(self, d_output, cache):
        d_query, d_key, d_value = super().attend_backward(d_output, cache)
        return 0.0 * d_query, 0.0 * d_key, d_value


class Frozen(CausalSelfAttention):
    """Queries, keys and values stay as they were drawn; all other gradients are true."""

    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {name: g if name.startswith("output") else np.zeros_like(g) for name, g in gradients.items()}


# The sayings, and the floor


def curve(corpus, attention, pairs, epochs, seed, positions="none"):
    """The loss of the chapter's model over all pairs, after each epoch."""
    sizes = {"d_model": 64, "n_layers": 1, "n_heads": 4, "d_ff": 128, "seq_len": 32}
    model = CLLM(CLLMConfig(len(corpus.vocabulary), **sizes, tie_embeddings=False, positions=positions), seed, attention=attention())
    trainer = Trainer(model, corpus, learning_rate=3e-3, batch_size=4, seed=seed)
    losses = []
    for _ in range(epochs):
        trainer.fit(1)
        losses.append(float(model.loss(*pairs)))
    return losses


def sayings(seed):
    """On the words of the training: blind, seeing, with equal looks, and blind with positions; and the floors."""
    corpus = load_corpus("sayings")
    train = functools.partial(curve, corpus, pairs=windows(corpus.train_tokens, 32), seed=seed)
    return {
        "blind": train(defects.SimplifiedAttention, epochs=40),
        "seeing": train(CausalSelfAttention, epochs=40),
        "equal": train(Equal, epochs=20),
        "clock": train(defects.SimplifiedAttention, epochs=40, positions="learned")[-1],
        "floors": [float(corpus.bigram_entropy(32)), float(corpus.positional_entropy(32))],
    }


@rule("comes down to the line, to within a tenth of 1.53, and does not cross it", of=sayings)
def it_comes_to_the_line(found):
    floor = found["floors"][0]
    return floor < min(found["blind"]) and found["blind"][-1] < floor + 0.1


@rule("Real attention goes through as if there were no line.", of=sayings)
def real_attention_goes_through(found):
    return found["seeing"][-1] < found["floors"][0] / 2


@rule("after one epoch ... the blind model is even a little ahead", of=sayings)
def the_blind_one_is_ahead_at_first(found):
    return 0 < found["seeing"][0] - found["blind"][0] < 0.5


@rule("The floor drops by more than a nat, and the model follows it down, to within a tenth.", of=sayings)
def the_clock_takes_it_down(found):
    without, with_clock = found["floors"]
    return without - with_clock > 1 and with_clock < found["clock"] < with_clock + 0.1


@rule("The control passes the floor as well, and lies within a tenth of real attention all the way, with each of ten seeds.", of=sayings)
def a_mean_is_as_good(found):
    apart = np.abs(np.subtract(found["equal"], found["seeing"][:20]))
    return found["equal"][-1] < found["floors"][0] and apart.max() < 0.1


def held_out(seed):
    """On the last 15 % of the sayings, kept from training."""
    corpus = load_corpus("sayings", validation_fraction=0.15)
    unseen = windows(corpus.validation_tokens, 32)
    parts = {"blind": defects.SimplifiedAttention, "seeing": CausalSelfAttention}
    return {name: curve(corpus, part, unseen, 40, seed) for name, part in parts.items()}


@rule("Both are at their best after an epoch or two, and then no more than half a nat below 5.63.", of=held_out)
def at_their_best_early(found):
    return all(np.argmin(losses) < 2 and min(losses) > np.log(280) - 0.5 for losses in found.values())


@rule("in the end both do worse there than who knows nothing: real attention by more. (The same with ten seeds of ten.)", of=held_out)
def worse_than_nothing(found):
    return np.log(280) < found["blind"][-1] < found["seeing"][-1]


# Why divide


def spread(seed):
    """The entropy of the weights of random scores, undivided and divided, by the length of the vectors."""
    generator, found = np.random.default_rng(seed), {"undivided": [], "divided": []}
    for d in (1, 4, 16, 64, 256, 1024):
        scores = generator.standard_normal((200, d)) @ generator.standard_normal((d, 32))
        for name, divisor in (("undivided", 1.0), ("divided", np.sqrt(d))):
            weights = softmax(scores / divisor)
            found[name].append(float(-(weights * np.log(weights, where=weights > 0, out=np.zeros_like(weights))).sum(-1).mean()))
    return found


@rule("the weights of random scores collapse onto a single key as d grows; divided by root d, they stay spread", of=spread)
def undivided_they_collapse(found):
    falls = np.diff(found["undivided"]).max() < 0
    return falls and found["undivided"][-1] < 0.2 and np.ptp(found["divided"][1:]) < 0.2 and min(found["divided"][1:]) > 2.8


# Recall

TASK = AssociativeRecall(n_pairs=6)


def recall_model(part, seed, n_layers=1, d_model=24, steps=300, learning_rate=1e-2):
    sizes = {"d_model": d_model, "n_layers": n_layers, "n_heads": 4, "d_ff": 4 * d_model, "seq_len": TASK.seq_len}
    model = CLLM(CLLMConfig(len(TASK.vocabulary), **sizes, tie_embeddings=False, positions="learned"), seed, attention=part)
    sequences = AssociativeRecall(n_pairs=6, batches_in_epoch=steps)
    Trainer(model, sequences, learning_rate=learning_rate, batch_size=32, seed=seed).fit(1)
    return model


def answered(model):
    return TASK.accuracy(model, np.random.default_rng(7), count=500)


def looks(model):
    """The share of its look that each head gives to the right pair."""
    shares = []
    for row in TASK.sequences(50, np.random.default_rng(2)):
        weights = attention_weights(model, row[:-1])[0]
        letters = [TASK.vocabulary[token][0] for token in row]
        shares += [weights[:, asked, letters[:6].index(letters[asked])] for asked in TASK.query_positions]
    return np.mean(shares, axis=0).tolist()


def recall(seed):
    """Four models of 300 steps, and the looks of the two with queries."""
    parts = {"simplified": defects.SimplifiedAttention(), "equal": Equal(), "frozen": Frozen(), "trained": CausalSelfAttention()}
    models = {name: recall_model(part, seed) for name, part in parts.items()}
    return {name: answered(model) for name, model in models.items()} | {
        "looks": {name: looks(models[name]) for name in ("frozen", "trained")}
    }


@rule("Simplified attention stays at chance", of=recall)
def simplified_stays_at_chance(found):
    return abs(found["simplified"] - 1 / 6) < 0.03


@rule("Trained attention answers nearly everything.", of=recall)
def trained_answers(found):
    return found["trained"] > 0.98


@rule("the control answers more than half without looking at anything in particular", of=recall)
def the_control_answers_half(found):
    return 0.5 < found["equal"] < 0.65


@rule("by a hundredth here, and by four at most with each of ten seeds", of=recall)
def frozen_hardly_beats_it(found):
    return abs(found["frozen"] - found["equal"]) < 0.045


@rule("its looks are nearly equal", of=recall)
def frozen_looks_are_nearly_equal(found):
    return np.abs(np.array(found["looks"]["frozen"]) - 0.091).max() < 0.01


@rule("with another, no head does most of it", of=recall, together=True)
def each_seed_in_its_own_way(runs):
    most = [max(found["looks"]["trained"]) > 0.5 for found in runs]
    return any(most) and not all(most)


def longer(seed):
    return {name: answered(recall_model(part, seed, steps=900)) for name, part in (("equal", Equal()), ("frozen", Frozen()))}


@rule("In three times as long, frozen attention comes to nine in ten and more, the control to some three in four at most.", of=longer)
def with_time_they_part(found):
    return found["frozen"] > 0.895 and found["equal"] < 0.78


def larger(seed):
    sizes = {"n_layers": 2, "d_model": 48, "steps": 200, "learning_rate": 5e-3}
    return {name: answered(recall_model(part, seed, **sizes)) for name, part in (("equal", Equal()), ("frozen", Frozen()))}


@rule("In the larger model frozen attention answers all but everything, the control no more than before.", of=larger)
def with_room_they_part(found):
    return found["frozen"] > 0.98 and found["equal"] < 0.575
