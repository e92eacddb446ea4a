import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from oracles import difference_gradient, random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.defects.lattice import DISTANCE_SHARE, GCD_SHARE
from cllm_lib.instruments.gradient_check import check_gradients
from cllm_lib.lattice.similarity import feature_matrix, feature_similarities, goedel_numbers
from cllm_lib.training.checkpoint import CheckpointError
from cllm_lib.training.regularizers import (
    LaplacianRegularizer,
    geometric_agreement,
    goedel_gap,
    laplacian,
    renaming_gap,
    rotation_gap,
)
from cllm_lib.training.trainer import validation_loss


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("sayings", validation_fraction=0.1)


@pytest.fixture(scope="module")
def similarities(corpus):
    return feature_similarities(feature_matrix(corpus.vocabulary))


def small(corpus, **settings):
    return CLLM(CLLMConfig(len(corpus.vocabulary), **({"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ff": 16} | settings)), seed=0)


def random_similarities(size, seed=0):
    upper = np.triu(np.random.default_rng(seed).random((size, size)))
    return upper + upper.T


def penalty_pair_by_pair(similarities, strength, embedding):
    """By its definition."""
    terms = [similarities[i, j] * ((embedding[i] - embedding[j]) ** 2).sum() for i in range(len(embedding)) for j in range(i)]
    return strength / 2 * np.mean(terms)


@given(st.integers(2, 7), st.integers(1, 4), st.floats(0.0, 1e3), st.integers(0, 99))
def test_the_penalty_is_the_mean_over_pairs(words, width, strength, seed):
    embedding = np.random.default_rng(seed).standard_normal((words, width))
    similarities = random_similarities(words, seed)
    found = LaplacianRegularizer(similarities, strength).penalty({"embedding": embedding})
    assert found == pytest.approx(penalty_pair_by_pair(similarities, strength, embedding), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("strength", [0.3, 40.0])
def test_its_gradient_passes_the_check(strength):
    regularizer = LaplacianRegularizer(random_similarities(6), strength)

    def function(parameters):
        gradients = {"embedding": np.zeros((6, 3))}
        return regularizer.add_gradients(parameters, gradients), gradients

    report = check_gradients(function, {"embedding": np.random.default_rng(1).standard_normal((6, 3))})
    assert report.max_relative_error < 1e-7
    assert report.largest_gradient > 0.01


@pytest.mark.parametrize("tied", [True, False])
def test_with_the_model_the_sum_of_both_passes_the_check(tied):
    model = spread_out(CLLM(CLLMConfig(9, d_model=8, n_layers=1, n_heads=2, d_ff=8, tie_embeddings=tied)))
    regularizer = LaplacianRegularizer(random_similarities(9), 5.0)
    tokens, targets = random_batch(9, 2, 6)
    model.forward_backward(tokens, targets)
    regularizer.add_gradients(model.parameters, model.gradients)
    embedding = model.parameters["embedding"]
    measured = difference_gradient(lambda: model.loss(tokens, targets) + regularizer.penalty(model.parameters), embedding)
    np.testing.assert_allclose(model.gradients["embedding"], measured, rtol=1e-7, atol=1e-9)


def test_gradients_are_added_to_what_is_there_in_any_type():
    regularizer = LaplacianRegularizer(random_similarities(4), 1.0)
    embedding = np.random.default_rng(0).standard_normal((4, 3))
    added, there = {"embedding": np.zeros((4, 3))}, {"embedding": np.full((4, 3), 2.0, dtype=np.float32)}
    regularizer.add_gradients({"embedding": embedding}, added)
    array = there["embedding"]
    regularizer.add_gradients({"embedding": embedding.astype(np.float32)}, there)
    assert there["embedding"] is array
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, 2.0 + added["embedding"], rtol=1e-5)


