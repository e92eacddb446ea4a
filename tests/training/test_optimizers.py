import sys
import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE

from cllm_lib.browser import in_browser
from cllm_lib.training import optimizers
from cllm_lib.training.optimizers import (
    BLOCK,
    OPTIMIZERS,
    SGD,
    Adam,
    AdamW,
    Momentum,
    RMSProp,
    clip_by_global_norm,
    global_norm,
    make_optimizer,
    stepped,
)

needs_threads = pytest.mark.skipif(in_browser(), reason="no thread can start in a browser")


def test_sgd_subtracts_rate_times_gradient():
    parameters = np.array([1.0, 2.0])
    SGD(0.5).step(parameters, np.array([4.0, -2.0]))
    np.testing.assert_array_equal(parameters, [-1.0, 3.0])


def slow_adam(start, gradients, rate, beta1, beta2, eps):
    """Algorithm 1 of Kingma and Ba, one number at a time; the means as sums over the whole history."""
    p = start
    for t in range(1, len(gradients) + 1):
        m = sum((1 - beta1) * beta1 ** (t - i) * g for i, g in enumerate(gradients[:t], 1))
        v = sum((1 - beta2) * beta2 ** (t - i) * g * g for i, g in enumerate(gradients[:t], 1))
        p = p - rate * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)) ** 0.5 + eps)
    return p


@given(
    gradients=st.lists(st.floats(-10, 10), min_size=1, max_size=8),
    start=st.floats(-5, 5),
    beta1=st.floats(0, 0.99),
    beta2=st.floats(0, 0.999),
)
def test_adam_is_kingma_and_bas_algorithm(gradients, start, beta1, beta2):
    optimizer, parameters = Adam(0.01, beta1, beta2, eps=1e-3), np.array([start])
    for gradient in gradients:
        optimizer.step(parameters, np.array([gradient]))
    assert parameters[0] == pytest.approx(slow_adam(start, gradients, 0.01, beta1, beta2, 1e-3), abs=1e-9)


def test_adams_moments_are_the_running_means_of_the_paper():
    optimizer, gradients = Adam(0.01, beta1=0.8, beta2=0.9), np.array([[1.0, -2.0], [3.0, 0.5], [-1.0, 4.0]])
    assert optimizer.first_moment is None
    assert optimizer.second_moment is None
    m = v = 0.0
    for gradient in gradients:
        optimizer.step(np.zeros(2), gradient)
        m, v = 0.8 * m + 0.2 * gradient, 0.9 * v + 0.1 * gradient**2
        np.testing.assert_allclose(optimizer.first_moment, m, rtol=1e-14)
        np.testing.assert_allclose(optimizer.second_moment, v, rtol=1e-14)


def test_adams_first_step_has_the_length_of_the_rate():
    parameters = np.zeros(3)
    Adam(0.1).step(parameters, np.array([1e-3, 5.0, -2e4]))
    np.testing.assert_allclose(parameters, [-0.1, -0.1, 0.1], rtol=1e-4)


def test_adam_treats_every_block_alike():
    size = 2 * BLOCK + 17
    gradient = np.random.default_rng(0).standard_normal(size)
    whole, apart = np.ones(size), np.ones(size)
    optimizer, singles = Adam(0.1), [(slice(i, i + 1000), Adam(0.1)) for i in range(0, size, 1000)]
    for _ in range(3):
        optimizer.step(whole, gradient)
        for part, single in singles:
            single.step(apart[part], gradient[part])
    np.testing.assert_array_equal(whole, apart)


MADE = [
    lambda: SGD(0.1),
    lambda: SGD(0.1, momentum=0.5, nesterov=True),
    lambda: Momentum(0.1, 0.8),
    lambda: RMSProp(0.1, 0.9, 1e-6),
    lambda: Adam(0.1, 0.8, 0.9, 1e-6),
    lambda: AdamW(0.1, 0.3),
]


