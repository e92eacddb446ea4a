"""One call on a training in PyTorch, and one sentence that names the cause."""

from dataclasses import dataclass

from cllm_lib.faces import needed
from cllm_lib.instruments.torch.causes import CAUSES, CONVICTS

QUICK = 2  # what costs no more is looked at however late it is
WITHOUT_LOOP = "the training loop was not looked at, because no step was given"


@dataclass(frozen=True)
class Report:
    """What the doctor found.

    Attributes
    ----------
    verdict : str
        One sentence: the cause and its evidence, or what a "nothing wrong" rests on.
    cause : str or None
        A key of :data:`CAUSES`; None where nothing was found.
    is_healthy : bool
        Whether nothing was found.
    looked_at : tuple of str
        Instruments that gave a reading, in order.
    skipped : dict of str to str
        Instruments that did not apply, and why.
    readings : tuple of Reading
        All numbers and words.
    """

    verdict: str
    cause: str | None
    is_healthy: bool
    looked_at: tuple
    skipped: dict
    readings: tuple

    def __str__(self):
        said = [f"  {reading.instrument}: {'; '.join(reading.words) or 'nothing stands out'}" for reading in self.readings]
        left = [f"  {name}: not looked at; {why}" for name, why in self.skipped.items()]
        return "\n".join([f"verdict: {self.verdict}", *said, *left])


def examine(module, loss, inputs, targets, optimizer=None, scheduler=None, step=None, batches=None):
    """Examine a training in PyTorch, and name what is wrong with it.

    Parameters
    ----------
    module : torch.nn.Module
        Of any kind; what is about words is looked at where it reads words.
    loss : callable
        `loss(module(inputs), targets)` is a scalar tensor.
    inputs, targets : tensor, or tuple, list or dict of tensors
        One batch.
    optimizer : torch.optim.Optimizer, optional
    scheduler : object, optional
        With a method `step`.
    step : callable, optional
        `step(module, optimizer, scheduler, inputs, targets)` does what the loop does for one batch, with the objects it is given.
    batches : list of (inputs, targets), optional
        More of what the loop sees.

    Returns
    -------
    Report

    Raises
    ------
    ModuleNotFoundError
        If PyTorch is not installed.
    ValueError
        If the loss raises or is no scalar, or the module is none, cannot be copied, or has weights without numbers.

    Notes
    -----
    All is done on copies, on the CPU: module, optimizer, scheduler, gradients, modes and random states come out as they went in. So
    do weights of a loss that has some, though that is no copy.
    The instruments and their words are those of the case files (:mod:`cllm_lib.instruments.kit`) as far as they apply, and some more
    for what only a framework makes possible.
    """
    needed("torch", "the doctor for PyTorch", "`pip install torch` brings it")
    from cllm_lib.instruments.torch.subject import Subject, quiet, untouched  # PyTorch is loaded here, by those who have it

    with untouched(module, optimizer, scheduler, loss), quiet():
        subject = Subject(module, loss, [(inputs, targets), *(batches or [])], optimizer, scheduler, step)
        readings, skipped = _read_all(subject)
    return _report(readings, skipped, step, subject.part)


def _read_all(subject):
    """All readings, and why some instruments gave none. Of a module that drops numbers at random, nothing else is read."""
    from cllm_lib.instruments.torch import answers, backward, inside, loop, rates, reach

    readings, skipped = [], {}
    rooms = (inside, answers, reach, loop, backward, rates)
    for tool, applies in (inside.REPEAT, *(pair for room in rooms for pair in room.INSTRUMENTS)):
        if readings and readings[0].words:
            skipped[tool.name] = "the module does not give the same twice"
        elif subject.late and tool.cost > QUICK:
            skipped[tool.name] = "there was no time left"
        elif why := _why_not(applies, subject):
            skipped[tool.name] = why
        else:
            try:
                readings.append(tool.read(subject))
            except Exception as error:  # a module of a kind that nobody thought of: the rest is looked at all the same
                skipped[tool.name] = f"it could not be measured ({type(error).__name__}: {error})"
    return readings, skipped


def _why_not(applies, subject):
    try:
        return applies(subject)
    except Exception as error:
        return f"it could not be measured ({type(error).__name__}: {error})"


def _named(reading):
    """The instrument, and how much it saw, where that was not all."""
    tensors, checked = reading.numbers.get("tensors"), reading.numbers.get("checked")
    return reading.instrument if checked is None or checked == tensors else f"{reading.instrument} of {checked:g} of {tensors:g} tensors"


def _report(readings, skipped, step, part):
    said = {(reading.instrument, word): reading for reading in readings for word in reading.words}
    found = [(key, cause) for key, cause in CONVICTS.items() if key in said]
    loop = (*(() if step is not None else (WITHOUT_LOOP,)), *((f"of each batch {part} were looked at",) if part else ()))
    names = tuple(_named(reading) for reading in readings)
    if found:
        (instrument, word), cause = found[0]
        verdict = f"{CAUSES[cause].rstrip('.')} ({instrument}: {word})."
        return Report("; ".join([verdict.rstrip("."), *loop]) + ".", cause, False, names, skipped, tuple(readings))
    unseen = f"; not looked at: {', '.join(skipped)}" if skipped else ""
    verdict = "; ".join([f"Nothing wrong in what was looked at: {', '.join(names)}", *loop]) + unseen + "."
    return Report(verdict, None, True, names, skipped, tuple(readings))
