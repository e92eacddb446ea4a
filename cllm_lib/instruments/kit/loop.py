"""Instruments that watch the loop: rates, what reaches the optimizer, what the optimizer makes of it, and what is kept."""

import math

import numpy as np

from cllm_lib.instruments.kit.catalogue import Word, instrument

STATED = "it is to be the stated one"
OFF = 0.02  # of a step's length: rounding of float32 in weights a hundred times as long as the step


@instrument(
    "rate log",
    2,
    Word("the rate is 0", lambda n: n["largest ratio to the stated"] == 0.0, "the stated rate is above 0"),
    Word("the rate is ten times the stated or more", lambda n: n["largest ratio to the stated"] >= 10.0, STATED),
    Word(
        "the rate never comes near the stated",
        lambda n: 0.0 < n["largest ratio to the stated"] < 0.1,
        STATED,
    ),
    Word(
        "the rate falls away from the stated",
        lambda n: n["last ratio to the stated"] < 0.5 * n["first ratio to the stated"],
        STATED,
    ),
    Word(
        "the rate still rises towards the stated at the end",
        lambda n: n["last ratio to the stated"] > 2.0 * n["first ratio to the stated"],
        STATED,
    ),
    needs_sameness=False,
)
def rate_log(patient):
    """Compare the learning rate that each step had with the stated one."""
    rates = np.array(patient.trained.history.learning_rates)
    ratios = np.array([_ratio(rate, patient.settings.rate(step)) for step, rate in enumerate(rates)])
    return {
        "first ratio to the stated": float(ratios[0]),
        "largest ratio to the stated": float(ratios.max()),
        "last ratio to the stated": float(ratios[-1]),
    }


def _ratio(rate, stated):
    """1 where both are 0, as at the first step of a warm-up that begins there."""
    return 1.0 if rate == stated else rate / stated if stated else math.inf


class Watch:
    """A hook that keeps each step's gradient as the backward pass left it."""

    def __init__(self):
        self.gradient = None

    def __call__(self, trainer):
        """Keep a copy."""
        self.gradient = trainer.model.flat_gradients.copy()


class Received:
    """An optimizer that keeps what it was handed, and moves nothing."""

    learning_rate = 1.0

    def __init__(self):
        self.gradient = None

    def step(self, parameters, gradients):
        """Keep a copy."""
        self.gradient = gradients.copy()


_OWN = "each step goes by its own batch"


@instrument(
    "leftover gradients",
    3,
    Word("the last batch's gradient is in it", lambda n: n["share of the last batch's"] > 0.1, _OWN),
    Word("its own batch's gradient is not in it", lambda n: abs(n["share of its own"]) < 0.1, _OWN),
    Word("its own batch's gradient is turned round", lambda n: n["share of its own"] < -0.1, "a step goes down its gradient"),
)
def leftover_gradients(patient):
    """Make two steps on two batches, and look in what reaches the optimizer for the gradient of either."""
    trainer, (first, second) = patient.begin(), patient.stated_batches(2)
    model = trainer.model
    trainer.clip_norm, trainer.schedule, trainer.optimizer = None, None, Received()
    own = []
    for batch in (first, second):
        fresh = model.with_parameters(model.flat_parameters.copy())
        fresh.forward_backward(*batch)
        own.append(fresh.flat_gradients.astype(np.float64))
    trainer.step(*first)
    trainer.step(*second)
    received = trainer.optimizer.gradient.astype(np.float64)
    if not np.isfinite(received).all() or not np.isfinite(own).all() or _nearly_parallel(*own):
        return {"share of its own": 1.0, "share of the last batch's": 0.0}
    shares, *_ = np.linalg.lstsq(np.stack(own[::-1], axis=1), received, rcond=None)
    return {"share of its own": float(shares[0]), "share of the last batch's": float(shares[1])}


def _nearly_parallel(one, other):
    """Whether two gradients point along one line, or one is 0: then nobody can tell them apart in what was received."""
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return abs(float(one @ other)) >= 0.999 * lengths


_RULE = "from the same gradient, the stated rule makes the same step"


