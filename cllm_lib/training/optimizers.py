"""Rules that turn a gradient into a step. Each works in place, on flat arrays: one pass over memory."""

import math

import numpy as np

from cllm_lib.checks import one_of, positive_number

BLOCK = 32_768  # floats: small enough that a block and its moments stay in the processor's cache between operations


class SGD:
    """Stochastic gradient descent: p -= rate * g.

    Parameters
    ----------
    learning_rate : float
        At least 0.

    Raises
    ------
    ValueError
        If the rate is negative, NaN or infinite.
    """

    def __init__(self, learning_rate):
        self.learning_rate = positive_number(learning_rate, "learning_rate")

    def step(self, parameters, gradients):
        """Change `parameters` in place; both are flat arrays of the same length."""
        parameters -= self.learning_rate * gradients


class Adam:
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

    def __init__(self, learning_rate, beta1=0.9, beta2=0.999, eps=1e-8):
        self.learning_rate = positive_number(learning_rate, "learning_rate")
        self.beta1 = positive_number(beta1, "beta1")
        self.beta2 = positive_number(beta2, "beta2")
        self.eps = positive_number(eps, "eps")
        for name in ("beta1", "beta2"):
            if getattr(self, name) >= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)!r}: a running mean needs a share below 1")
        self.steps = 0
        self.first_moment = self.second_moment = None

    def step(self, parameters, gradients):
        """Change `parameters` in place; both are flat arrays of the same length."""
        if self.first_moment is None:
            self.first_moment = np.zeros_like(parameters)
            self.second_moment = np.zeros_like(parameters)
            self._scratch = np.empty(min(BLOCK, len(parameters)), parameters.dtype)
        self.steps += 1
        root_correction = 1.0 / math.sqrt(1.0 - self.beta2**self.steps)
        rate = self.learning_rate / (1.0 - self.beta1**self.steps)
        for start in range(0, len(parameters), BLOCK):
            block = slice(start, start + BLOCK)
            p, g, m, v = parameters[block], gradients[block], self.first_moment[block], self.second_moment[block]
            scratch = self._scratch[: len(p)]
            m *= self.beta1
            m += np.multiply(g, 1.0 - self.beta1, out=scratch)
            np.multiply(g, g, out=scratch)
            scratch *= 1.0 - self.beta2
            v *= self.beta2
            v += scratch
            np.sqrt(v, out=scratch)
            scratch *= root_correction
            scratch += self.eps
            np.divide(m, scratch, out=scratch)
            scratch *= rate
            p -= scratch


OPTIMIZERS = {"sgd": SGD, "adam": Adam}


def make_optimizer(optimizer, learning_rate):
    """The optimiser of that name, or `optimizer` itself if it is one already.

    Raises
    ------
    ValueError
        If the name is unknown; the error lists those that exist.
    """
    if hasattr(optimizer, "step"):
        return optimizer
    return one_of(optimizer, OPTIMIZERS, "optimizer")(learning_rate)


def clip_by_global_norm(gradients, max_norm):
    """Scale a flat gradient down, in place, so that its length is at most `max_norm`.

    Returns
    -------
    float
        The length before.

    Notes
    -----
    Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks", section 3.2.
    """
    norm = float(np.linalg.norm(gradients))
    if norm > max_norm:
        gradients *= max_norm / norm
    return norm
