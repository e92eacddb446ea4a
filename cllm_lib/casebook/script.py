"""A training in PyTorch that stands still, to be repaired line by line with the doctor; stored for those without PyTorch, too."""

import hashlib
import importlib.util
import json
from typing import NamedTuple

from cllm_lib.files import shipped

SCRIPT, STORED = "stuck_pytorch.py", "measured/doctor_script.json"
STEPS, EVERY = 200, 40
REPAIRS = (  # what stands in the script, and what belongs there
    ("return self.output(x).softmax(-1)", "return self.output(x)"),
    ("self.layer(x)", "self.layer(x, src_mask=nn.Transformer.generate_square_subsequent_mask(TIME))"),
    ("ExponentialLR(optimizer, 0.9)", "ExponentialLR(optimizer, 0.995)"),
)


class Examined(NamedTuple):
    """What came of a script.

    Attributes
    ----------
    verdict : str
        The doctor's sentence.
    cause : str or None
        A key of its causes.
    losses : tuple of float
        The mean over all batches after 40, 80, ... 200 steps of the script's own loop, in nats, to two digits.
    """

    verdict: str
    cause: str | None
    losses: tuple


def stuck_script():
    """The text of the script: `training()` returns the arguments of the doctor's `examine`, in their order.

    Returns
    -------
    str
    """
    return shipped("data", SCRIPT).read_text(encoding="utf-8")


def pytorch_here():
    """One sentence: whether PyTorch is here, and so where answers about a script come from."""
    if importlib.util.find_spec("torch") is not None:
        return "PyTorch is installed: the script runs here."
    return "PyTorch is not installed here: you see what was measured before, of the script and its three repairs."


def examine_script(text):
    """Let the doctor look at a script, and run its loop.

    Parameters
    ----------
    text : str
        Such as :func:`stuck_script`, with lines changed. It is run.

    Returns
    -------
    Examined

    Raises
    ------
    ModuleNotFoundError
        If PyTorch is missing, and this very text was not measured before.
    """
    if importlib.util.find_spec("torch") is not None:
        return measured(text)
    stored = json.loads(shipped("evidence", STORED).read_text(encoding="utf-8"))["answers"]
    if key(text) not in stored:
        raise ModuleNotFoundError(
            "this text has not been measured before, and to run it takes PyTorch: `pip install torch` brings it", name="torch"
        )
    verdict, cause, losses = stored[key(text)]
    return Examined(verdict, cause, tuple(losses))


def key(text):
    """By which an answer is stored: SHA-256 of the text."""
    return hashlib.sha256(text.encode()).hexdigest()


def measured(text):
    """Examine and run a script with PyTorch."""
    import torch

    from cllm_lib.instruments.torch import examine

    space = {}
    exec(compile(text, SCRIPT, "exec"), space)
    with torch.random.fork_rng(devices=[]):
        report = examine(*space["training"]())
        module, loss, _, _, optimizer, scheduler, step, batches = space["training"]()
        losses = []
        for number in range(STEPS):
            step(module, optimizer, scheduler, *batches[number % len(batches)])
            if (number + 1) % EVERY == 0:
                with torch.no_grad():
                    losses.append(round(sum(float(loss(module(x), y)) for x, y in batches) / len(batches), 2))
    return Examined(report.verdict, report.cause, tuple(losses))


def stages():
    """The script, and the script after one, two and three repairs.

    Returns
    -------
    list of str
    """
    texts = [stuck_script()]
    for old, new in REPAIRS:
        texts.append(texts[-1].replace(old, new))
    return texts