@pytest.mark.parametrize("make", MADE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_another_one_with_its_settings_and_state_goes_on_as_it_would(make, dtype, steps):
    gradients = np.random.default_rng(0).standard_normal((steps + 3, 10)).astype(dtype)
    first, parameters = make(), np.ones(10, dtype)
    for gradient in gradients[:steps]:
        first.step(parameters, gradient)
    second, copied = type(first)(**first.settings()), parameters.copy()
    second.load_state({name: np.array(array) for name, array in first.state().items()})
    for gradient in gradients[steps:]:
        first.step(parameters, gradient)
        second.step(copied, gradient)
    np.testing.assert_array_equal(copied, parameters)


@needs_threads
@pytest.mark.parametrize("make", [Adam, AdamW])
def test_threads_change_no_digit(make, monkeypatch):
    size = 5 * BLOCK + 17
    gradient = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    ends = []
    for many, processors in ((size, 3), (size + BLOCK, 3), (size, 1), (size, 50)):
        monkeypatch.setattr(optimizers, "MANY", many)
        monkeypatch.setattr(optimizers, "_processors", lambda processors=processors: processors)
        parameters, optimizer = np.ones(size, np.float32), make(0.1)
        for _ in range(3):
            optimizer.step(parameters, gradient)
        ends.append(parameters)
    for end in ends[1:]:
        np.testing.assert_array_equal(end, ends[0])


@needs_threads
def test_work_is_shared_out_whole_and_its_threads_have_ended(monkeypatch):
    monkeypatch.setattr(optimizers, "MANY", 1)
    monkeypatch.setattr(optimizers, "_processors", lambda: 3)
    seen, names, all_at_once = [], set(), threading.Barrier(3)

    def work(blocks):
        names.add(threading.current_thread().name)
        seen.extend(blocks)
        all_at_once.wait(timeout=PATIENCE)

    before = threading.active_count()
    optimizers.share_out(work, list(range(10)))
    assert sorted(seen) == list(range(10))
    assert len(names) == 3
    assert threading.active_count() == before


@needs_threads
def test_an_error_in_a_thread_is_not_lost(monkeypatch):
    monkeypatch.setattr(optimizers, "MANY", 1)
    monkeypatch.setattr(optimizers, "_processors", lambda: 2)

    def work(blocks):
        if 1 in blocks:
            raise MemoryError("in the second thread")

    with pytest.raises(MemoryError, match="in the second thread"):
        optimizers.share_out(work, [0, 1])


@needs_threads
@pytest.mark.parametrize(("counted", "threads"), [(3, 3), (None, 1)])
def test_where_nobody_says_which_processors_are_ours_all_are_counted(monkeypatch, counted, threads):
    """macOS and Windows have no sched_getaffinity, and a system may not know its count of processors."""
    monkeypatch.delattr(optimizers.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(optimizers.os, "cpu_count", lambda: counted)
    assert optimizers._processors() == threads


def test_a_browser_starts_no_threads(monkeypatch):
    monkeypatch.setattr(sys, "platform", "emscripten")
    assert optimizers._processors() == 1


def test_zero_gradients_move_nothing():
    for optimizer in (make(1.0) for make in OPTIMIZERS.values()):
        parameters = np.zeros(5)
        for _ in range(3):
            optimizer.step(parameters, np.zeros(5))
        np.testing.assert_array_equal(parameters, np.zeros(5))


def test_momentum_adds_up_a_constant_gradient_to_a_geometric_series():
    parameters, optimizer = np.zeros(1), Momentum(1.0, momentum=0.5)
    positions = []
    for _ in range(3):
        optimizer.step(parameters, np.ones(1))
        positions.append(parameters[0])
    assert positions == [-1.0, -1.0 - 1.5, -1.0 - 1.5 - 1.75]


def test_nesterov_is_one_velocity_ahead():
    parameters = np.zeros(1)
    Momentum(1.0, momentum=0.5, nesterov=True).step(parameters, np.ones(1))
    assert parameters[0] == -1.5


def test_rmsprop_ignores_the_size_of_the_gradient():
    small, large = np.zeros(1), np.zeros(1)
    first, second = RMSProp(0.1, eps=0.0), RMSProp(0.1, eps=0.0)
    for _ in range(4):
        first.step(small, np.array([1e-3]))
        second.step(large, np.array([1e3]))
    np.testing.assert_allclose(small, large, rtol=1e-12)
    assert small[0] < 0


def test_adamw_shrinks_weights_apart_from_the_step():
    decayed, plain = np.array([2.0, -3.0]), np.array([2.0, -3.0])
    gradient = np.array([0.5, 0.1])
    AdamW(0.1, weight_decay=0.2).step(decayed, gradient)
    Adam(0.1).step(plain, gradient)
    np.testing.assert_allclose(decayed - plain, -0.1 * 0.2 * np.array([2.0, -3.0]), rtol=1e-12)


def test_adamw_shrinks_weights_by_a_hundredth_of_the_rate_unless_told_otherwise():
    weights = np.array([2.0, -3.0])
    AdamW(0.1).step(weights, np.zeros(2))  # the default of PyTorch's AdamW, too
    np.testing.assert_allclose(weights, (1.0 - 0.1 * 0.01) * np.array([2.0, -3.0]), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "peer", "settings"),
    [
        (lambda: SGD(0.05), "SGD", {"lr": 0.05}),
        (lambda: Momentum(0.05), "SGD", {"lr": 0.05, "momentum": 0.9}),
        (lambda: Momentum(0.05, nesterov=True), "SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
        (lambda: RMSProp(0.01), "RMSprop", {"lr": 0.01}),
        (lambda: Adam(0.01), "Adam", {"lr": 0.01}),
        (lambda: AdamW(0.01, weight_decay=0.1), "AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ],
    ids=["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"],
)
def test_fifty_steps_agree_with_pytorch(make, peer, settings):
    torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
    generator = np.random.default_rng(0)
    ours = generator.standard_normal(200)
    theirs = torch.tensor(ours.copy(), requires_grad=True)
    optimizer, other = make(), getattr(torch.optim, peer)([theirs], **settings)
    for _ in range(50):
        gradient = generator.standard_normal(200)
        optimizer.step(ours, gradient)
        theirs.grad = torch.tensor(gradient)
        other.step()
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SGD(0.1, momentum=1.0), "momentum is 1.0: a running mean needs a share below 1"),
        (lambda: SGD(0.1, nesterov=True), "needs a momentum above 0"),
        (lambda: RMSProp(0.1, decay=-0.1), "decay is -0.1"),
        (lambda: AdamW(0.1, weight_decay=float("nan")), "weight_decay is nan"),
    ],
)
def test_bad_settings_get_a_clear_error(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_clipping_keeps_the_direction_and_limits_the_length():
    gradients = np.array([3.0, 4.0])
    assert clip_by_global_norm(gradients, 10.0) == 5.0
    np.testing.assert_array_equal(gradients, [3.0, 4.0])
    clip_by_global_norm(gradients, 1.0)
    np.testing.assert_allclose(gradients, [0.6, 0.8])


@pytest.mark.parametrize("rate", [-1e-3, float("nan"), float("inf"), "fast", None, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_bad_rates_get_a_clear_error(name, rate):
    with pytest.raises(ValueError, match="learning_rate is .*: give a finite number"):
        make_optimizer(name, rate)


def test_bad_betas_get_a_clear_error():
    with pytest.raises(ValueError, match="beta2 is 1.0: a running mean needs a share below 1"):
        Adam(0.1, beta2=1.0)


def test_unknown_optimizer_names_those_that_exist():
    with pytest.raises(ValueError, match="unknown optimizer 'adamax': choose one of 'sgd', 'momentum', 'rmsprop', 'adam', 'adamw'"):
        make_optimizer("adamax", 0.1)


def test_fractions_are_numbers_too():
    assert SGD(Fraction(1, 4)).learning_rate == 0.25


def test_an_object_is_taken_as_it_is_and_a_class_or_another_rate_is_refused():
    optimizer = SGD(0.25)
    assert make_optimizer(optimizer, None) is make_optimizer(optimizer, 0.25) is optimizer
    with pytest.raises(
        ValueError, match="learning_rate is 0.5, and the optimizer, SGD, has its own, 0.25: nobody would read the one given"
    ):
        make_optimizer(optimizer, 0.5)
    with pytest.raises(ValueError, match="optimizer is the class Adam itself"):
        make_optimizer(Adam, 0.5)
    own = type("Own", (), {"step": lambda self, parameters, gradients: None})()
    assert make_optimizer(own, None) is own
    with pytest.raises(ValueError, match="the optimizer, Own, has no learning_rate: nobody"):
        make_optimizer(own, 0.5)


@pytest.mark.parametrize("limit", [0, -1.0, float("nan"), float("inf"), None])
def test_a_limit_that_lets_nothing_through_is_refused(limit):
    gradients = np.array([3.0, 4.0])
    with pytest.raises(ValueError, match="max_norm is .*: give a finite number above 0; a limit of 0 lets no gradient through"):
        clip_by_global_norm(gradients, limit)
    np.testing.assert_array_equal(gradients, [3.0, 4.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_length_of_finite_numbers_is_finite(dtype):
    most = np.finfo(dtype).max / 8
    assert global_norm(np.array([3.0, -4.0], dtype=dtype)) == 5.0
    assert global_norm(np.array([most, -most], dtype=dtype)) == pytest.approx(2**0.5 * float(most), rel=1e-6)
    assert global_norm(np.array([1.0, -np.inf], dtype=dtype)) == np.inf
    assert np.isnan(global_norm(np.array([1.0, np.nan, np.inf], dtype=dtype)))
    long = np.array([most, most], dtype=dtype)
    clip_by_global_norm(long, 1.0)
    np.testing.assert_allclose(long, 0.5**0.5, rtol=1e-6)


def test_a_step_works_in_place_or_is_refused():
    parameters = np.ones(3)
    stepped(SGD(0.5), parameters, np.ones(3))
    np.testing.assert_array_equal(parameters, 0.5)
    gives_back = type("GivesBack", (), {"step": lambda self, parameters, gradients: parameters})()
    stepped(gives_back, parameters, np.ones(3))
    new = type("New", (), {"step": lambda self, parameters, gradients: parameters - gradients})()
    with pytest.raises(ValueError, match="step of New returned an array, which nobody reads"):
        stepped(new, parameters, np.ones(3))
