"""Forward and backward pass as the documents call them, complete and proper, against the program's as it was replayed."""

import numpy as np

from cllm_lib import defects
from cllm_lib.claims.judging import exact, measured, verdict
from cllm_lib.defects.whole_program import ProgramLayer
from cllm_lib.instruments.gradient_check import check_gradients
from cllm_lib.model.attention import CausalSelfAttention, scaled_dot_product_backward, scaled_dot_product_forward
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.layers import cross_entropy_backward, cross_entropy_forward
from cllm_lib.model.transformer import CLLM
from cllm_lib.training.optimizers import SGD

CONFIG = CLLMConfig(50, d_model=16, n_layers=2, n_heads=4, d_ff=32, seq_len=8)
COMPUTED = tuple(defects.REPAIRS)[:5]  # what was wrong in forward and backward pass
WRONG = 1e-4  # relative error of a gradient
SAME = 1e-9
REPLAYED = "The program after its last fix, replayed in a small size with random weights"


def batch(config=CONFIG):  # -> 2 x (2, T)
    """Random words and targets."""
    return np.random.default_rng(0).integers(0, config.vocab_size, (2, 2, config.seq_len))


def wrong_tensors(model, coordinates=4):
    """Names of the tensors whose gradient is not the slope of the loss, of so many entries each."""
    texts = batch(model.config)
    report = check_gradients(lambda _: model.loss_and_gradients(*texts), model.parameters, coordinates=coordinates)
    return [row.name for row in report.rows if row.relative_error > WRONG]


def _checked(model):
    wrong = wrong_tensors(model)
    return wrong, f"of {len(model.parameters)} tensors {len(wrong)} get a gradient that is not the slope of the loss"


@measured(
    "18",
    "Computes softmax gradients correctly ... Backpropagates through output projection ... Backpropagates through layers",
    "001",
    section="7. Backward Pass",
    experiment=f"The gradient of the logits, as described, against differences of the loss. {REPLAYED}: a gradient check of each tensor.",
    change_our_mind="A gradient check of the program's layers that finds no difference.",
)
def gradients_of_the_program():
    """The softmax, the output projection, and what lies below them."""
    logits, targets = np.random.default_rng(0).standard_normal((6, 9)), np.arange(6, dtype=np.int64)

    def loss_of(arrays):
        loss, cache = cross_entropy_forward(arrays["logits"], targets)
        return loss, {"logits": cross_entropy_backward(cache)}

    softmax_error = check_gradients(loss_of, {"logits": logits}).max_relative_error
    model = defects.program(CONFIG)
    wrong, told = _checked(model)
    top = list(model.parameters)[-1]  # the last bias gets the gradient that comes through the output projection, summed
    above = softmax_error < WRONG and top not in wrong
    found = f"softmax gradients are off by {softmax_error:.0e}, and what comes through the output projection is right: {above}; {told}"
    effects = [exact("tensors with a wrong gradient", len(wrong), "tensors")]
    return found, verdict(above and not wrong, "the layers are left out: softmax and output projection" if above else None), effects


@measured(
    "18",
    "Complete gradient computation (backward)",
    "003",
    section="Summary",
    experiment=f"{REPLAYED}: a gradient check of each tensor; and with all that was found wrong mended.",
    change_our_mind="A gradient check of the program that finds no difference.",
)
def complete_gradients():
    """All tensors of the program as it stood, and once it is mended."""
    wrong, told = _checked(defects.program(CONFIG))
    mended = wrong_tensors(defects.program(CONFIG, COMPUTED))
    found = f"{told}; with all that was found wrong mended, {len(mended)} do"
    return found, verdict(not wrong), [exact("tensors with a wrong gradient", len(wrong), "tensors")]


def delivered():
    """The program as document 003 left it: its layers, and every weight zero."""
    return CLLM(CONFIG, init="zeros", layer=ProgramLayer(set()), embedding=defects.LostEmbeddingGradient())


def untouched(model):
    """Names of the tensors that one step of plain gradient descent leaves as they were, to the last bit."""
    before = {name: array.copy() for name, array in model.parameters.items()}
    model.loss_and_gradients(*batch())
    SGD(1e-3).step(model.flat_parameters, model.flat_gradients)
    return [name for name, array in model.parameters.items() if np.array_equal(array, before[name])]


