"""Rules that turn a gradient into a step. Each works in place, on flat arrays: one pass over memory."""

import math
import os

import numpy as np

from cllm_lib.browser import in_browser
from cllm_lib.checks import instance, non_negative_number, one_of, positive_number
from cllm_lib.model.threads import MANY

BLOCK = 65_536  # floats: small enough that a block and its moments stay in the processor's cache between operations
MOST_THREADS = 4  # a pass over memory goes no faster with more


class Optimizer:
    """What the rules below share: a checkpoint can ask each what it was made with, and what it has gathered since.

    A rule of one's own needs nothing of this; `step(parameters, gradients)` is enough for training.
    """

    setting_names = ("learning_rate",)

    def settings(self):
        """The numbers it was made with, by name: `type(optimizer)(**optimizer.settings())` makes another."""
        return {name: getattr(self, name) for name in self.setting_names}

    def state(self):
        """What it has gathered, by name: arrays; none before the first step."""
        return {}

    def load_state(self, state):
        """Take over what :meth:`state` of another one gave."""


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

        v = momentum v + g        p -= rate * v        (Nesterov: p -= rate * (g + momentum v))

    Parameters
    ----------
    learning_rate : float
        At least 0.
    momentum : float
        Share of the last velocity that is kept; at least 0 and below 1.
    nesterov : bool
        Look ahead along the velocity.

    Raises
    ------
    ValueError
        If a number is negative, NaN or infinite, momentum is not below 1, or Nesterov is asked for without momentum.

    Notes
    -----
    Sutskever, Martens, Dahl, Hinton 2013, "On the importance of initialization and momentum in deep learning",
    section 2, in the form in which the rate multiplies the velocity.
    """

    setting_names = ("learning_rate", "momentum", "nesterov")

    def __init__(self, learning_rate, momentum=0.0, nesterov=False):
        self.learning_rate = non_negative_number(learning_rate, "learning_rate")
        self.momentum = _running_share(momentum, "momentum")
        if nesterov and not momentum:
            raise ValueError("nesterov looks ahead along the velocity, which needs a momentum above 0, such as 0.9")
        self.nesterov = nesterov
        self.velocity = None

    def step(self, parameters, gradients):
        """Change `parameters` in place; both are flat arrays of the same length."""
        if not self.momentum:
            parameters -= self.learning_rate * gradients
            return
        if self.velocity is None:
            self.velocity = np.zeros_like(parameters)
        self.velocity *= self.momentum
        self.velocity += gradients
        ahead = gradients + self.momentum * self.velocity if self.nesterov else self.velocity
        parameters -= self.learning_rate * ahead

    def state(self):
        """The velocity."""
        return {} if self.velocity is None else {"velocity": self.velocity}

    def load_state(self, state):
        """Take over a velocity."""
        self.velocity = state.get("velocity")


class Momentum(SGD):
    """SGD that keeps nine tenths of its velocity: the optimiser named "momentum"."""

    def __init__(self, learning_rate, momentum=0.9, nesterov=False):
        super().__init__(learning_rate, momentum, nesterov)


class RMSProp(Optimizer):
    """Each parameter's step, divided by the running size of its gradient.

        v = decay v + (1 - decay) g^2        p -= rate * g / (sqrt(v) + eps)

    Parameters
    ----------
    learning_rate, decay, eps : float

    Raises
    ------
    ValueError
        If a number is negative, NaN or infinite, or `decay` is not below 1.

    Notes
    -----
    Tieleman and Hinton 2012, "Neural Networks for Machine Learning", lecture 6.5.
    """

    setting_names = ("learning_rate", "decay", "eps")

    def __init__(self, learning_rate, decay=0.99, eps=1e-8):
        self.learning_rate = non_negative_number(learning_rate, "learning_rate")
        self.decay = _running_share(decay, "decay")
        self.eps = non_negative_number(eps, "eps")
        self.second_moment = None

    def step(self, parameters, gradients):
        """Change `parameters` in place; both are flat arrays of the same length."""
        if self.second_moment is None:
            self.second_moment = np.zeros_like(parameters)
        self.second_moment *= self.decay
        self.second_moment += (1.0 - self.decay) * gradients * gradients
        parameters -= self.learning_rate * gradients / (np.sqrt(self.second_moment) + self.eps)

    def state(self):
        """The running mean of the squares."""
        return {} if self.second_moment is None else {"second_moment": self.second_moment}

    def load_state(self, state):
        """Take over a running mean."""
        self.second_moment = state.get("second_moment")


class Adam(Optimizer):
    """Adam: a step of about `learning_rate` in every parameter, whatever the size of its gradient.

    m and v are running means of the gradient and of its square. Both start at 0 and are too small at first; the
    divisions by 1 - beta**t undo that.

        m = beta1 m + (1 - beta1) g        v = beta2 v + (1 - beta2) g^2
        p -= rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    Parameters
    ----------
    learning_rate, beta1, beta2, eps : float

    Raises
    ------
    ValueError
        If a number is negative, NaN or infinite, or a beta is not below 1.

    Notes
    -----
    Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", algorithm 1.
    """

    setting_names = ("learning_rate", "beta1", "beta2", "eps")

    def __init__(self, learning_rate, beta1=0.9, beta2=0.999, eps=1e-8):
        self.learning_rate = non_negative_number(learning_rate, "learning_rate")
        self.beta1 = _running_share(beta1, "beta1")
        self.beta2 = _running_share(beta2, "beta2")
        self.eps = non_negative_number(eps, "eps")
        self.weight_decay = 0.0
        self.steps = 0
        self._sums = None  # as long as the parameters, twice: the moments without their constant factors

    @property
    def first_moment(self):
        """m, as long as the parameters; None before the first step."""
        return None if self._sums is None else (1.0 - self.beta1) * self._sums[0]

    @property
    def second_moment(self):
        """v, as long as the parameters; None before the first step."""
        return None if self._sums is None else (1.0 - self.beta2) * self._sums[1]

    def step(self, parameters, gradients):
        """Change `parameters` in place; both are flat arrays of the same length."""
        if self._sums is None:
            self._sums = np.zeros((2, len(parameters)), parameters.dtype)
        self.steps += 1
        # A sum s = beta1 s + g is m without its factor: m = (1 - beta1) s, and v likewise. The factors and the
        # corrections then meet in two numbers outside the loop, and a block takes ten passes instead of thirteen.
        root = math.sqrt((1.0 - self.beta2) / (1.0 - self.beta2**self.steps))
        rate = self.learning_rate * (1.0 - self.beta1) / (1.0 - self.beta1**self.steps) / root
        eps = self.eps / root

        def update(blocks):
            scratch = np.empty(min(BLOCK, len(parameters)), parameters.dtype)
            for block in blocks:
                p, g, s, q = (array[block] for array in (parameters, gradients, *self._sums))
                change = scratch[: len(p)]
                if self.weight_decay:
                    p *= 1.0 - self.learning_rate * self.weight_decay
                s *= self.beta1
                s += g
                q *= self.beta2
                q += np.multiply(g, g, out=change)
                np.sqrt(q, out=change)
                change += eps
                np.divide(s, change, out=change)
                change *= rate
                p -= change

        share_out(update, [slice(start, start + BLOCK) for start in range(0, len(parameters), BLOCK)])

    def state(self):
        """The two sums, and the number of steps, from which the corrections follow."""
        if self._sums is None:
            return {}
        return {"gradient_sum": self._sums[0], "square_sum": self._sums[1], "steps": np.array(self.steps, dtype=np.int64)}

    def load_state(self, state):
        """Take over sums and steps."""
        self._sums = np.stack([state["gradient_sum"], state["square_sum"]]) if state else None
        self.steps = int(state["steps"]) if state else 0


class AdamW(Adam):
    """Adam, and every parameter shrinks by the share `learning_rate * weight_decay` at each step.

    The shrinking stands outside the moments: added to the gradient instead, it would be divided by the gradient's
    size, and weights with large gradients would hardly decay.

    Parameters
    ----------
    learning_rate, weight_decay, beta1, beta2, eps : float

    Notes
    -----
    Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2.
    """

    setting_names = (*Adam.setting_names, "weight_decay")

    def __init__(self, learning_rate, weight_decay=0.01, beta1=0.9, beta2=0.999, eps=1e-8):
        super().__init__(learning_rate, beta1, beta2, eps)
        self.weight_decay = non_negative_number(weight_decay, "weight_decay")


def share_out(work, blocks):
    """Call `work(some of the blocks)`, in up to four threads at the same time where there are blocks enough to share.

    NumPy lets go of the interpreter while it goes over a block, so Python's threads do run side by side. They are
    started here and have ended when this returns; an error in one of them is raised here.
    """
    threads = min(MOST_THREADS, _processors()) if len(blocks) * BLOCK >= MANY else 1
    if threads == 1:
        work(blocks)
        return
    from concurrent.futures import ThreadPoolExecutor  # here, not above: most models are too small to need it

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [blocks[i::threads] for i in range(threads)]))


def _processors():
    if in_browser():  # no thread starts there
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _running_share(value, name):
    """A share of the past that a running mean keeps: at least 0, below 1."""
    value = non_negative_number(value, name)
    if value >= 1.0:
        raise ValueError(f"{name} is {value!r}: a running mean needs a share below 1")
    return value


OPTIMIZERS = {"sgd": SGD, "momentum": Momentum, "rmsprop": RMSProp, "adam": Adam, "adamw": AdamW}


def make_optimizer(optimizer, learning_rate):
    """The optimiser of that name, or `optimizer` itself if it is one already.

    Parameters
    ----------
    optimizer : str or object
    learning_rate : float or None
        For a name. None beside an object, which has its own.

    Raises
    ------
    ValueError
        If the name is unknown; the error lists those that exist. If it is a class, or has no `step`; if a rate is given beside an
        object that has another.
    """
    if isinstance(optimizer, str):
        return one_of(optimizer, OPTIMIZERS, "optimizer")(learning_rate)
    instance(optimizer, "optimizer", ("step",))
    own = getattr(optimizer, "learning_rate", None)
    if learning_rate is not None and learning_rate != own:
        has = "has no learning_rate" if own is None else f"has its own, {own:g}"
        raise ValueError(
            f"learning_rate is {learning_rate!r}, and the optimizer, {type(optimizer).__name__}, {has}: nobody would read the one given "
            "beside it, so set the rate where the optimizer is made"
        )
    return optimizer


def stepped(optimizer, parameters, gradients):
    """One step of an optimiser, which has to work in place.

    Raises
    ------
    ValueError
        If it returns an array: it is none that works in place, and nobody would read what it returns.
    """
    result = optimizer.step(parameters, gradients)
    if isinstance(result, np.ndarray) and result is not parameters:
        raise ValueError(
            f"step of {type(optimizer).__name__} returned an array, which nobody reads: change parameters in place, parameters -= ..., and "
            "return nothing"
        )


def global_norm(gradients):
    """The length of a flat gradient; of finite numbers it is finite, though their squares may overflow."""
    with np.errstate(over="ignore"):
        norm = float(np.linalg.norm(gradients))
    if math.isinf(norm):
        most = float(np.abs(gradients).max())
        norm = most * float(np.linalg.norm(gradients / most)) if math.isfinite(most) else most
    return norm


def clip_by_global_norm(gradients, max_norm):
    """Scale a flat gradient down, in place, so that its length is at most `max_norm`.

    Returns
    -------
    float
        The length before.

    Raises
    ------
    ValueError
        If `max_norm` is no finite number above 0.

    Notes
    -----
    Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks", section 3.2.
    """
    positive_number(max_norm, "max_norm", "; a limit of 0 lets no gradient through")
    norm = global_norm(gradients)
    if norm > max_norm:
        gradients *= max_norm / norm
    return norm