def test_the_laplacian_has_no_sum_and_no_part_in_the_diagonal():
    similarities = random_similarities(5)
    other = similarities + np.diag([3.0, 0.0, 1.0, 9.0, 2.0])
    np.testing.assert_allclose(laplacian(similarities).sum(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(laplacian(other), laplacian(similarities), atol=1e-12)
    assert np.linalg.eigvalsh(laplacian(similarities)).min() > -1e-12


def test_the_loss_reported_stays_the_cross_entropy(corpus, similarities):
    model = small(corpus)
    batch = next(corpus.batches(4, 32, np.random.default_rng(0)))
    before = model.loss(*batch)
    trainer = Trainer(model, corpus, regularizer=LaplacianRegularizer(similarities, 1_000.0))
    expected = trainer.regularizer.penalty(model.parameters)
    assert trainer.step(*batch) == before
    assert trainer.penalty == expected > 0.01
    assert trainer.evaluate() == validation_loss(model, corpus)


def test_a_step_follows_the_gradient_of_both(corpus, similarities):
    model, twin = small(corpus), small(corpus)
    batch = next(corpus.batches(4, 32, np.random.default_rng(0)))
    regularizer = LaplacianRegularizer(similarities, 500.0)
    Trainer(model, corpus, optimizer="sgd", learning_rate=0.1, regularizer=regularizer).step(*batch)
    _, gradients = twin.loss_and_gradients(*batch)
    extra = {"embedding": np.zeros_like(gradients["embedding"])}
    regularizer.add_gradients(twin.parameters, extra)
    expected = twin.parameters["embedding"] - 0.1 * (gradients["embedding"] + extra["embedding"])
    np.testing.assert_allclose(model.parameters["embedding"], expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("parts", [2, 3])
def test_an_accumulated_batch_gets_one_pull(corpus, similarities, parts):
    steps = []
    for accumulate in (1, parts):
        model = small(corpus)
        regularizer = LaplacianRegularizer(similarities, 500.0)
        Trainer(model, corpus, "sgd", 0.1, batch_size=6, accumulate=accumulate, regularizer=regularizer).fit(steps=2)
        steps.append(model.flat_parameters)
    np.testing.assert_allclose(*steps, atol=1e-12)


def test_of_strength_zero_it_changes_nothing(corpus, similarities):
    runs = []
    for regularizer in (None, LaplacianRegularizer(similarities, 0.0)):
        model = small(corpus)
        history = Trainer(model, corpus, regularizer=regularizer).fit(epochs=2)
        runs.append((model.flat_parameters, history))
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]


def test_words_that_share_features_come_nearer(corpus, similarities):
    agreement = {}
    for strength in (0.0, 1_000.0):
        model = small(corpus)
        Trainer(model, corpus, learning_rate=3e-3, regularizer=LaplacianRegularizer(similarities, strength)).fit(epochs=15)
        agreement[strength] = geometric_agreement(similarities, model.parameters["embedding"])
    assert agreement[1_000.0] > agreement[0.0] + 0.02


def test_a_resumed_run_goes_on_to_the_last_bit_and_says_what_it_needs(corpus, similarities, tmp_path):
    regularizer, path = LaplacianRegularizer(similarities, 300.0), tmp_path / "run.safetensors"
    straight = Trainer(small(corpus), corpus, regularizer=regularizer)
    straight.fit(steps=5)
    straight.save(path)
    straight.fit(steps=6)
    with pytest.raises(CheckpointError, match=r"trained with a LaplacianRegularizer.*resume\(..., regularizer=...\)"):
        Trainer.resume(path, corpus)
    resumed = Trainer.resume(path, corpus, regularizer=LaplacianRegularizer(similarities, 300.0))
    resumed.fit(steps=6)
    assert resumed.history == straight.history
    np.testing.assert_array_equal(resumed.model.flat_parameters, straight.model.flat_parameters)


def test_a_run_without_one_takes_none_when_resumed(corpus, similarities, tmp_path):
    path = tmp_path / "run.safetensors"
    trainer = Trainer(small(corpus), corpus)
    trainer.fit(steps=2)
    trainer.save(path)
    with pytest.raises(CheckpointError, match="trained without a regulariser"):
        Trainer.resume(path, corpus, regularizer=LaplacianRegularizer(similarities, 300.0))
    assert Trainer.resume(path, corpus).regularizer is None


# The three wishes of document 004. A loss takes (words, embedding, tokens, targets); the coded one reads the last two only.


def coded_loss(words, embedding, tokens, targets):
    return defects.lattice_loss(tokens, targets)


def sound_loss(words, embedding, tokens, targets):
    return LaplacianRegularizer(feature_similarities(feature_matrix(words)), 10.0).penalty({"embedding": embedding})


def coded_similarities(size):
    i = np.arange(size, dtype=np.int64)
    return GCD_SHARE * defects.gcd_similarity(i[:, None], i) + DISTANCE_SHARE / (1.0 + defects.spiral_distance(i[:, None], i))


def a_text(corpus):
    generator = np.random.default_rng(5)
    embedding = generator.standard_normal((len(corpus.vocabulary), 12))
    return list(corpus.vocabulary), embedding, corpus.tokens[:200], corpus.tokens[1:201]


@pytest.mark.parametrize("seed", range(3))
def test_symmetry_the_coded_loss_changes_with_the_numbering_and_the_regulariser_does_not(corpus, seed):
    assert renaming_gap(coded_loss, *a_text(corpus), seed=seed) > 0.01
    assert renaming_gap(sound_loss, *a_text(corpus), seed=seed) < 1e-12


def test_symmetry_a_text_keeps_its_words_when_they_are_renumbered(corpus):
    def of_the_text(words, embedding, tokens, targets):
        return sum(len(words[i]) * embedding[i, 0] * embedding[j, 1] for i, j in zip(tokens, targets, strict=True))

    assert renaming_gap(of_the_text, *a_text(corpus)) < 1e-12


def test_symmetry_neither_changes_when_all_embeddings_are_turned(corpus):
    assert rotation_gap(coded_loss, *a_text(corpus)) == 0.0  # it reads none
    assert rotation_gap(sound_loss, *a_text(corpus)) < 1e-12
    assert rotation_gap(lambda words, embedding, tokens, targets: embedding[0, 0], *a_text(corpus)) > 1e-3


def test_geometry_the_coded_loss_moves_no_embedding(corpus, similarities):
    config = CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=1, n_heads=2, d_ff=16)
    model = defects.LatticeLoss(config)
    before = geometric_agreement(similarities, model.parameters["embedding"])
    Trainer(model, corpus, learning_rate=1e-2).fit(epochs=2)
    assert geometric_agreement(similarities, model.parameters["embedding"]) == before


def test_primes_the_regulariser_has_the_relation_of_goedel_numbers_and_the_coded_loss_has_not(corpus):
    words = corpus.vocabulary[:60]
    goedel = goedel_numbers(words)
    assert goedel_gap(feature_similarities(feature_matrix(words)), goedel) < 1e-12
    assert goedel_gap(coded_similarities(60), goedel) > 0.3
    i = np.arange(60, dtype=np.int64)
    assert goedel_gap(defects.prime_similarity(i[:, None], i), goedel) >= 0.4
    # A prime a word is a feature a word: then the relation holds, and says that each word is like itself.
    assert goedel_gap(defects.prime_similarity(i[:, None], i, different=0.0), [int(p) for p in defects.lattice.token_primes(i)]) == 0.0


def test_agreement_is_spearmans_rank_correlation_over_pairs():
    generator = np.random.default_rng(0)
    similarities, embedding = random_similarities(7), generator.standard_normal((7, 3))
    pairs = [(i, j) for i in range(7) for j in range(i)]
    cosines = [embedding[i] @ embedding[j] / np.linalg.norm(embedding[i]) / np.linalg.norm(embedding[j]) for i, j in pairs]
    ranks = [scipy.stats.rankdata(column) for column in ([similarities[i, j] for i, j in pairs], cosines)]
    assert geometric_agreement(similarities, embedding) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    angles = generator.uniform(0.0, 1.5, 7)  # a fan: the nearer in angle, the more alike
    fan = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert geometric_agreement(np.exp(-np.abs(angles[:, None] - angles)), fan) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: LaplacianRegularizer(np.eye(3), -1.0), "strength is -1.0"),
        (lambda: LaplacianRegularizer(np.eye(1), 1.0), "of two words at least"),
        (lambda: LaplacianRegularizer(np.ones((2, 3)), 1.0), r"similarities have shape \(2, 3\)"),
        (lambda: LaplacianRegularizer([[1.0, -0.5], [-0.5, 1.0]], 1.0), r"similarities\[0, 1\] is -0.5: a negative one would push"),
        (
            lambda: LaplacianRegularizer([[1.0, 0.5], [0.4, 1.0]], 1.0),
            r"similarities\[0, 1\] is 0.5, and \[1, 0\] is 0.4: give a symmetric",
        ),
        (lambda: LaplacianRegularizer([[1.0, np.nan], [np.nan, 1.0]], 1.0), r"similarities\[0, 1\] is not finite"),
        (lambda: LaplacianRegularizer(np.eye(3), 1.0).penalty({"embedding": np.ones((4, 2))}), "of 3 words, and the embedding has 4 rows"),
        (lambda: geometric_agreement(np.eye(3), np.ones((4, 2))), "similarities are of 3 words"),
        (lambda: geometric_agreement(random_similarities(3), np.eye(3, 2)), "row 2 of the embedding is zero"),
        (lambda: geometric_agreement(np.full((3, 3), 0.5), np.ones((3, 2))), "all pairs have the similarity 0.5"),
        (lambda: goedel_gap(np.eye(3), [2, 3]), "2 Goedel numbers for 3 words"),
    ],
)
def test_bad_input_gets_a_clear_error(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_trainer_says_at_once_that_a_regulariser_does_not_fit(corpus):
    with pytest.raises(ValueError, match="the similarities are of 5 words, and the embedding has"):
        Trainer(small(corpus), corpus, regularizer=LaplacianRegularizer(np.eye(5), 1.0))
