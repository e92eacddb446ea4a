"""What arithmetic alone decides: attention that was twice its input, the loss to 50 digits, the batches of an epoch."""

import numpy as np

from cllm_lib.claims.judging import exact, measured, verdict
from cllm_lib.claims.settings import BATCH, LENGTH, WORDS
from cllm_lib.defects import SimplifiedAttention, incident
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.layers import cross_entropy_forward
from cllm_lib.text.corpora import load_corpus

TOKENS = 1241  # from the output quoted in document 001


@measured(
    "18",
    "This is NOT attention - it's just output = 2 * input",
    "000, 002",
    about="001 says the same with a mark of exclamation",
    section="Simplified Attention is Broken",
    experiment="The three lines of the document on random input, against twice the input; and an earlier token changed.",
    change_our_mind="An output that is not twice its input, or that changes with another token.",
)
def twice_the_input():
    """Exactly that, and no token sees another."""
    x = np.random.default_rng(0).standard_normal((2, 7, 12))
    output = SimplifiedAttention().forward(x, {}, None)[0]
    changed = x.copy()
    changed[:, 0] += 1.0
    moved = np.abs(SimplifiedAttention().forward(changed, {}, None)[0] - output)[:, 1:].max()
    apart = np.abs(output - 2 * x).max()
    found = f"largest gap to twice the input {apart:g}; with another first token the outputs after it change by {moved:g}"
    return found, verdict(apart == 0 and moved == 0), [exact("largest gap to twice the input", apart, "")]


@measured(
    "18",
    "Loss Computation ... Proper softmax with numerical stability (max subtraction) ... Cross-entropy with log-sum-exp ... No issues here",
    "001",
    section="6. Loss Computation",
    experiment="The loss as described, and one clamped at 1e-10, against 50 digits, with logits up to 1000 either way.",
    change_our_mind="A logit, however large, at which the loss as described is wrong in the twelfth digit.",
)
def loss_computation():
    """What is described against arithmetic of 50 digits, and against a clamp instead of log-sum-exp."""
    gaps = {"as described": [], "clamped": []}
    for size in (1.0, 30.0, 1000.0):
        logits = np.random.default_rng(0).uniform(-size, size, (8, 50))
        targets = np.arange(8, dtype=np.int64)
        logits[0, 0], logits[1, 1] = size, -size
        true = cross_entropy_in_50_digits(logits, targets)
        gaps["as described"].append(abs(cross_entropy_forward(logits, targets)[0] / true - 1))
        gaps["clamped"].append(abs(clamped_cross_entropy(logits, targets) / true - 1))
    worst = {name: max(found) for name, found in gaps.items()}
    right = worst["as described"] < 1e-12
    found = (
        f"logits to 1, 30 and 1000 either way: as described the loss is {'right to 12 digits' if right else 'off'}; "
        f"with probabilities clamped at 1e-10, as the program had it once, off by up to {worst['clamped']:.0%}"
    )
    return (
        found,
        verdict(right),
        [exact("relative error, what of it exceeds 1e-12", max(0.0, worst["as described"] - 1e-12), "of the loss")],
    )


def cross_entropy_in_50_digits(logits, targets):
    """Mean of -ln softmax at the targets, term by term as the definition says, in numbers of 50 digits."""
    import mpmath

    with mpmath.workdps(50):
        rows = [[mpmath.mpf(float(z)) for z in row] for row in logits]
        total = sum(mpmath.log(mpmath.fsum(mpmath.exp(z) for z in row) / mpmath.exp(row[t])) for row, t in zip(rows, targets, strict=True))
        return float(total / len(rows))


def clamped_cross_entropy(logits, targets, least=1e-10):
    """The same from probabilities that are not let below `least`: no loss is larger than 23.03 then."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    at_target = weights[np.arange(len(targets), dtype=np.int64), targets] / weights.sum(axis=-1)
    return float(-np.log(np.maximum(at_target, least)).mean())


@measured(
    "18",
    "Batches per epoch: ~9-10 ... This is reasonable - Not the issue",
    "001",
    section="5. Batch Size vs Dataset Size",
    experiment="A text of 1,241 words cut into sequences of 32 and batches of 4.",
    change_our_mind="Another number of tokens, or of words in a batch.",
)
def batches_per_epoch():
    """Full batches of a text of that length."""
    corpus = load_corpus("sayings")
    full = corpus.batches_per_epoch(BATCH, LENGTH)
    rest = (len(corpus.tokens) - 1) // LENGTH - full * BATCH
    found = f"{len(corpus.tokens):,} words make {full} full batches; {rest} more sequences do not fill another"
    return found, verdict(len(corpus.tokens) == TOKENS and 9 <= full <= 10), [exact("full batches in an epoch", full, "batches")]


STUCK = 9.2103


@measured(
    "18",
    "Training loss stays constant at 9.2103 across all epochs",
    "000, 001",
    section="000: Issues Identified, 1; 001: Executive Summary",
    experiment="The incident's model with V = 10,000 and every weight zero: its loss to four digits, and its gradients.",
    change_our_mind="A gradient that is not exactly 0, or another loss.",
)
def constant_loss():
    """The loss is ln V, and every gradient exactly 0: nothing can move."""
    config = CLLMConfig(WORDS, d_model=16, n_layers=2, n_heads=2, d_ff=32, seq_len=LENGTH)
    model = incident(config)
    loss, gradients = model.loss_and_gradients(*np.random.default_rng(0).integers(0, WORDS, (2, BATCH, LENGTH)))
    largest = max(float(np.abs(gradient).max()) for gradient in gradients.values())
    found = f"with every weight zero the loss is {loss:.4f}, which is ln {WORDS:,}, and the largest gradient {largest:g}: no step moves it"
    return found, verdict(round(loss, 4) == STUCK and largest == 0.0), [exact("loss with every weight zero", loss, "nats")]


HOURS = (0.5, 0.25, 2, 0.5, 1, 0.5)  # of the six steps of document 002


@measured(
    "18",
    "Add diagnostics (30 min) ... Test and analyze output (15 min) ... Fix attention forward (2 hours) ... Test training (30 min) ... "
    "Optimize startup (1 hour) ... Final testing (30 min) ... Total time: ~5 hours",
    "002",
    section="Implementation Order",
    experiment="The sum of the six.",
    change_our_mind="Another sum.",
    about="as a sum; how long it took is not told",
)
def total_time():
    """Rounded to whole hours."""
    total = sum(HOURS)
    return f"the six come to {total:g} hours", verdict(round(total) == 5), [exact("sum of the six", total, "hours")]
