"""Rules of the chapter on where gradients come from."""

import numpy as np
from sentences.trials import fallen, rule

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.workbook import GALLERY
from cllm_lib.workbook.exercises.chapter_05 import gradient_error

TWELVE = range(12)
QUERY = "layers.0.attention.query_weight"


# The gallery, on other random inputs


def ones_agree(forward, backward, x, eps=1e-6):
    nudges = eps * np.eye(x.size).reshape(-1, *x.shape)
    slopes = [np.sum(forward(x + nudge) - forward(x - nudge)) / (2 * eps) for nudge in nudges]
    return bool(np.allclose(backward(np.ones(np.shape(forward(x))), x).ravel(), slopes, atol=1e-6))


def gallery(seed):
    """Of each wrong backward pass: its error, whether all ones let it pass, and the error once put right."""
    found = {}
    for name, one in GALLERY.items():
        x = np.random.default_rng(seed).standard_normal(one.x.shape)
        errors = (float(gradient_error(one.forward, backward, x)) for backward in (one.backward, one.sound))
        found[name] = [*errors, ones_agree(one.forward, one.backward, x)]
    return found


@rule("In float64 the right ones stay below 1e-8, here and on ten other random inputs each.", of=gallery)
def the_right_ones_stay_low(found):
    return max(right for _, right, _ in found.values()) < 1e-8


@rule("8, 2 and 1 get past the three checks", of=gallery)
def two_pass_with_ones_and_one_with_patience(found):
    return sum(ones for *_, ones in found.values()) == 2 and sum(wrong < 1e-2 for wrong, *_ in found.values()) == 1


@rule("Yours catches all eight", of=gallery)
def none_passes_your_own(found):
    return min(wrong for wrong, *_ in found.values()) >= 1e-6


# One direction for all entries


def directions(seed):
    """Of 1,000 directions: the median of the relative difference, and the shares that two tolerances let pass."""
    rng = np.random.default_rng(seed)
    table, table_dy = rng.standard_normal((2, 280, 48))
    lost_row = table_dy * (1 - np.tanh(table) ** 2)
    lost_row[17] = 0.0
    apart = []
    for _ in range(1000):
        step = 1e-6 * rng.standard_normal(table.shape)
        rise = np.sum(table_dy * (np.tanh(table + step) - np.tanh(table - step)))
        apart.append(abs(2 * np.sum(lost_row * step) / rise - 1))
    apart = np.array(apart)
    return {"median": float(np.median(apart)), "1e-2": float((apart < 1e-2).mean()), "1e-6": float((apart < 1e-6).mean())}


@rule("about one in ten agrees to 1 % by luck (5 to 15 % of them for each of ten embeddings)", of=directions)
def one_in_ten_by_luck(found):
    return 0.05 <= found["1e-2"] <= 0.15


@rule("None agrees to 1e-6", of=directions)
def a_tight_tolerance_lets_none_pass(found):
    return found["1e-6"] == 0


# All weights at once


def tiny_model(seed, spread_out):
    """A model of one layer, at its first weights or spread out as in the chapter, with its batch."""
    model = CLLM(CLLMConfig(vocab_size=10, d_model=4, n_layers=1, n_heads=2, d_ff=6, seq_len=5), seed=seed)
    if spread_out:
        model.flat_parameters[...] = 0.4 * np.random.default_rng(seed).standard_normal(model.flat_parameters.size)
    return model, np.random.default_rng(0).integers(10, size=(2, 2, 5))


def query_slopes(seed):
    """The largest slope of the query weights, divided by the largest of all, at both places."""
    found = {}
    for place in (False, True):
        model, batch = tiny_model(seed, place)
        _, gradients = model.loss_and_gradients(*batch)
        largest = max(np.abs(gradient).max() for gradient in gradients.values())
        found["spread out" if place else "first"] = float(np.abs(gradients[QUERY]).max() / largest)
    return found


@rule("the largest of their slopes is less than a twenty-thousandth of the largest of all", of=query_slopes)
def they_hardly_matter_at_first(found):
    return found["first"] < 1 / 20_000


@rule("With the weights spread out that share is more than a hundred times as large", of=query_slopes)
def spread_out_they_do(found):
    return found["spread out"] > 100 * found["first"]


@fallen(
    "the largest of their slopes is some millionths of the largest of all",
    of=query_slopes,
    instead="the largest of their slopes is less than a twenty-thousandth of the largest of all",
)
def some_millionths(found):
    return 1.5e-6 <= found["first"] < 9.5e-6


# The gradient of another loss


def another_loss(seed):
    """By how much the printed loss rises in five epochs."""
    corpus = load_corpus("sayings")
    batch = next(corpus.batches(4, 32, np.random.default_rng(seed)))
    config = CLLMConfig(len(corpus.vocabulary), d_model=48, n_layers=2, n_heads=4, d_ff=96)
    model = defects.GradientOfAnotherLoss(config, seed=seed)
    before = model.loss(*batch)
    Trainer(model, corpus, learning_rate=1e-3, seed=seed).fit(epochs=5)
    return float(model.loss(*batch) - before)


@rule("it rises, as it did from twelve beginnings of twelve", of=another_loss, seeds=TWELVE)
def the_printed_loss_rises(rise):
    return rise > 0.005
