"""The training to be examined: copies on the CPU, and how they are called."""

import contextlib
import copy
import functools
import random
import time
import warnings
from functools import cached_property

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from cllm_lib.instruments.torch.fewer import smaller
from cllm_lib.instruments.torch.structures import dense, main_output, mapped, tensors_in

SEED = 0  # of all noise while a training is examined
SECONDS = 3.8  # what begins later is left out, and said to be


def once(function):
    """Let a function of a subject be asked again without computing again."""

    @functools.wraps(function)
    def remembering(subject):
        if function not in subject.answers:
            subject.answers[function] = function(subject)
        return subject.answers[function]

    return remembering


class Subject:
    """A module, its loss and its batches, and perhaps its optimizer and loop. What it hands out are copies.

    Parameters
    ----------
    module : torch.nn.Module
    loss : callable
        `loss(module(inputs), targets)` is a scalar.
    pairs : list of (inputs, targets)
        The first is the one looked at most closely.
    optimizer : torch.optim.Optimizer or None
    scheduler : object or None
    step : callable or None
        `step(module, optimizer, scheduler, inputs, targets)` does what the reader's loop does for one batch.

    Raises
    ------
    ValueError
        If the three cannot be copied, or the loss is no scalar.
    """

    def __init__(self, module, loss, pairs, optimizer=None, scheduler=None, step=None):
        self.originals, self.answers = (module, optimizer, scheduler), {}
        self.loss, self.step = loss, step
        first, *others = [(on_cpu(inputs), on_cpu(targets)) for inputs, targets in pairs]
        self.pairs = [first, *(pair for pair in others if not _alike(pair, first))]  # the first is often one of the rest
        self.deadline = time.perf_counter() + SECONDS
        try:
            self._kept = copy.deepcopy(self.originals)
        except Exception as error:
            raise ValueError(
                f"the module, optimizer and scheduler could not be copied ({error}): keep no tensors that were computed as attributes "
                "of the module, and examine it before other processes share it"
            ) from error
        self._kept[0].to("cpu")
        _optimizer_to_cpu(self._kept[1])
        try:
            with quiet():
                value = self._first_loss()
        except Exception as error:
            raise ValueError(
                f"loss(module(inputs), targets) raised {type(error).__name__} on copies on the CPU: {error}. Give what the loop gives; a "
                "loss that keeps tensors on another device has to take them along"
            ) from error
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise ValueError(f"loss(module(inputs), targets) gave {shape}: it has to be one number, such as the mean over the batch")

    def _first_loss(self):
        """The loss of the first batch; of a large model, all batches are cut."""
        self.pairs, self.part = smaller(self.pairs, sum(p.numel() for p in self._kept[0].parameters()), self._runs)
        return self._loss_in_some_mode()

    def _runs(self, pair):
        try:
            self.loss_of(self.fresh().eval(), *pair)
        except Exception:
            return False
        return True

    def _loss_in_some_mode(self):
        """In the mode in which the module was handed over; in evaluation where that fails, as BatchNorm does with one example."""
        try:
            return self.loss_of(self.fresh(), *self.pairs[0])
        except Exception:
            if not self._kept[0].training:
                raise
            return self.loss_of(self.fresh().eval(), *self.pairs[0])

    part = ""  # of each batch, that is looked at; empty for all
    gives_the_same_twice = True  # noise is held still by a seed; what drops numbers in evaluation is told before all else

    @property
    def late(self):
        """Whether so much time has passed that nothing long should begin."""
        return time.perf_counter() > self.deadline

    def whole(self):
        """Module, optimizer and scheduler of one's own, as they were handed over."""
        return copy.deepcopy(self._kept)

    def fresh(self):
        """A module of one's own, as it was handed over."""
        return copy.deepcopy(self._kept[0])

    @cached_property
    def still(self):
        """A copy in evaluation mode: without dropout, and with BatchNorm's averages. In float64 where that runs."""
        module = self.fresh().eval()
        if any(p.dtype == torch.float64 for p in module.parameters()):
            return module
        try:
            with quiet():
                twin = self.fresh().double().eval()
                outputs = self.outputs_of(twin, in_double(self.pairs[0][0]))
                value = self.loss(outputs, in_double(self.pairs[0][1]))
            if all(t.dtype == torch.float64 for t in tensors_in(outputs) if t.is_floating_point()) and value.dtype == torch.float64:
                return twin
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            pass  # something inside makes float32 of its own: then float32 has to do
        return module.float() if any(p.dtype in (torch.float16, torch.bfloat16) for p in module.parameters()) else module

    @cached_property
    def exact(self):
        """Whether the still copy computes in float64."""
        kinds = {p.dtype for p in self.still.parameters()}
        return kinds <= {torch.float64} and all(t.dtype == torch.float64 for t in tensors_in(self.outputs) if t.is_floating_point())

    @cached_property
    def kind(self):
        """The type in which the still copy computes."""
        return next((p.dtype for p in self.still.parameters() if p.is_floating_point()), torch.float32)

    @property
    def rounding(self):
        """What rounding may change in an output, as a share of its size: far less is seen in float64."""
        return 1e-9 if self.exact else 1e-4

    def pair(self, number=0):
        """A batch in the type of the still copy."""
        return tuple(mapped(side, lambda t: t.to(self.kind) if t.is_floating_point() else t) for side in self.pairs[number])

    @cached_property
    def inputs(self):
        """The first batch's inputs, in the type of the still copy."""
        return self.pair()[0]

    @cached_property
    def targets(self):
        """The first batch's targets."""
        return self.pair()[1]

    @cached_property
    def outputs(self):
        """What the still copy returns of the first batch."""
        with quiet():
            return self.outputs_of(self.still, self.inputs)

    @cached_property
    def main(self):
        """The tensor among the outputs that the loss is made of, or None: a module may return its loss."""
        found = main_output(self.outputs)
        return found if found is not None and found.numel() > 1 else None

    @cached_property
    def all_tokens(self):
        """The inputs' tensors of ids, shape (B, T): whole numbers that an embedding can read, or a table of raw weights."""
        sizes = [m.num_embeddings for m in self.still.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
        sizes = sizes or [len(p) for p in self.still.parameters() if p.ndim == 2]
        found = [t for t in tensors_in(self.inputs) if not t.is_floating_point() and t.dtype != torch.bool and t.ndim == 2]
        return [t for t in found if sizes and t.numel() and int(t.min()) >= 0 and int(t.max()) < max(sizes) and t.shape[1] > 1]

    @property
    def tokens(self):
        """The first of them, or None."""
        return self.all_tokens[0] if self.all_tokens else None

    @cached_property
    def parameters(self):
        """The still copy's parameters by name, one name for those that are shared."""
        return dict(self.still.named_parameters())

    def outputs_of(self, module, inputs):
        """What a module returns; noise is the same each time, and inputs stay though a module may change its own in place."""
        seeded()
        with torch.enable_grad():
            return module(mapped(inputs, torch.clone))

    def loss_of(self, module, inputs, targets):
        """The loss, as a tensor."""
        return self.loss(self.outputs_of(module, inputs), targets)

    def main_of(self, module, inputs):
        """The main output, without its graph."""
        return main_output(self.outputs_of(module, inputs)).detach()


def seeded(number=SEED):
    """Let all random numbers begin anew."""
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - a reader's code may use the old generator


def on_cpu(structure):
    """The same on the CPU, cut from any graph, in memory of its own."""
    return mapped(structure, lambda tensor: tensor.detach().to("cpu", copy=True))


def in_double(structure):
    """The same with all fractions in float64."""
    return mapped(structure, lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)


def _optimizer_to_cpu(optimizer):
    for state in getattr(optimizer, "state", {}).values():
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                state[name] = value.to("cpu")


def without_dropout(module):
    """Set every dropout of a module to 0, in place: then its loop can be followed number by number."""
    for inner in module.modules():
        if "dropout" in type(inner).__name__.lower() and hasattr(inner, "p"):
            inner.p = 0.0
        for name in ("dropout", "dropout_p", "attn_dropout", "resid_dropout", "p_drop"):
            if isinstance(getattr(inner, name, None), float):
                setattr(inner, name, 0.0)
    return module


@contextlib.contextmanager
def quiet():
    """Without warnings: what they warn of is looked at by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def untouched(module, optimizer, scheduler, loss=None):
    """Whatever happens inside, these and all random states come out as they went in. Inside, gradients are made, whatever is set outside.

    The doctor works on copies; but a step may know the originals by their names, and train them instead, and a loss is no copy.

    Raises
    ------
    ValueError
        If the module is none, or has weights without numbers.
    """
    _with_numbers(module)
    modules = [m for whole in (module, loss) if isinstance(whole, nn.Module) for m in whole.modules()]
    tensors = [_Kept(table, name) for m in modules for table in (m._parameters, m._buffers) for name in table]
    things = [thing for thing in (optimizer, scheduler) if hasattr(thing, "state_dict")]
    states = [copy.deepcopy(thing.state_dict()) for thing in things]
    modes = [(m, m.training) for m in modules]
    noise = random.getstate(), np.random.get_state()  # noqa: NPY002 - a reader's code may use the old generator
    kind = torch.get_default_dtype()
    # Attention by its formula: the fast kernel of PyTorch 2.13 misreads a mask that is a transposed view in float64.
    with torch.random.fork_rng(), torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        try:
            yield
        finally:
            torch.set_default_dtype(kind)
            random.setstate(noise[0])
            np.random.set_state(noise[1])  # noqa: NPY002
            for mode, training in modes:
                mode.training = training
            for tensor in tensors:
                tensor.put_back()
            for thing, before in zip(things, states, strict=True):
                if not _alike(thing.state_dict(), before):
                    thing.load_state_dict(before)


def _with_numbers(module):
    """Complain of what has no weights that could be copied."""
    if not isinstance(module, nn.Module):
        raise ValueError(f"the module is a {type(module).__name__}, and has to be a torch.nn.Module")
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if torch.nn.parameter.is_lazy(tensor):
            raise ValueError(f"{name} has no shape yet: call the module once with inputs, before its optimizer is made and it is examined")
        if tensor.is_meta:
            raise ValueError(f'{name} is on the device "meta", which holds no numbers: load or draw the weights, then examine the module')


class _Kept:
    """A parameter or buffer of a module by its name, its numbers and those of its gradient, to be put back."""

    def __init__(self, table, name):
        self.table, self.name, self.tensor = table, name, table[name]
        if self.tensor is not None:
            self.wants, self.numbers = self.tensor.requires_grad, self.tensor.detach().clone()
            self.gradient = self.tensor.grad if self.tensor.is_leaf else None
            self.slope = None if self.gradient is None else self.gradient.detach().clone()

    def put_back(self):
        self.table[self.name] = self.tensor
        if self.tensor is None:
            return
        with torch.no_grad():
            if not _alike(self.tensor.detach(), self.numbers):
                self.tensor.copy_(self.numbers)
            if self.gradient is not None and not _alike(self.gradient, self.slope):
                self.gradient.copy_(self.slope)
        if self.tensor.is_leaf:
            self.tensor.requires_grad_(self.wants)
            if self.tensor.grad is not self.gradient:
                self.tensor.grad = self.gradient


def _alike(one, other):
    """Whether two states hold the same, number by number; NaN is like NaN, and a function like its copy."""
    if isinstance(one, torch.Tensor):
        same = isinstance(other, torch.Tensor) and (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)
        return same and bool(torch.equal(dense(one), dense(other)) or _equal_with_nan(dense(one), dense(other)))
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_alike(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return isinstance(other, list | tuple) and len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float | int | str | bool | type(None)):
        return isinstance(other, float | int | str | bool | type(None)) and (one == other or (one != one and other != other))
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and np.array_equal(one, other)
    return _alike(tensors_in(one), tensors_in(other))


def _equal_with_nan(one, other):
    return one.is_floating_point() and bool(((one == other) | (one.isnan() & other.isnan())).all())