@measured(
    "18",
    "Updates ALL parameters",
    "003",
    section="Optimizer",
    experiment="Every tensor before and after one step: of the program as it was delivered, with zero weights, and with random ones.",
    change_our_mind="A tensor of the program as delivered that a step changes; for the condition, one that it does not change.",
)
def updates_all():
    """Which tensors a step changes."""
    still = {name: untouched(model) for name, model in (("zero", delivered()), ("random", defects.program(CONFIG)))}
    count = len(delivered().parameters)
    found = "; ".join(f"with {name} weights a step changes {count - len(names)} of {count} tensors" for name, names in still.items())
    judged = verdict(not still["zero"], None if still["random"] else "the weights are not zero")
    return found, judged, [exact("tensors that a step changes, as delivered", count - len(still["zero"]), "tensors")]


class Recomputing(CausalSelfAttention):
    """Sound attention that keeps queries, keys and values, and on the way back makes its weights from them once more."""

    def attend(self, query, key, value):
        """As the sound part; the weights are let go."""
        return scaled_dot_product_forward(query, key, value)[0], (query, key, value)

    def attend_backward(self, d_output, cache):
        """The sound one, with weights made anew."""
        return scaled_dot_product_backward(d_output, scaled_dot_product_forward(*cache)[1])


@measured(
    "18",
    "A complete implementation would require storing attention weights from the forward pass",
    "003",
    section="Attention Backward Implementation",
    experiment="Gradients of a sound model that keeps the weights of attention, and of one that makes them anew from queries and keys.",
    change_our_mind="A gradient that differs between the two by more than rounding.",
)
def stored_weights():
    """The same gradients without storing, as FlashAttention has them (Dao et al. 2022)."""
    keeping, recomputing = (CLLM(CONFIG, attention=part).loss_and_gradients(*batch())[1] for part in (CausalSelfAttention(), Recomputing()))
    gap = max(float(np.abs(keeping[name] - recomputing[name]).max()) for name in keeping)
    largest = max(float(np.abs(gradient).max()) for gradient in keeping.values())
    needed = gap > SAME * largest
    found = f"made anew from queries and keys, no gradient {'is the same' if needed else 'differs by more than rounding'}"
    return found, verdict(needed), [exact("largest difference beyond rounding", gap if needed else 0.0, "")]


def leaves_a_mark(repair):
    """Whether loss or gradients differ if all is repaired but this."""
    mended, left = (defects.program(CONFIG, set(COMPUTED) - out) for out in (set(), {repair}))
    (loss, gradients), (other_loss, others) = (model.loss_and_gradients(*batch()) for model in (mended, left))
    apart = max(float(np.abs(gradients[name] - others[name]).max() / np.abs(gradients[name]).max()) for name in others)
    return abs(loss - other_loss) > SAME or apart > WRONG


@measured(
    "18",
    "The training system had TWO critical bugs ... Both are now fixed",
    "003",
    section="Summary",
    experiment=(
        "What was found in the program after both fixes: zero weights, and each fault of forward and backward pass, alone in a model "
        "that is sound else. A fault counts if it alone changes loss or gradients, zero weights if they alone let no weight move."
    ),
    change_our_mind="Loss and gradients that stay the same with what was found later.",
)
def two_bugs():
    """What was left after both fixes."""
    marks = [name for name in COMPUTED if leaves_a_mark(name)]
    stuck = len(untouched(delivered())) == len(delivered().parameters)
    left = ["zero weights"] * stuck + marks
    found = f"after both fixes {len(left)} faults are left that alone change what is computed: {', '.join(left) or 'none'}"
    return found, verdict(not left), [exact("faults left after both fixes", len(left), "faults")]


def faults_of_attention(part):
    """What attention should not do: read a part of its matrices only, weigh beyond 0 and 1, look ahead.

    Returns
    -------
    dict of str to float
        Share of the projections' entries without any gradient; share of weights outside [0, 1]; the largest change of the
        first output by a later token.
    """
    generator = np.random.default_rng(0)
    shapes = CausalSelfAttention().parameter_shapes(CONFIG)
    parameters = {name: generator.standard_normal(shape) for name, shape in shapes.items()}
    x = generator.standard_normal((2, CONFIG.seq_len, CONFIG.d_model))
    y, cache = part.forward(x, parameters, CONFIG)
    _, gradients = part.backward(generator.standard_normal(y.shape), cache)
    weights = part.weights(cache)
    later = x.copy()
    later[:, 1] += 1.0  # the second token: with the wrong stride the last are seen by none
    return {
        "share of the projections that is never read": float(np.mean([gradients[f"{name}_weight"] == 0.0 for name in ("query", "value")])),
        "share of weights outside 0 to 1": float(np.mean((weights < 0.0) | (weights > 1.0 + SAME))),
        "change of the first output by a later token": float(np.abs(part.forward(later, parameters, CONFIG)[0] - y)[:, 0].max()),
    }