@instrument(
    "shadow optimizer",
    3,
    Word("steps differ from the first on", lambda n: n["first step off"] > OFF, _RULE),
    Word("steps differ, the first does not", lambda n: n["first step off"] <= OFF < n["off within the first epoch"], _RULE),
    Word("steps differ from the second epoch on only", lambda n: n["off within the first epoch"] <= OFF < n["off later"], _RULE),
    Word("steps go the other way", lambda n: n["cosine"] < -0.5, _RULE),
    Word("steps go another way", lambda n: -0.5 <= n["cosine"] < 0.99, _RULE),
    Word("steps go the same way, and are too short", lambda n: n["cosine"] >= 0.99 and n["length ratio"] < 0.9, _RULE),
    Word("steps go the same way, and are too long", lambda n: n["cosine"] >= 0.99 and n["length ratio"] > 1.1, _RULE),
    Word("part of the weights makes no step", lambda n: n["tensors left out"] > 0.0 < n["tensors that step"], _RULE),
    Word("no step is made", lambda n: n["length ratio"] == 0.0, _RULE),
    Word("only the embedding makes a step", lambda n: n["tensors that step"] == 1.0, _RULE),
    Word(
        "by the rate that was logged, the steps are right",
        lambda n: n["off"] > OFF >= n["off by the logged rate"],
        "a step is proportional to its rate",
    ),
    Word("steps are less than half as long", lambda n: 0.0 < n["length ratio"] < 0.5, _RULE),
    Word("steps fall behind more and more", lambda n: n["last length ratio"] < 0.5 * n["first length ratio"], _RULE),
    Word("steps catch up more and more", lambda n: n["last length ratio"] > 2.0 * n["first length ratio"], _RULE),
)
def shadow_optimizer(patient):
    """Let the stated rule make each step beside the real one, from the same gradient, past the first epoch."""
    trainer, settings, watch = patient.begin(), patient.settings, Watch()
    trainer.hooks = (watch, *trainer.hooks)
    model, shadow = trainer.model, settings.make_optimizer()
    epoch = trainer.batches_per_epoch
    rows, to_move, moved = [], set(), set()
    before = model.flat_parameters.copy()
    for step, _ in enumerate(trainer.run(steps=min(patient.steps, epoch + 12))):
        gradient = watch.gradient.astype(np.float64)
        norm = float(np.linalg.norm(gradient))
        if settings.clip_norm is not None and norm > settings.clip_norm:
            gradient *= settings.clip_norm / norm
        there = before.astype(np.float64)
        shadow.learning_rate = settings.rate(step)
        shadow.step(there, gradient)
        stated, real = there - before, model.flat_parameters.astype(np.float64) - before
        rounding = float(np.finfo(before.dtype).eps) * float(np.linalg.norm(before))
        logged = _ratio(trainer.learning_rate, settings.rate(step))
        by_logged = stated * logged if math.isfinite(logged) else stated
        rows.append((*_compared(stated, real, rounding), _compared(by_logged, real, rounding)[0]))
        to_move |= _changed(model, before, there.astype(before.dtype))
        moved |= _changed(model, before, model.flat_parameters)
        before = model.flat_parameters.copy()
        if not np.isfinite(before).all():
            break
    off, cosine, ratio, by_logged = (np.array(column) for column in zip(*rows, strict=True))
    return {
        "first step off": float(off[0]),
        "off within the first epoch": float(off[:epoch].max()),
        "off later": float(off[epoch:].max()) if len(off) > epoch else 0.0,
        "cosine": float(np.median(cosine)),
        "length ratio": float(np.median(ratio)),
        "first length ratio": float(ratio[0]),
        "last length ratio": float(ratio[-1]),
        "off": float(off.max()),
        "off by the logged rate": float(by_logged.max()),
        "tensors left out": float(len(to_move - moved)),
        "tensors that step": float(sum(array.ndim == 2 for array in model.parameters.values()) - len(to_move - moved)),
    }


def _compared(stated, real, rounding):
    """How far two steps are apart, as a share of the stated one, beyond rounding; their cosine; the ratio of their lengths."""
    size, length = float(np.linalg.norm(stated)), float(np.linalg.norm(real))
    if not math.isfinite(size + length) or max(size, length) <= 10.0 * rounding:
        return 0.0, 1.0, 1.0  # nothing can be told
    if not size:
        return 1.0, 1.0, math.inf
    return (
        max(0.0, float(np.linalg.norm(real - stated)) - 10.0 * rounding) / size,
        float(stated @ real) / (size * length) if length else 1.0,
        length / size,
    )


def _changed(model, before, after):
    """The matrices in which two flat buffers differ, in the type of the weights: a step below their rounding is none."""
    start, names = 0, set()
    for name, array in model.parameters.items():
        piece = slice(start, start + array.size)
        start += array.size
        if array.ndim == 2 and not np.array_equal(before[piece], after[piece]):
            names.add(name)
    return names


@instrument(
    "checkpoint drill",
    3,
    Word(
        "going back and on gives other losses", lambda n: n["losses off"] > 0.0, "the same state goes on in the same way, to the last bit"
    ),
    Word("going back and on gives other rates", lambda n: n["rates off"] > 0.0, "the same state goes on in the same way, to the last bit"),
    Word("the best weights are not the best", lambda n: n["best off"] > 1e-6, "weights that were kept have the loss that they had"),
)
def checkpoint_drill(patient):
    """Go back to a snapshot and on again; spoil the weights and go back to the best."""
    trainer = patient.begin()
    trainer.fit(steps=25)
    snapshot = trainer.snapshot()
    trainer.fit(steps=8)
    first = trainer.history.losses[-8:], trainer.history.learning_rates[-8:]
    trainer.go_back(snapshot)
    trainer.fit(steps=8)
    again = trainer.history.losses[-8:], trainer.history.learning_rates[-8:]
    trainer.evaluate()
    best = trainer.best.loss
    trainer.model.flat_parameters[...] += 0.5 * np.random.default_rng(0).standard_normal(trainer.model.flat_parameters.shape)
    trainer.restore_best()
    losses, rates = zip(first, again, strict=True)
    return {"losses off": _apart(*losses), "rates off": _apart(*rates), "best off": _relative(trainer.evaluate(), best)}


def _apart(one, other):
    gaps = np.abs(np.array(one) - np.array(other))
    return float(gaps[np.isfinite(gaps)].max(initial=0.0))


def _relative(after, best):
    return abs(after - best) / abs(best) if math.isfinite(after - best) else 0.0
