"""The crystalline parts as they were coded: symptom and exposure, and the sound parts pass the same exposure."""

import inspect
import math

import numpy as np
import pytest
import sympy
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.defects import lattice
from cllm_lib.instruments.gradient_check import central_difference, check_gradients
from cllm_lib.lattice.encodings import rotate
from cllm_lib.lattice.similarity import feature_matrix, feature_similarities
from cllm_lib.model.attention import CausalSelfAttention, DistanceBiasAttention, attention_weights
from cllm_lib.text.tasks import AssociativeRecall

CONFIG = CLLMConfig(vocab_size=40, d_model=16, n_layers=2, n_heads=2, d_ff=24, seq_len=8)
IDS = np.arange(300, dtype=np.int64)
PAIRS = IDS[:, None], IDS
OFF_DIAGONAL = ~np.eye(len(IDS), dtype=bool)


@pytest.mark.parametrize("different", [0.5, 0.0])
def test_prime_similarity_is_one_constant_off_the_diagonal(different):
    found = defects.prime_similarity(*PAIRS, different)
    np.testing.assert_array_equal(found.diagonal(), 1.0)
    assert np.unique(found[OFF_DIAGONAL]).tolist() == [different]
    sound = feature_similarities(feature_matrix(load_corpus("sayings").vocabulary))
    assert len(np.unique(sound.round(9))) > 1_000


def test_because_two_primes_have_no_common_divisor():
    primes = lattice.token_primes(IDS)
    assert primes.tolist() == list(sympy.primerange(sympy.prime(len(IDS)) + 1))
    assert np.unique(np.gcd(primes[:, None], primes)[OFF_DIAGONAL]).tolist() == [1]


def test_ids_a_thousand_apart_share_a_prime():
    assert defects.prime_similarity(3, 1_003) == 1.0
    assert defects.prime_similarity(3, 1_004) == 0.5


def test_inside_attention_a_token_is_less_like_itself_than_like_others():
    primes = lattice.token_primes(IDS)
    found = lattice.prime_similarity_in_attention(primes[:, None], primes)
    np.testing.assert_array_equal(found.diagonal(), 1 / primes)
    assert (found.diagonal()[1:] < found[OFF_DIAGONAL].min()).all()
    assert np.unique(found[OFF_DIAGONAL]).tolist() == [0.5]


def test_gcd_similarity_in_plain_numbers():
    found = defects.gcd_similarity(*PAIRS)
    for i, j in [(0, 0), (0, 7), (5, 8), (11, 17), (298, 299)]:
        assert found[i, j] == found[j, i] == math.gcd(i + 1, j + 1) / max(i + 1, j + 1)


def test_gcd_similarity_follows_the_numbering_and_features_follow_the_words():
    words = load_corpus("sayings").vocabulary[:60]
    order = np.random.default_rng(0).permutation(len(words))
    kept = np.ix_(order, order)
    coded = defects.gcd_similarity(np.arange(60, dtype=np.int64)[:, None], np.arange(60, dtype=np.int64))
    assert np.abs(coded[kept] - coded).max() > 0.4  # the words changed their numbers, and similarity stayed with the numbers
    sound = feature_similarities(feature_matrix(words))
    np.testing.assert_allclose(feature_similarities(feature_matrix([words[i] for i in order])), sound[kept], atol=1e-12)


def test_distance_on_the_spiral_is_that_of_the_points_on_the_cone():
    golden = 2 * math.pi / ((1 + math.sqrt(5)) / 2) ** 2

    def point(n):
        return np.array([math.sqrt(n) * math.cos(n * golden), math.sqrt(n) * math.sin(n * golden), math.log(n + 1)])

    for i, j in [(0, 0), (0, 1), (3, 12), (100, 40)]:
        assert defects.spiral_distance(i, j) == pytest.approx(np.linalg.norm(point(i) - point(j)), abs=1e-9)