@measured(
    "18",
    "Proper multi-head attention (Q/K/V projections, scaled dot-product, softmax)",
    "003",
    section="Complete Training Pipeline Now",
    experiment="The attention of the program after its last fix, replayed: what of its matrices matters, its weights, a later token.",
    change_our_mind="Weights from 0 to 1, whole matrices that are read, and no effect of a later token on an earlier output.",
)
def proper_attention():
    """Three things that any attention of this kind does."""
    faults = faults_of_attention(ProgramLayer(set()).attention)
    found = "; ".join(f"{name} {size:.2f}" for name, size in faults.items())
    share = "share of the projections that is never read"
    return found, verdict(not any(faults.values())), [exact(share, faults[share], "share")]


@measured(
    "18",
    "Forward Pass: Complete and functional ... Token embedding ... Positional encoding ... Attention mechanism (standard) ... "
    "Feed-forward layers ... Layer normalization",
    "004",
    section="What Works",
    experiment="The five parts in the program replayed: a word repeated, for positions; attention as in its own row; the rest as it is.",
    change_our_mind="Outputs that tell the first place of a repeated word from the last, and attention without a fault.",
    about="in the table further down: 100%",
)
def forward_pass():
    """Which of the five are there and right."""
    model = defects.program(CONFIG)
    logits = model.logits(np.full((1, CONFIG.seq_len), 3, dtype=np.int64))[0]
    positions = float(np.abs(logits - logits[0]).max())
    missing = ["positional encoding"] if positions < SAME else []
    missing += ["attention"] if any(faults_of_attention(ProgramLayer(set()).attention).values()) else []
    found = f"of the five parts {5 - len(missing)} are there and right in the replay; not {', '.join(missing) or 'one is missing'}"
    return found, verdict(not missing), [exact("parts that are there and right", 5 - len(missing), "of 5")]


@measured(
    "18",
    "Relies on simplified attention forward pass, so gradients may not be meaningful",
    "001",
    section="7. Backward Pass",
    experiment="A sound model with simplified attention: a gradient check of each tensor, and one step against the gradient.",
    change_our_mind="A gradient that is not the slope of the loss, or a small step against it that raises the loss.",
)
def gradients_of_simplified_attention():
    """True gradients of what is computed; they say what lowers the loss, whatever attention is."""
    model = CLLM(CONFIG, attention=defects.SimplifiedAttention())
    wrong, told = _checked(model)
    before = model.loss_and_gradients(*batch())[0]
    SGD(1e-2).step(model.flat_parameters, model.flat_gradients)
    change = model.loss(*batch()) - before
    found = f"{told}; a small step against the gradient changes the loss by {change:+.4f} nats"
    return found, verdict(bool(wrong) or change >= 0.0), [exact("change of loss by a small step", change, "nats")]


def distance_of_pattern(model, tokens, targets):
    """The loss whose gradient document 004 takes, up to sign: half the squared distance from each word to the next."""
    embedding = model.parameters["embedding"]
    return 0.5 * float(((embedding[targets] - embedding[tokens]) ** 2).sum()) / tokens.size


def gradients_of_pattern(loss=distance_of_pattern):
    """Names of the tensors in which that loss has a slope, by a nudge of every entry at once."""
    model, generator, sloped = CLLM(CONFIG), np.random.default_rng(1), []
    for name, array in model.parameters.items():
        kept, values = array.copy(), []
        nudge = 1e-3 * generator.standard_normal(array.shape)
        for sign in (1.0, -1.0):
            array[...] = kept + sign * nudge
            values.append(loss(model, *batch()))
        array[...] = kept
        sloped += [name] if abs(values[0] - values[1]) > SAME else []
    return sloped


@measured(
    "18",
    "The remaining work is to extend this to all layers, which follows the same pattern we've established",
    "004",
    section="Conclusion",
    experiment=(
        "The pattern is grad = target_embedding - current_embedding; the loss of which that is the gradient, up to its sign, is asked for "
        "its slope in every tensor of a sound model."
    ),
    change_our_mind="A slope of that loss in a weight of attention, feed-forward part or LayerNorm.",
)
def same_pattern():
    """A loss of embeddings alone has nothing to hand down to a layer."""
    sloped, count = gradients_of_pattern(), len(CLLM(CONFIG).parameters)
    layers = [name for name in sloped if name.startswith("layers")]
    total = sum(name.startswith("layers") for name in CLLM(CONFIG).parameters)
    found = (
        f"it has a slope in {len(sloped)} of {count} tensors ({', '.join(sloped)}), and in {len(layers)} of the {total} that layers have: "
        "carried on, it would leave these where they are"
    )
    return found, verdict(len(layers) == total), [exact("tensors of layers with a slope", len(layers), "tensors")]
