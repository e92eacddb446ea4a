"""What documents 001 and 002 asked to have printed, for every tensor, and their rules applied to it."""

import math
from dataclasses import dataclass

import numpy as np

from cllm_lib.checks import non_negative_number
from cllm_lib.instruments.gradient_check import central_difference

COUNTED = 1e-10  # document 002 counts a gradient as present above this
TOO_LARGE = 1.0  # its rule: clip
TOO_SMALL = 1e-6  # its rule: raise the learning rate
NOTHING_WRONG = "Nothing wrong: weights, gradients and the loss's response agree with each other."
DISAGREEMENT = 0.01  # right slopes agree to five digits; one wrong by a hundredth is no rounding error


@dataclass(frozen=True)
class TensorReport:
    """Measurements of one parameter tensor.

    Attributes
    ----------
    name : str
    size : int
    weight : float
        Mean absolute weight.
    gradient_count : int
        Gradients larger than 1e-10.
    gradient_max, gradient_mean : float
        Of the absolute gradient.
    update : float
        Mean absolute change by one plain step, learning rate times gradient.
    promised, measured : float
        How steeply the loss rises along one direction in this tensor: as the gradient promises, and as two nudges,
        forth and back, measure it.
    resolution : float
        Smallest slope the nudges can tell from rounding.
    rounding : float
        What rounding may have left in the promise: the gradient is made in the model's own precision, out of terms as long as
        the whole gradient. Where they cancel, as for a key's bias, whose slope is 0, nothing else is left.
    """

    name: str
    size: int
    weight: float
    gradient_count: int
    gradient_max: float
    gradient_mean: float
    update: float
    promised: float
    measured: float
    resolution: float
    rounding: float

    @property
    def may_be_zero(self):
        """Whether zeros are no cause for suspicion: a bias may rest at 0, a matrix or a gain may not."""
        return self.name.endswith("bias")

    @property
    def responds(self):
        """Whether the loss changed when this tensor was nudged."""
        return abs(self.measured) > self.resolution


@dataclass(frozen=True)
class Diagnosis:
    """Everything :func:`diagnose` measured.

    Attributes
    ----------
    loss : float
    tensors : tuple of TensorReport
    verdict : str
        One sentence that names the suspect, or says that nothing is wrong.
    advice : str
        What document 002 advises for gradients of this size, or nothing.
    """

    loss: float
    tensors: tuple
    verdict: str
    advice: str = ""

    @property
    def is_healthy(self):
        """Whether nothing is wrong, whatever the document advises."""
        return self.verdict == NOTHING_WRONG

    def __str__(self):
        head = f"{'tensor':37} {'|weight|':>8} {'count':>8} {'largest':>8} {'mean':>8} {'update':>8}  loss when nudged"
        rows = [head, *(_row(tensor) for tensor in self.tensors)]
        advice = [f"advice:  {self.advice}"] if self.advice else []
        return "\n".join([f"loss {self.loss:.4f}", *rows, f"verdict: {self.verdict}", *advice])


def diagnose(model, tokens, targets, learning_rate=1e-3, seed=0):
    """Measure every tensor of a model on one batch, print the table, and name the suspect.

    Parameters
    ----------
    model : Examinable
        Such as a CLLM; left exactly as it was.
    tokens, targets : array_like of int, shape (B, T)
        A batch, as for :meth:`CLLM.loss_and_gradients`.
    learning_rate : float
        Turns gradients into update sizes.
    seed : int
        Of the direction in which a tensor without a gradient is nudged.

    Returns
    -------
    Diagnosis

    Notes
    -----
    Tensors are nudged along their own gradient, where a right one promises the most, in a float64 copy. The rules stand in
    :func:`judge` and :func:`advise`. Document 002 sampled the first 100 weights and 10,000 gradients of layer 0; this looks at all.
    """
    diagnosis = examine(model, tokens, targets, learning_rate, seed)
    print(diagnosis)
    return diagnosis


def examine(model, tokens, targets, learning_rate=1e-3, seed=0):
    """:func:`diagnose` without a word."""
    learning_rate = non_negative_number(learning_rate, "learning_rate")
    generator = np.random.default_rng(seed)
    with np.errstate(all="ignore"):  # a model that overflows is a finding, not a warning
        loss, gradients = model.loss_and_gradients(tokens, targets)
        twin = float64_copy(model)
        rounding = (
            100 * np.finfo(model.flat_parameters.dtype).eps * math.hypot(*(float(np.linalg.norm(array)) for array in gradients.values()))
        )
        reports = tuple(
            _examine(model, twin, name, gradients[name], tokens, targets, loss, learning_rate, generator, rounding) for name in gradients
        )
    verdict = judge(loss, reports)
    return Diagnosis(loss, reports, verdict, advise(reports) if verdict == NOTHING_WRONG else "")


@dataclass(frozen=True)
class Movement:
    """What one step did to a part of a model.

    Attributes
    ----------
    part : str
        "embedding", "layer 0", ..., "output".
    gradient_norm : float
        Length of the part's gradient.
    update_ratio : float
        Length of the change over the length of the weights before it; about 1e-3 where training goes well. NaN where
        the weights were all 0.
    """

    part: str
    gradient_norm: float
    update_ratio: float


HEALTHY_UPDATES = (1e-4, 1e-2)  # a power of ten to either side of 1e-3 (CS231n, "Neural Networks Part 3", on update ratios)


