"""What happens inside a module while it computes: its softmaxes, its units, its noise, and which module is at work."""

from dataclasses import dataclass, field

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

NOISE = ("bernoulli", "native_dropout", "_fused_dropout", "alpha_dropout", "feature_dropout")
JUMPS = ("round", "floor", "ceil", "sign", "argmax", "argmin", "gumbel", "multinomial", "topk", "bernoulli")  # where a slope is 0 or chosen


class Operations(TorchDispatchMode):
    """Sees every operation; without loading the compiler, which newer versions keep away from such modes at a cost of seconds."""

    @classmethod
    def _should_skip_dynamo(cls):
        return False


@dataclass
class Seen:
    """What a module did in one call.

    Attributes
    ----------
    softmaxes : list of (tensor, int)
        What came out, and the axis along which it sums to 1.
    units : list of (str, tensor)
        "relu", "tanh" or "sigmoid", and what came out, with the units as the last axis.
    attends : list of str
        The innermost module in which one position looked at others, once for each time.
    calls : list of (str, tuple of int or None, tuple of int or None)
        Modules in the order in which they ended: name, shape that came in, shape that went out.
    spans : dict of str to (int, int)
        For each module, where in the order of all beginnings it began and ended.
    drops, noise, jumps, cuts : bool
        Whether something was dropped at random; whether other noise was added, but that of a width which is computed (as in a
        variational autoencoder) or of a choice; whether something jumps or is chosen; whether a tensor was detached.
    """

    softmaxes: list = field(default_factory=list)
    units: list = field(default_factory=list)
    attends: list = field(default_factory=list)
    calls: list = field(default_factory=list)
    spans: dict = field(default_factory=dict)
    drops: bool = False
    noise: bool = False
    jumps: bool = False
    cuts: bool = False


def watch(module, call):
    """Call a module, and write down what it does.

    Parameters
    ----------
    module : torch.nn.Module
    call : callable
        Without arguments.

    Returns
    -------
    Seen
    """
    seen, names = Seen(), {inner: name for name, inner in module.named_modules()}
    stack, clock, began, widths, noises, last = [], iter(range(1_000_000_000)), {}, set(), set(), []

    def enters(inner, inputs):
        stack.append(inner)
        began.setdefault(names[inner], next(clock))

    def leaves(inner, inputs, outputs):
        stack.pop()
        last[:] = [inner] if not isinstance(inner, nn.ReLU | nn.Tanh | nn.Sigmoid) else last
        seen.calls.append((names[inner], _shape(inputs), _shape(outputs)))
        seen.spans[names[inner]] = (began[names[inner]], next(clock))

    hooks = [hook for inner in names for hook in (inner.register_forward_pre_hook(enters), inner.register_forward_hook(leaves))]

    def where():
        return names[stack[-1]] if stack else ""

    class Calls(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            name = getattr(function, "__name__", "")
            seen.cuts = seen.cuts or _cuts(function, name, args)
            seen.jumps = seen.jumps or any(jump in name for jump in JUMPS)
            if name == "scaled_dot_product_attention":
                seen.attends.append(where())
            return function(*args, **(kwargs or {}))

    class Watch(Operations):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            result = operation(*args, **(kwargs or {}))
            name = operation.overloadpacket.__name__
            if name in ("_softmax", "_safe_softmax"):
                axis = args[1] % result.ndim
                seen.softmaxes.append((result.detach(), axis))
                if result.ndim >= 3 and result.shape[-1] > 1:
                    seen.attends.append(where())
            elif name in ("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_efficient_attention"):
                seen.attends.append(where())
            elif name in ("relu", "relu_", "clamp_min", "threshold"):
                seen.units.append(("relu", _units_last(result, last)))
            elif name in ("tanh", "tanh_", "sigmoid", "sigmoid_"):
                seen.units.append((name.rstrip("_"), _units_last(result, last)))
            elif name in ("exp", "softplus"):
                widths.add(tuple(result.shape))
            elif name in ("randn", "randn_like", "normal_", "normal", "rand_like", "uniform_"):
                noises.add(tuple(result.shape))
            seen.drops = seen.drops or any(kind in name for kind in NOISE)
            return result

    try:
        with Calls(), Watch():
            call()
    finally:
        for hook in hooks:
            hook.remove()
    seen.noise = bool(noises - widths)
    return seen


def _cuts(function, name, args):
    """Whether a call leaves the graph."""
    data = name == "__get__" and function == torch.Tensor.data.__get__
    return data or (name == "_set_grad_enabled" and not all(args)) or name in ("detach", "detach_", "numpy", "item", "tolist")


def _units_last(values, last):
    """A copy with the units last: convolutions, and BatchNorm behind them, have them on the second axis."""
    convolved = bool(last) and isinstance(last[0], nn.modules.conv._ConvNd | nn.modules.batchnorm._BatchNorm)
    values = values.detach().clone()
    return values.movedim(1, -1) if values.ndim == 4 or (values.ndim == 3 and convolved) else values


def _shape(structure):
    """Of the first tensor, or None."""
    if isinstance(structure, torch.Tensor):
        return tuple(structure.shape)
    values = structure.values() if isinstance(structure, dict) else structure if isinstance(structure, list | tuple) else ()
    return next((shape for value in values if (shape := _shape(value)) is not None), None)


def kinds_into(kinds):
    """While it is open, put the type of every tensor that is computed into a set.

    Returns
    -------
    context manager
    """

    class Kinds(Operations):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            result = operation(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                kinds.add(result.dtype)
            return result

    return Kinds()