def test_lattice_loss_in_plain_numbers():
    tokens, targets = [[4, 4], [0, 9]], [[4, 7], [9, 0]]
    alike = [
        0.7 * math.gcd(a + 1, b + 1) / max(a + 1, b + 1) + 0.3 / (1 + defects.spiral_distance(a, b))
        for a, b in zip(np.ravel(tokens), np.ravel(targets), strict=True)
    ]
    assert alike[0] == 1.0
    assert defects.lattice_loss(tokens, targets) == pytest.approx(-np.mean(np.log(alike)))


def test_lattice_loss_is_the_same_in_every_epoch_and_no_weight_moves():
    corpus = load_corpus("sayings")
    config = CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=1, n_heads=2, d_ff=16)
    for name, stuck in (("patient", True), ("healthy", False)):
        model = getattr(defects.ALL["lattice loss"], name)(config)
        before = model.flat_parameters.copy()
        batch = next(corpus.batches(4, 32, np.random.default_rng(0)))
        first = model.loss(*batch)
        Trainer(model, corpus, learning_rate=1e-2).fit(epochs=2)
        assert (model.flat_parameters == before).all() == stuck
        assert (model.loss(*batch) == first) == stuck


def test_the_gradient_check_finds_every_slope_of_the_lattice_loss_to_be_exactly_zero():
    batch = random_batch(40, 3, 8)
    for name, largest in (("patient", 0.0), ("healthy", 1e-3)):
        model = spread_out(getattr(defects.ALL["lattice loss"], name)(CONFIG))
        report = check_gradients(lambda _, model=model: model.loss_and_gradients(*batch), model.parameters, coordinates=5)
        assert report.max_relative_error < 1e-4
        assert report.largest_gradient == largest if largest == 0.0 else report.largest_gradient > largest


def renumbered(model, order):
    """The same model with its words numbered otherwise: `order` holds the old number of each new one."""
    other = CLLM(model.config) if type(model) is CLLM else type(model)(model.config)
    other.flat_parameters[...] = model.flat_parameters
    other.parameters["embedding"][...] = model.parameters["embedding"][order]
    return other


def test_renumbering_the_words_changes_the_lattice_loss_and_not_the_cross_entropy():
    tokens, targets = random_batch(40, 3, 8)
    order = np.random.default_rng(1).permutation(40)
    number = np.argsort(order)
    for name, kept in (("patient", False), ("healthy", True)):
        model = spread_out(getattr(defects.ALL["lattice loss"], name)(CONFIG))
        before, after = model.loss(tokens, targets), renumbered(model, order).loss(number[tokens], number[targets])
        assert (abs(after / before - 1) < 1e-12) == kept
        assert kept or abs(after / before - 1) > 0.01


def scores(part, time, seed=0):
    """Sound z = q.k / sqrt(d), and what a part makes of it: the logarithm of its weights, up to a constant of each row."""
    query, key, value = np.random.default_rng(seed).standard_normal((3, 1, 1, time, 4))
    *_, weights = part.attend(2.0 * query, 2.0 * key, value)[1]
    return (2.0 * query @ (2.0 * key).swapaxes(-1, -2) / 2.0)[0, 0], weights[0, 0]


def test_lattice_aware_scores_in_plain_formulas():
    time = 6
    z, weights = scores(defects.LatticeAwareAttention(), time)
    for t in range(time):
        row = []
        for s in range(t + 1):
            p, q = sympy.prime(t + 1), sympy.prime(s + 1)
            score = z[t, s] / (1 + defects.spiral_distance(t, s)) * (1 + (1 / p if p == q else 0.5))
            score *= (1 + math.cos(2 * math.pi * (p - q) / (p + q))) / 2
            row.append((score + (-1) ** t) / (score / 2 + 1))
        expected = np.exp(row) / np.exp(row).sum()
        np.testing.assert_allclose(weights[t, : t + 1], expected, rtol=1e-10)
        assert (weights[t, t + 1 :] == 0).all()


