"""A benchmark that compares different work is worth nothing."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import growth, memory, peers
from benchmarks.compare import Worker

TINY = replace(peers.SMALL, vocab_size=30, d_model=16, n_heads=4, d_ff=24, seq_len=6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "library"), [(peers.pytorch_fused, "torch"), (peers.pytorch_default, "torch"), (peers.jax_compiled, "jax")]
)
def test_a_peer_computes_our_loss_and_makes_our_steps(build, library):
    pytest.importorskip(library, reason="large; `make test-all` installs it")
    start, ours, peer = peers.initial_weights(TINY), peers.Ours(TINY), build(TINY)
    assert peers.agreement(start, peer.parameters(), {name: array + 1.0 for name, array in start.items()}) == 0.0
    for _ in range(3):
        assert peer.step() == pytest.approx(ours.step(), rel=2e-6)
    assert peers.agreement(ours.parameters(), peer.parameters(), start) < 1e-2


@pytest.mark.slow
def test_pytorch_computes_the_layer_of_today_too():
    pytest.importorskip("torch", reason="large; `make test-all` installs it")
    config = replace(TINY, **peers.OF_TODAY, n_kv_heads=2)
    start, ours, peer = peers.initial_weights(config), peers.Ours(config), peers.pytorch_fused(config)
    for _ in range(3):
        assert peer.step() == pytest.approx(ours.step(), rel=2e-6)
    assert peers.agreement(ours.parameters(), peer.parameters(), start) < 1e-2


def test_both_forms_have_nearly_as_many_weights_in_their_layers():
    for old, new in ((peers.LARGE, peers.LARGE_OF_TODAY), (peers.SMALL, peers.SMALL_OF_TODAY)):
        sizes = [sum(a.size for name, a in peers.initial_weights(one).items() if ".feed_forward." in name) for one in (old, new)]
        assert sizes[1] == pytest.approx(sizes[0], rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("build", [peers.pytorch_fused, peers.jax_compiled])
def test_a_peer_from_other_weights_is_found_out(build, monkeypatch):
    pytest.importorskip("torch", reason="large; `make test-all` installs it")
    pytest.importorskip("jax", reason="large; `make test-all` installs it")
    ours, start = peers.Ours(TINY), peers.initial_weights(TINY)
    other = {name: np.zeros_like(array) if name.endswith("norm.bias") else array.copy() for name, array in start.items()}
    other["layers.1.attention_norm.gain"][0] = 1.1
    monkeypatch.setattr(peers, "initial_weights", lambda config: other)
    peer = build(TINY)
    assert abs(peer.step() / ours.step() - 1.0) > 1e-6
    assert peers.agreement(ours.parameters(), peer.parameters(), start) > 1e-3


def test_agreement_is_the_distance_as_a_share_of_the_step():
    start = {"a": np.zeros(2), "key_bias": np.zeros(1)}
    ours, theirs = {"a": np.array([3.0, 4.0]), "key_bias": np.ones(1)}, {"a": np.array([3.0, 4.5]), "key_bias": -np.ones(1)}
    assert peers.agreement(ours, theirs, start) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="different parameters: .'b'."):
        peers.agreement(ours, theirs | {"b": np.zeros(1)}, start)


def test_products_are_those_the_model_makes():
    """Counted while the plain layers run: as many multiplications as the shapes say."""
    from cllm_lib import CLLM

    class Counting(np.ndarray):
        made = 0

        def __array_ufunc__(self, ufunc, method, *inputs, out=None, **settings):
            inputs = [np.asarray(x) if isinstance(x, Counting) else x for x in inputs]
            if out is not None:
                settings["out"] = tuple(np.asarray(x) for x in out)
            if ufunc is np.matmul:
                a, b = inputs
                Counting.made += int(np.prod(np.broadcast_shapes(a.shape[:-2], b.shape[:-2]))) * a.shape[-2] * a.shape[-1] * b.shape[-1]
            result = getattr(ufunc, method)(*inputs, **settings)
            return result.view(Counting) if isinstance(result, np.ndarray) else result

    model = CLLM(TINY)
    x = np.ones((4, TINY.seq_len, TINY.d_model), np.float32).view(Counting)
    hidden, _ = model._through_layers(x)
    hidden @ model.output_matrix
    assert Counting.made == sum(int(np.prod(shape)) for shape in peers.product_shapes(TINY, 4))


def test_a_slope_of_one_means_in_proportion():
    x = np.array([1.0, 3.0, 10.0])
    assert growth.slope(x, 7.0 * x) == pytest.approx(1.0)
    assert growth.slope(x, x**0.5) == pytest.approx(0.5)


def test_operations_grow_as_the_shapes_do():
    def count(width, length):
        return growth.operation_counts(*growth.sized(width, length))

    long, longer = count(64, 512), count(64, 1024)
    scores = 2 * 8 * 512  # layers, heads, and the keys a query gains
    assert longer["exps"] - long["exps"] == scores
    assert longer["flops"] - long["flops"] == 3 * 2 * 2 * 2 * 64 * 512  # forward and twice backward, 2 flops, 2 layers, 2 products
    assert count(512, 128)["flops"] / count(256, 128)["flops"] == pytest.approx(4, rel=0.1)


def test_growth_measures_every_size_and_price():
    sizes = {("d", width): growth.sized(width, 32) for width in (16, 32)}
    times, prices = growth.Growth(sizes).measure(2)
    assert times.keys() == sizes.keys()
    assert prices.keys() == {"flops", "passes", "exps"}
    assert all(value > 0 for value in (*times.values(), *prices.values()))


class Holder:
    """Holds 240 MB for a moment."""

    def peaks(self):
        before = memory.peak_bytes()
        np.ones(30_000_000)
        return before, memory.peak_bytes()


def test_the_peak_is_the_most_this_process_ever_held():
    ours = np.ones(40_000_000)  # 320 MB that a child must not be charged for
    worker = Worker(Holder)
    before, after = worker.call("peaks")
    worker.close()
    assert before < ours.nbytes / 2
    assert after - before == pytest.approx(240e6, rel=0.1)


def test_a_run_reports_what_stood_before_it_and_its_peak():
    before, peak = memory.Memory("ours", TINY).report()
    assert 0 < before <= peak
