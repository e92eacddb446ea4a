"""What documents 001 and 002 asked to have printed, for every tensor, and their rules applied to it."""

import math
from dataclasses import dataclass

import numpy as np

from cllm_lib.checks import non_negative_number
from cllm_lib.instruments.batches import ELSEWHERE, NEXT, what_targets_are
from cllm_lib.instruments.slopes import FAINT, rounding_of, slopes_along
from cllm_lib.instruments.verdicts import NOTHING_WRONG, Evidence, judge, names_of

COUNTED = 1e-10  # document 002 counts a gradient as present above this
TOO_LARGE = 1.0  # its rule: clip
TOO_SMALL = 1e-6  # its rule: raise the learning rate


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
    slopes : tuple of Slope
        How steeply the loss rises in this tensor, as the gradient promises and as nudges measure it: along the gradient, where
        a right one promises the most, and along a random direction, where one that forgets a part of itself fails too. Both in
        a float64 copy of the model, so that nothing but the backward pass can make them differ.
    rounding : float
        What rounding may have left in promise or measurement: a gradient is made out of terms as long as the whole gradient.
        Where they cancel, as for a key's bias, whose slope is 0, nothing else is left.
    """

    name: str
    size: int
    weight: float
    gradient_count: int
    gradient_max: float
    gradient_mean: float
    update: float
    slopes: tuple
    rounding: float

    @property
    def may_be_zero(self):
        """Whether zeros are no cause for suspicion: a bias may rest at 0, a matrix or a gain may not."""
        return self.name.endswith("bias")

    @property
    def promised(self):
        """Slope along the gradient, as it promises; 0 if it is 0."""
        return self.slopes[0].promised

    @property
    def measured(self):
        """The same, as nudges measure it; along a random direction where there is no gradient."""
        return self.slopes[0].measured

    @property
    def resolution(self):
        """Smallest slope that the nudges can tell from rounding."""
        return self.slopes[0].resolution

    @property
    def responds(self):
        """Whether the loss changed when this tensor was nudged."""
        return any(slope.settled and abs(slope.measured) > slope.resolution for slope in self.slopes)


@dataclass(frozen=True)
class Diagnosis:
    """Everything :func:`diagnose` measured.

    Attributes
    ----------
    loss : float
    tensors : tuple of TensorReport
    verdict : str
        One sentence that names the suspect, or says that nothing is wrong.
    accuses : bool
        Whether the verdict is about code: never initialised, forgotten, unused, or wrong. Others are about data, sizes, rates,
        or about what could not be told.
    looked_at : str
        What a verdict of "nothing wrong" rests on.
    advice : str
        What document 002 advises for gradients of this size, or nothing.
    """

    loss: float
    tensors: tuple
    verdict: str
    accuses: bool = False
    looked_at: str = ""
    advice: str = ""

    @property
    def is_healthy(self):
        """Whether nothing is wrong, whatever the document advises."""
        return self.verdict == NOTHING_WRONG

    def __str__(self):
        head = f"{'tensor':37} {'|weight|':>8} {'count':>8} {'largest':>8} {'mean':>8} {'update':>8}  loss when nudged"
        rows = [head, *(_row(tensor) for tensor in self.tensors)]
        looked_at = [f"seen:    {self.looked_at}"] if self.is_healthy else []
        advice = [f"advice:  {self.advice}"] if self.advice else []
        return "\n".join([f"loss {self.loss:.4f}", *rows, f"verdict: {self.verdict}", *looked_at, *advice])


def diagnose(model, tokens, targets, learning_rate=1e-3, seed=0, vocabulary=None):
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
    vocabulary : sequence of str, optional
        The words of the text that the batch is of; then ids beyond them are found, too.

    Returns
    -------
    Diagnosis

    Notes
    -----
    Tensors are nudged in a float64 copy, along their own gradient and at random, by shorter and shorter nudges, of which the
    two shortest must agree (:mod:`~cllm_lib.instruments.slopes`). The rules stand in :mod:`~cllm_lib.instruments.verdicts` and
    :func:`advise`. Document 002 sampled the first 100 weights and 10,000 gradients of layer 0; this looks at all.
    """
    diagnosis = examine(model, tokens, targets, learning_rate, seed, vocabulary)
    print(diagnosis)
    return diagnosis


def examine(model, tokens, targets, learning_rate=1e-3, seed=0, vocabulary=None):
    """:func:`diagnose` without a word."""
    learning_rate = non_negative_number(learning_rate, "learning_rate")
    generator = np.random.default_rng(seed)
    with np.errstate(all="ignore"):  # a model that overflows is a finding, not a warning
        loss, gradients = model.loss_and_gradients(tokens, targets)
        twin = float64_copy(model)
        _, exact = twin.loss_and_gradients(tokens, targets)
        evidence = Evidence(model, twin, np.asarray(tokens), np.asarray(targets), loss, gradients, exact, generator, vocabulary)
        reports = _reports(evidence, learning_rate)
        verdict, accuses = judge(evidence, reports)
    seen = f"{len(reports)} tensors, their gradients and the loss's response; {_what_targets_are(evidence)}."
    return Diagnosis(loss, reports, verdict, accuses, seen, "" if accuses else advise(reports))


def _reports(evidence, learning_rate):
    """Measurements of every tensor; the sizes are those of the model's own gradients, the promises those of its float64 copy."""
    rounding = FAINT * evidence.length
    noise = rounding_of(evidence.loss_of_twin, evidence.twin.flat_parameters, evidence.loss_of_twin(), np.random.default_rng(0))
    parameters, generator = evidence.twin.parameters, evidence.generator
    return tuple(
        TensorReport(
            name=name,
            size=gradient.size,
            weight=float(np.abs(evidence.model.parameters[name]).mean()),
            gradient_count=int((np.abs(gradient) > COUNTED).sum()),
            gradient_max=float(np.abs(gradient).max()),
            gradient_mean=float(np.abs(gradient).mean()),
            update=learning_rate * float(np.abs(gradient).mean()),
            slopes=slopes_along(evidence.loss_of_twin, parameters[name], evidence.exact[name], noise, rounding, generator),
            rounding=rounding,
        )
        for name, gradient in evidence.gradients.items()
    )


def _what_targets_are(evidence):
    return NEXT if what_targets_are(evidence.tokens, evidence.targets) == 1 else ELSEWHERE


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
    return (
        f"layer {rest[0]}"
        if first == "layers"
        else {"positions": "embedding", "output_weight": "output"}.get(first, first.replace("_", " "))
    )


def float64_copy(model):
    """The same model in float64, with weights of its own: a nudge small enough to be a slope would drown in float32's rounding."""
    return model.with_parameters(model.flat_parameters.astype(np.float64))


def advise(tensors):
    """The two rules of document 002 about size: gradients above 1, clip; below 1e-6, raise the learning rate.

    Sound gradients can be of either size, so this is no verdict: a healthy model often begins with some above 1, and Adam
    divides the size away.
    """
    large = [t for t in tensors if t.gradient_max > TOO_LARGE]
    if large:
        return f"Gradients above {TOO_LARGE:g} in {names_of(large)}: document 002 would clip. In a healthy model they are common."
    if all(t.gradient_max < TOO_SMALL for t in tensors if not t.may_be_zero):
        return f"Every gradient is below {TOO_SMALL:g}: document 002 would raise the learning rate. Adam does not need it."
    return ""


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