@pytest.mark.parametrize("shift", [1.0, -1.0])
def test_left_of_the_pole_every_score_beats_every_score_right_of_it(shift):
    left, right = -2.0 - np.geomspace(1e-9, 1e6, 50), -2.0 + np.geomspace(1e-9, 1e6, 50)
    assert lattice.moebius(left, shift).min() > 2.0 > lattice.moebius(right, shift).max()
    assert np.isinf(lattice.moebius(-2.0, shift))
    assert abs(lattice.moebius(-2.0 + 1e-6, shift)) > 1e5
    for z in (left, right):  # on one side the order is kept
        assert (np.diff(lattice.moebius(np.sort(z), shift)) > 0).all()


def first_looks(part, last):
    """Where the second of two tokens looks, when it meets the first with the score `last` and itself with the score 1."""
    query, key = np.array([[[[0.0], [1.0]]]]), np.array([[[[last], [1.0]]]])
    *_, weights = part.attend(query, key, np.zeros((1, 1, 2, 1)))[1]
    return weights[0, 0, 1, 0]


def test_the_key_that_fits_worst_gets_the_most_attention():
    factor = lattice.lattice_factors(2)[1, 0]
    looks = [first_looks(defects.LatticeAwareAttention(), score / factor) for score in (-2.01, -3.0, -1.99, 0.0, 5.0)]
    assert looks[0] > 0.999
    assert looks[0] > looks[1] > 0.9 > looks[4] > looks[3] > looks[2]
    assert looks[2] < 1e-9
    for part in (CausalSelfAttention(), DistanceBiasAttention(np.ones((2, 2)), learned=False)):
        sound = [first_looks(part, score) for score in (-3.0, -2.01, -1.99, 0.0, 5.0)]
        assert sound == sorted(sound)


def test_a_factor_below_one_raises_what_is_below_zero():
    factors = lattice.lattice_factors(12)
    assert factors.min() > 0.0  # so the factors alone change no sign
    far = factors[np.tri(12, k=-1, dtype=bool)]
    assert (far < 1.0).all()
    assert (-1.0 * far > -1.0).all()
    assert (1.0 * far < 1.0).all()


@pytest.mark.parametrize("seed", range(3))
def test_its_backward_pass_is_the_true_gradient_of_its_forward_pass(seed):
    model = spread_out(defects.ALL["lattice-aware attention"].patient(CONFIG), seed, size=0.2)
    tokens, targets = random_batch(40, 3, 8, seed)
    model.forward_backward(tokens, targets)
    direction = np.random.default_rng(seed).standard_normal(model.flat_parameters.size)
    slope = central_difference(lambda: model.loss(tokens, targets), model.flat_parameters, 1e-6 * direction) / 2e-6
    assert slope == pytest.approx(model.flat_gradients @ direction, rel=1e-6)


def test_every_parameter_of_it_passes_the_gradient_check_away_from_the_pole():
    config = CLLMConfig(vocab_size=12, d_model=8, n_layers=1, n_heads=2, d_ff=8, seq_len=5)
    model = spread_out(defects.ALL["lattice-aware attention"].patient(config), size=0.2)
    batch = random_batch(12, 2, 5)
    report = check_gradients(lambda _: model.loss_and_gradients(*batch), model.parameters, coordinates=20)
    assert report.max_relative_error < 1e-6


def test_slope_of_the_map_by_sympy():
    z, b = sympy.symbols("z b")
    derivative = sympy.lambdify((z, b), sympy.diff((z + b) / (z / 2 + 1), z))
    places = np.array([-7.0, -2.5, -1.5, 0.0, 3.0])
    for shift in (1.0, -1.0):
        np.testing.assert_allclose(lattice.moebius_slope(places, shift), derivative(places, shift), rtol=1e-12)


