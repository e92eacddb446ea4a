"""From measurements to one sentence: who is to blame, in order of certainty, and what cannot be told.

A sentence accuses code only of what was seen twice: a loss that is the same when it is computed again, in full precision, and
slopes on which two lengths of a nudge agree. All else is said of data, sizes and rates, or is said to be unknown.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cllm_lib.instruments.batches import finding_in_batch
from cllm_lib.instruments.slopes import FAINT, follows_long_nudges, rounding_of, slopes_along

NOTHING_WRONG = "Nothing wrong: weights, gradients and the loss's response agree with each other."
FAR_ABOVE = 1.5  # times ln V, the loss of a uniform guess; new models start within a tenth of it
HUGE = 30.0  # how much longer a matrix makes a vector; about 1 in a new model
DRAWS = 8  # of new weights and random words, before a part is called unused
BLURRED = 0.05  # of a gradient's length, lost by the model's own precision


class Verdict(NamedTuple):
    """One sentence, and whether it accuses code: never initialised, forgotten, unused, or wrong."""

    sentence: str
    accuses: bool = False


@dataclass
class Evidence:
    """A model on one batch, and its float64 copy, for further questions.

    Attributes
    ----------
    model, twin : Examinable
        The model, and the same in float64, whose weights may be nudged.
    tokens, targets : ndarray of int, shape (B, T)
    loss, gradients : float, dict of str to ndarray
        Of the model.
    exact : dict of str to ndarray
        The gradients as the float64 copy makes them.
    generator : numpy.random.Generator
    vocabulary : sequence of str, optional
        The words of the text that the batch is of.
    """

    model: object
    twin: object
    tokens: np.ndarray
    targets: np.ndarray
    loss: float
    gradients: dict
    exact: dict
    generator: np.random.Generator
    vocabulary: tuple | None = None

    @property
    def length(self):
        """Of the whole exact gradient."""
        return math.hypot(*(float(np.linalg.norm(array)) for array in self.exact.values()))

    @property
    def vocab_size(self):
        """Words the model knows, or None where it does not say."""
        return getattr(getattr(self.model, "config", None), "vocab_size", None)

    def loss_of_twin(self):
        """The loss as the float64 copy computes it now."""
        return self.twin.loss(self.tokens, self.targets)

    def matters(self, name, tokens, targets, model=None):
        """Whether the loss of a batch changes with a tensor at all: put to 0, or exchanged for other numbers."""
        model = model or self.twin
        weights = model.parameters[name]
        kept, before = weights.copy(), model.loss(tokens, targets)
        size = float(np.sqrt(np.mean(kept**2))) or 1.0
        seen = []
        for other in (np.zeros_like(kept), 0.1 * kept, size * self.generator.standard_normal(kept.shape)):
            weights[...] = other
            seen.append(model.loss(tokens, targets))
        weights[...] = kept
        return any(after != before for after in seen)

    def as_new(self):
        """The same model with the weights of a new one, in which no unit is saturated: what it does not use, its code does not."""
        new = self.model.with_parameters(np.empty(self.model.flat_parameters.size))
        for name, array in new.parameters.items():
            gain, wide = name.endswith("gain"), array.ndim > 1
            array[...] = gain + self.generator.standard_normal(array.shape) * (1 / math.sqrt(len(array)) if wide else 0.1)
        return new

    def other_words(self):
        """Random words, more than one in a row: on them a part may work that this batch leaves idle. None if the model has no size."""
        longest = getattr(getattr(self.model, "config", None), "seq_len", 0)
        if self.vocab_size is None or longest < 2:
            return None
        shape = (2, 16, min(8, longest))
        return tuple(self.generator.integers(self.vocab_size, size=shape))


def judge(evidence, tensors):
    """The verdict on what was measured.

    Parameters
    ----------
    evidence : Evidence
    tensors : sequence of TensorReport

    Returns
    -------
    Verdict
        Of the first rule that finds something.
    """

    def first_of(rules):
        return next((finding for rule in rules if (finding := rule(evidence, tensors))), None)

    if finding := first_of(MEANINGLESS):
        return finding
    on_code = ON_CODE_BY_NEW_WEIGHTS if _too_large(evidence, tensors) else ON_CODE
    return first_of(on_code) or first_of(ON_THE_REST) or Verdict(NOTHING_WRONG)


def _weights(tensors):
    """The tensors that may not rest at 0."""
    return [tensor for tensor in tensors if not tensor.may_be_zero]


def _silent(tensors):
    """Weights without a gradient, whose nudges leave the loss as it is."""
    return [t for t in _weights(tensors) if t.promised == 0.0 and not t.responds and t.slopes[0].settled]


def _not_finite(evidence, tensors):
    """Where NaN or infinity stands, and so when it came: weights keep what an earlier step did, the rest is of this one."""
    lost = [t for t in tensors if not np.isfinite(t.weight)]
    if lost:
        said = f"NaN or infinite numbers in {names_of(lost)}"
        return Verdict(f"{said}: something overflowed in an earlier step; go back to the first step that shows it.")
    bad = [t for t in tensors if not np.isfinite(t.gradient_max)]
    if np.isfinite(evidence.loss) and not bad:
        return None
    where = f"The loss is {evidence.loss:g}" if not np.isfinite(evidence.loss) else f"The gradient is not finite in {names_of(bad)}"
    if np.isfinite(evidence.loss_of_twin()) and all(np.isfinite(t.promised) for t in tensors):
        return Verdict(
            f"{where} in the model's own precision, and finite in float64: its numbers grew too large. A lower rate keeps them small."
        )
    return Verdict(f"{where}, and every weight is finite: it arises in this very step, as where a row of attention is masked whole.")


def _never_initialised(evidence, tensors):
    weights = _weights(tensors)
    empty = [t for t in weights if t.weight == 0.0]
    if weights and len(empty) == len(weights):
        return Verdict("Every weight is exactly zero: the initialisation never reached them.", accuses=True)
    if empty:
        return Verdict(f"Exactly zero: {names_of(empty)}. The initialisation left them out.", accuses=True)
    return None


def _not_the_same_twice(evidence, tensors):
    model, batch = evidence.model, (evidence.tokens, evidence.targets)
    alone = [model.loss(*batch) for _ in range(2)]
    again, gradients = model.loss_and_gradients(*batch)
    changed = [t.name for t in tensors if float(np.abs(gradients[t.name]).max()) != t.gradient_max]
    if alone[0] != alone[1] or again != evidence.loss or changed:
        pair = alone if alone[0] != alone[1] else (evidence.loss, again)
        numbers = f" ({pair[0]:.6g} and {pair[1]:.6g})" if pair[0] != pair[1] else ""
        return Verdict(
            f"The same batch does not give the same twice{numbers}: something in the model is random, or remembers. "
            "Switch it off (dropout, for instance) to have the rest judged."
        )
    if abs(again - alone[0]) > 1e-3 * max(1.0, abs(again)):
        where = f"{again:.6g} where gradients are computed and {alone[0]:.6g} where they are not"
        return Verdict(f"The loss is {where}: dropout, or another mode?")
    return None


def _types_computed_in(evidence):
    """The types of float into which the loss converts the float64 weights, and what it computes from them."""
    types = set()

    class Watched(np.ndarray):
        """What is computed from such an array is one, too, and notes its type when it is made."""

        def __array_finalize__(self, source):
            if self.dtype.kind == "f":
                types.add(self.dtype)

    evidence.model.with_parameters(evidence.twin.flat_parameters.view(Watched)).loss(evidence.tokens, evidence.targets)
    return types


def _low_precision(evidence, tensors):
    """Whether something inside the float64 copy computes in fewer digits: then slopes are what its rounding makes of them."""
    short = sorted((kind for kind in _types_computed_in(evidence) if kind.itemsize < 8), key=lambda kind: kind.itemsize)
    doubtful = [t for t in tensors if any(slope.differs(t.rounding) or not slope.settled for slope in t.slopes)]
    if short and doubtful:
        digits = np.finfo(short[0]).precision
        said = f"A part of the model computes in {short[0]}, {digits} digits, whatever the type of the weights"
        return Verdict(f"{said}: too few to judge {names_of(doubtful)} by nudges. Let it compute in their type.")
    if doubtful and all(_holds_for_long_nudges(evidence, t) for t in doubtful):
        return Verdict(
            f"Short nudges of {names_of(doubtful)} drown, long ones follow the gradient: a part of the model rounds its numbers."
        )
    return None


def _holds_for_long_nudges(evidence, tensor):
    gradient = evidence.exact[tensor.name]
    length = float(np.linalg.norm(gradient))
    if not length or not np.isfinite(length):
        return False
    return follows_long_nudges(evidence.loss_of_twin, evidence.twin.parameters[tensor.name], gradient / length, tensor.slopes[0])


def _forgotten(evidence, tensors):
    forgotten = [t for t in tensors if t.promised == 0.0 and t.gradient_max == 0.0 and t.responds]
    if not forgotten:
        return None
    return Verdict(f"The loss responds to {names_of(forgotten)}, and the gradient there is 0: the backward pass forgets it.", accuses=True)


def _unused(evidence, tensors):
    """What the loss does not feel even in a model of new weights; what it feels on other words only is no fault of the code."""
    batch, one_token = (evidence.tokens, evidence.targets), evidence.tokens.shape[1] == 1
    idle = [t for t in _silent(tensors) if not evidence.matters(t.name, *batch)]
    if idle:  # in a narrow model one draw of weights may leave a part idle, too
        news = [evidence.as_new() for _ in range(DRAWS)]
        idle = [t for t in idle if not any(evidence.matters(t.name, *batch, new) for new in news)]
    if not idle:
        return None
    others = [evidence.other_words() for _ in news]
    if others[0] is None:
        unused = [] if one_token else idle
    else:
        unused = [t for t in idle if not any(evidence.matters(t.name, *other, new) for other, new in zip(others, news, strict=True))]
    if unused:
        said = f"On this batch the loss depends on nothing in {names_of(unused)}"
        return Verdict(f"{said}: the forward pass does not use it.", accuses=True)
    if one_token:
        return Verdict(
            f"Cannot tell from one token: {names_of(idle)} can do nothing before there are two to choose from. Give longer sequences."
        )
    return Verdict(
        f"Cannot tell from this batch: the loss depends on nothing in {names_of(idle)}; on other words it does. Are these all alike?"
    )


def _wrong(evidence, tensors):
    wrong = [t for t in tensors if any(slope.differs(t.rounding) for slope in t.slopes)]
    if not wrong:
        return None
    said = f"The loss does not follow the gradient of {names_of(wrong)}"
    return Verdict(f"{said}: the backward pass computes something else.", accuses=True)


def _wrong_on_new_weights(evidence, tensors):
    """Whether gradients are wrong in a model of new weights: among huge numbers rounding does anything, and hides anything."""
    new, batch, generator = evidence.as_new(), (evidence.tokens, evidence.targets), evidence.generator
    _, gradients = new.loss_and_gradients(*batch)
    blur = FAINT * math.hypot(*(float(np.linalg.norm(gradient)) for gradient in gradients.values()))

    def loss():
        return new.loss(*batch)

    rounding = rounding_of(loss, new.flat_parameters, loss(), generator)

    def is_wrong(name):
        slopes = slopes_along(loss, new.parameters[name], gradients[name], rounding, blur, generator)
        return any(slope.differs(blur) for slope in slopes)

    wrong = [tensor for tensor in tensors if is_wrong(tensor.name)]
    if not wrong:
        return None
    said = f"These weights are too large to judge by. With new ones the loss does not follow the gradient of {names_of(wrong)}"
    return Verdict(f"{said}: the backward pass computes something else.", accuses=True)


def _in_the_batch(evidence, tensors):
    finding = finding_in_batch(evidence.tokens, evidence.targets, evidence.vocab_size, evidence.vocabulary)
    return Verdict(finding) if finding else None


def _too_large(evidence, tensors):
    """A loss far above a uniform guess, and matrices that make vectors far longer: what too high a rate leaves behind."""
    parameters = evidence.model.parameters
    huge = [t for t in tensors if parameters[t.name].ndim == 2 and _stretch(parameters[t.name]) > HUGE]
    uniform = math.log(evidence.vocab_size) if evidence.vocab_size else None
    if uniform is not None and evidence.loss > FAR_ABOVE * max(uniform, 1.0):
        loss = f"{evidence.loss:.2f}" if evidence.loss < 1e5 else f"{evidence.loss:.0e}"
        said = f"The loss is {loss}, far above ln V = {uniform:.2f}, a uniform guess: the model is sure of wrong words"
        if huge:
            said = f"{said}; the largest weights are in {names_of(huge)}"
        other = " Or are these ids of another vocabulary than it was trained with?" if not (huge or evidence.vocabulary) else ""
        return Verdict(f"{said}. Begin anew with a lower rate, or with smaller initial weights.{other}")
    if huge:
        return Verdict(f"Huge weights in {names_of(huge)}: the rate was too high, or they began too large. Begin anew with a lower rate.")
    return None


def _stretch(matrix):
    """How much longer a matrix makes a random vector: root mean square of its numbers, times the root of its rows."""
    return float(np.sqrt(np.mean(np.square(matrix, dtype=np.float64)) * len(matrix)))


def _saturated(evidence, tensors):
    silent = _silent(tensors)
    if not silent:
        return None
    return Verdict(
        f"The loss does not feel small changes of {names_of(silent)}: units there are saturated, or dead. "
        "The rate was too high, or the initial weights too large."
    )


def _blurred(evidence, tensors):
    """What the model's own precision leaves of its gradients, beside those of its float64 copy."""
    kind = evidence.model.flat_parameters.dtype
    if kind == np.float64:
        return None
    own, exact, whole = evidence.gradients, evidence.exact, evidence.length
    blurred = [t for t in tensors if _apart(own[t.name], exact[t.name]) > max(BLURRED * float(np.linalg.norm(exact[t.name])), 1e-4 * whole)]
    if not blurred:
        return None
    return Verdict(
        f"In {kind} the gradient of {names_of(blurred)} is not that in float64: numbers too large for their digits. Lower the rate."
    )


def _apart(a, b):
    return float(np.linalg.norm(np.asarray(a, dtype=np.float64) - b))


def _unknown(evidence, tensors):
    doubtful = [t for t in tensors if not all(slope.settled for slope in t.slopes)]
    if not doubtful:
        return None
    return Verdict(
        f"Cannot tell for {names_of(doubtful)}: the loss bends or jumps within the shortest nudge, so that no slope can be measured. "
        "Ask again at another step, or with smaller weights."
    )


# In order of certainty: what makes all else meaningless, what accuses code, what is said of data, sizes and rates.
MEANINGLESS = (_not_finite, _never_initialised, _not_the_same_twice, _low_precision)
ON_CODE, ON_CODE_BY_NEW_WEIGHTS = (_forgotten, _unused, _wrong), (_wrong_on_new_weights, _unused)
ON_THE_REST = (_in_the_batch, _too_large, _saturated, _blurred, _unknown)


def names_of(tensors, most=3):
    """The names of a few tensors, and how many more there are."""
    names = ", ".join(tensor.name for tensor in tensors[:most])
    return names if len(tensors) <= most else f"{names} and {len(tensors) - most} more"