def movements(model, before):
    """Update ratios: how far the last step moved each part of a model.

    Parameters
    ----------
    model : CLLM
        With the gradients of that step.
    before : ndarray
        Its flat parameters before the step.

    Returns
    -------
    list of Movement
        From the input to the output.
    """
    sums, start = {}, 0
    for name, array in model.parameters.items():  # in the order of the buffer
        piece = slice(start, start + array.size)
        start += array.size
        change = model.flat_parameters[piece] - before[piece]
        squares = [float(np.dot(numbers, numbers)) for numbers in (model.flat_gradients[piece], change, before[piece])]
        part = _part_of(name)
        sums[part] = [old + new for old, new in zip(sums.get(part, (0.0, 0.0, 0.0)), squares, strict=True)]
    lengths = {part: [math.sqrt(total) for total in totals] for part, totals in sums.items()}
    return [Movement(part, gradient, moved / size if size else math.nan) for part, (gradient, moved, size) in lengths.items()]


def _part_of(name):
    """The part of the model a tensor belongs to, as a reader calls it."""
    first, *rest = name.split(".")
    return f"layer {rest[0]}" if first == "layers" else {"positions": "embedding", "output_weight": "output"}.get(first, first)


def float64_copy(model):
    """The same model in float64, with weights of its own: a nudge small enough to be a slope would drown in float32's rounding."""
    return model.with_parameters(model.flat_parameters.astype(np.float64))


def judge(loss, tensors):
    """Look for a fault, by the rules of document 002, in order of certainty; return one sentence.

    Weights zero: the initialisation. Gradient zero though the loss responds, or another than the loss follows: the
    backward pass. None of these: nothing.
    """
    weights = [tensor for tensor in tensors if not tensor.may_be_zero]
    not_finite = [t for t in tensors if not np.isfinite([t.weight, t.gradient_max]).all()]
    if not_finite or not np.isfinite(loss):
        where = _names(not_finite) if not_finite else "the loss"
        return f"NaN or infinite numbers in {where}: something overflowed in an earlier step; go back to the first step that shows it."
    empty = [t for t in weights if t.weight == 0.0]
    if len(empty) == len(weights):
        return "Every weight is exactly zero: the initialisation never reached them."
    if empty:
        return f"Exactly zero: {_names(empty)}. The initialisation left them out."
    forgotten = [t for t in tensors if t.gradient_max == 0.0 and t.responds]
    if forgotten:
        return f"The loss responds to {_names(forgotten)}, and the gradient there is 0: the backward pass forgets it."
    unused = [t for t in weights if t.gradient_max == 0.0]
    if unused:
        return f"On this batch the loss depends on nothing in {_names(unused)}: the forward pass does not use it."
    wrong = [t for t in tensors if _disagrees(t)]
    if wrong:
        return f"The loss does not follow the gradient of {_names(wrong)}: the backward pass computes something else."
    return NOTHING_WRONG


def advise(tensors):
    """The two rules of document 002 about size: gradients above 1, clip; below 1e-6, raise the learning rate.

    Sound gradients can be of either size, so this is no verdict: a healthy model often begins with some above 1, and Adam
    divides the size away.
    """
    large = [t for t in tensors if t.gradient_max > TOO_LARGE]
    if large:
        return f"Gradients above {TOO_LARGE:g} in {_names(large)}: document 002 would clip. In a healthy model they are common."
    if all(t.gradient_max < TOO_SMALL for t in tensors if not t.may_be_zero):
        return f"Every gradient is below {TOO_SMALL:g}: document 002 would raise the learning rate. Adam does not need it."
    return ""


def _examine(model, twin, name, gradient, tokens, targets, loss, learning_rate, generator, rounding):
    size = np.abs(gradient)
    promised, measured, resolution = _nudge(twin, name, gradient, tokens, targets, loss, generator)
    return TensorReport(
        name=name,
        size=gradient.size,
        weight=float(np.abs(model.parameters[name]).mean()),
        gradient_count=int((size > COUNTED).sum()),
        gradient_max=float(size.max()),
        gradient_mean=float(size.mean()),
        update=learning_rate * float(size.mean()),
        promised=promised,
        measured=measured,
        resolution=resolution,
        rounding=rounding,
    )


def _nudge(twin, name, gradient, tokens, targets, loss, generator):
    """Slope of the loss along the gradient, or along a random direction where there is none, by central difference."""
    weights, length = twin.parameters[name], float(np.linalg.norm(gradient))
    usable = np.isfinite(length) and length > 0.0
    direction = gradient / length if usable else _unit(generator.standard_normal(weights.shape))
    step = 1e-5 * max(1.0, float(np.linalg.norm(weights)))
    measured = central_difference(lambda: twin.loss(tokens, targets), weights, step * direction) / (2 * step)
    resolution = 100 * np.finfo(weights.dtype).eps * max(1.0, abs(loss)) / step
    return (length if usable else 0.0), measured, float(resolution)


def _unit(direction):
    return direction / np.linalg.norm(direction)


def _disagrees(tensor):
    gap = abs(tensor.promised - tensor.measured)
    return gap > DISAGREEMENT * max(abs(tensor.promised), abs(tensor.measured)) and gap > tensor.resolution + tensor.rounding


def _names(tensors, most=3):
    names = ", ".join(tensor.name for tensor in tensors[:most])
    return names if len(tensors) <= most else f"{names} and {len(tensors) - most} more"


def _row(tensor):
    numbers = (tensor.gradient_max, tensor.gradient_mean, tensor.update)
    shown = " ".join(f"{_short(number):>8}" for number in numbers)
    response = f"slope {tensor.measured:.1e}" if tensor.responds else "unmoved"
    return f"{tensor.name:37} {_short(tensor.weight):>8} {tensor.gradient_count:8,} {shown}  {response}"


def _short(number):
    """Two digits; what is no more than rounding noise shows as such, the same on every machine."""
    if number == 0.0 or not np.isfinite(number):
        return f"{number:g}"
    return "~0" if number < 1e-14 else f"{number:.1e}"