def test_its_weights_can_be_looked_at():
    model = spread_out(defects.ALL["lattice-aware attention"].patient(CONFIG))
    for weights in attention_weights(model, random_batch(40, 1, 8)[0][0]):
        np.testing.assert_allclose(weights.sum(axis=-1), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_what_must_be_looked_up_is_hardly_learnt(seed):
    """Its symptom, on associative recall."""
    task = AssociativeRecall(6, batches_in_epoch=600)
    config = CLLMConfig(
        len(task.vocabulary), d_model=32, n_layers=2, n_heads=4, d_ff=64, seq_len=task.seq_len, tie_embeddings=False, positions="learned"
    )
    share, longest = {}, {}
    for name in ("patient", "healthy"):
        model = getattr(defects.ALL["lattice-aware attention"], name)(config, seed)
        norms = Trainer(model, task, learning_rate=5e-3, batch_size=16, seed=seed).fit(1).gradient_norms
        share[name] = task.accuracy(model, np.random.default_rng(9))
        longest[name] = max(norms[100:]) / np.median(norms[100:])
    assert share["healthy"] > 0.95
    assert share["patient"] < 0.6
    assert longest["patient"] > 5.0


@pytest.mark.parametrize("prime", [2, 3, 5, 7, 11, 13, 97])
def test_the_same_turn_of_queries_and_keys_changes_no_score(prime):
    query, key = np.random.default_rng(prime).standard_normal((2, 3, 2, 7, 6))
    turned = [defects.symmetry_rotation(x, prime) for x in (query, key)]
    np.testing.assert_allclose(turned[0] @ turned[1].swapaxes(-1, -2), query @ key.swapaxes(-1, -2), atol=1e-12)
    assert np.abs(turned[0] - query).max() > 0.1  # it does turn them
    positions = np.arange(7, dtype=np.int64)
    sound = rotate(query, positions) @ rotate(key, positions).swapaxes(-1, -2)
    assert np.abs(sound - query @ key.swapaxes(-1, -2)).max() > 0.1


def test_the_turn_is_that_of_the_clock():
    x = np.random.default_rng(0).standard_normal((2, 4))
    for prime in (2, 5, 11, 13):
        angle = 2 * math.pi * (prime % 12) / 12
        matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        expected = np.concatenate([x[:, :2] @ matrix.T, x[:, 2:] @ matrix.T], axis=1)
        np.testing.assert_allclose(defects.symmetry_rotation(x, prime), expected, atol=1e-12)
        np.testing.assert_allclose(lattice.symmetry_rotation_backward(expected, prime), x, atol=1e-12)


def test_above_three_only_four_of_the_twelve_groups_occur():
    assert {p % 12 for p in sympy.primerange(5, 10_000)} == {1, 5, 7, 11}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: defects.prime_similarity(-1, 0), "ids is -1"),
        (lambda: defects.gcd_similarity(0, 1.5), "j is 1.5"),
        (lambda: defects.spiral_distance([0, -3], 0), r"i\[1\] is -3"),
        (lambda: defects.lattice_loss([1, 2], [1]), "give a target for each token"),
        (lambda: defects.lattice_loss([], []), "one at least"),
        (lambda: defects.symmetry_rotation(np.ones((2, 3)), 5), "3 wide"),
        (lambda: defects.symmetry_rotation(np.ones((2, 4)), 2.5), "prime is 2.5"),
        (lambda: defects.symmetry_rotation(np.ones(4), 5), "positions have shape|give x as"),
    ],
)
def test_bad_input_gets_a_clear_error(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(
    "name", ["prime_similarity", "gcd_similarity", "lattice_loss", "LatticeLoss", "LatticeAwareAttention", "symmetry_rotation"]
)
def test_every_exhibit_says_what_it_did_and_how_it_shows(name):
    lines = [line.strip() for line in inspect.getdoc(getattr(defects, name)).splitlines()]
    for heading in ("What it did", "Symptom", "Exposed by", "In the documents"):
        assert heading in lines
