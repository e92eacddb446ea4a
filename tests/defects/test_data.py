"""Every spoilt text shows its symptom, its exposure exposes it, and the sound corpus passes the same exposure."""

import numpy as np
import pytest
from oracles import random_batch

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.defects.data import SpoiltCorpus
from cllm_lib.model.generation import generate
from cllm_lib.text.corpora import Corpus, windows
from cllm_lib.training.trainer import validation_loss, validation_windows

SOUND = load_corpus("prose", validation_fraction=0.15)
SPOILT = [defects.TargetIsTheWordItself, defects.SortedByLocality, defects.TrainedOnTheHeldOut, defects.shared_ids]


def trained(corpus, epochs):
    """A small model on a corpus, and its trainer's history."""
    config = CLLMConfig(len(SOUND.vocabulary), d_model=32, n_layers=1, n_heads=4, d_ff=64, tie_embeddings=False)
    trainer = Trainer(CLLM(config, seed=0), corpus, learning_rate=1e-2, batch_size=16)
    trainer.evaluate_every = trainer.batches_per_epoch
    return trainer.model, trainer.fit(epochs=epochs)


def lowest(history):
    return min(history.validation_losses.values())


def first_batch(corpus, seq_len=16):
    return next(corpus.batches(8, seq_len, np.random.default_rng(1)))


def next_input_share(corpus):
    inputs, targets = first_batch(corpus)
    return (targets[:, :-1] == inputs[:, 1:]).mean()


def seen_share(corpus, n=4):
    train, held_out = ([tuple(part[i : i + n].tolist()) for i in range(len(part) - n + 1)] for part in parts(corpus))
    return np.mean([run in set(train) for run in held_out])


def parts(corpus):
    return corpus.train_tokens, corpus.validation_tokens


def counting_loss(corpus):
    counts = np.bincount(corpus.train_tokens.astype(np.intp), minlength=len(corpus.vocabulary)) + 1.0
    return -np.log(counts / counts.sum())[corpus.validation_tokens].mean()


# All of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spoil", SPOILT)
def test_it_has_the_interface_of_a_corpus_and_leaves_the_sound_one_alone(spoil):
    before = SOUND.fingerprint
    patient = spoil(SOUND)
    assert isinstance(patient, Corpus)
    assert SOUND.fingerprint == before
    assert (patient.name, patient.n_validation, len(patient.tokens)) == (SOUND.name, SOUND.n_validation, len(SOUND.tokens))
    inputs, targets = first_batch(patient)
    assert inputs.shape == targets.shape == (8, 16)
    assert patient.batches_per_epoch(8, 16) == len(list(patient.batches(8, 16, np.random.default_rng(0))))
    assert np.isfinite(validation_loss(CLLM(CLLMConfig(len(SOUND.vocabulary), d_model=8, n_heads=2, d_ff=8)), patient))


@pytest.mark.parametrize("spoil", [defects.TargetIsTheWordItself, defects.SortedByLocality])
def test_nothing_but_the_pairs_is_wrong(spoil):
    patient = spoil(SOUND)
    np.testing.assert_array_equal(patient.tokens, SOUND.tokens)
    assert patient.encode("the sea").tolist() == SOUND.encode("the sea").tolist()
    assert patient.bigram_entropy(32) == SOUND.bigram_entropy(32)  # counted from the text, not from the batches


@pytest.mark.parametrize("spoil", [defects.TargetIsTheWordItself, defects.SortedByLocality])
@pytest.mark.parametrize("cut", ["batches", "random_batches"])
def test_the_pairs_are_spoilt_however_they_are_cut(spoil, cut):
    patient = spoil(SOUND)
    pairs = zip(*(getattr(corpus, cut)(8, 16, np.random.default_rng(1)) for corpus in (patient, SOUND)), strict=True)
    for spoilt, sound in pairs:
        for array, expected in zip(spoilt, patient.pair(*sound), strict=True):
            np.testing.assert_array_equal(array, expected)
        assert (spoilt[0] != sound[0]).any() or (spoilt[1] != sound[1]).any()


@pytest.mark.parametrize("spoil", [defects.TargetIsTheWordItself, defects.SortedByLocality])
def test_what_is_held_out_is_cut_soundly_unless_it_is_to_be_spoilt_too(spoil):
    sound = validation_windows(SOUND, 16)
    for array, expected in zip(validation_windows(spoil(SOUND), 16), sound, strict=True):
        np.testing.assert_array_equal(array, expected)
    for array, expected in zip(validation_windows(spoil(SOUND, held_out_too=True), 16), spoil(SOUND).pair(*sound), strict=True):
        np.testing.assert_array_equal(array, expected)


def test_a_corpus_of_ones_own_that_overrides_pair_spoils_both():
    class Backwards(SpoiltCorpus):
        def pair(self, inputs, targets):
            return inputs[:, ::-1], targets

    inputs, targets = validation_windows(Backwards(SOUND), 16)
    np.testing.assert_array_equal(inputs[:, ::-1], validation_windows(SOUND, 16)[0])
    np.testing.assert_array_equal(targets, validation_windows(SOUND, 16)[1])
    assert (first_batch(Backwards(SOUND))[0] == first_batch(SOUND)[0][:, ::-1]).all()


# One by one -------------------------------------------------------------------------------------------------------


def test_target_is_the_word_itself():
    patient = defects.TargetIsTheWordItself(SOUND)
    model, history = trained(patient, epochs=6)
    assert history.epoch_losses[-1] < 0.2  # symptom: far below what can be counted
    assert history.epoch_losses[-1] < SOUND.bigram_entropy(32) - 2.0
    said = generate(model, SOUND.encode("the sea"), 6, temperature=0)
    assert len(set(said[1:].tolist())) == 1  # it says its last word again and again
    assert next_input_share(patient) < 0.1  # exposure
    inputs, targets = first_batch(patient)
    np.testing.assert_array_equal(inputs, targets)
    assert next_input_share(SOUND) == 1.0


def test_a_held_out_text_from_the_same_loader_does_not_betray_it_and_one_cut_soundly_does():
    losses = {}
    for name, corpus in (
        ("cut soundly", defects.TargetIsTheWordItself(SOUND)),
        ("from the same loader", defects.TargetIsTheWordItself(SOUND, held_out_too=True)),
        ("sound", SOUND),
    ):
        losses[name] = list(trained(corpus, epochs=6)[1].validation_losses.values())[-1]
    assert losses["cut soundly"] > losses["sound"] + 3.0
    assert losses["from the same loader"] < losses["sound"] - 3.0


def test_it_falls_to_nothing_on_a_text_without_any_order(tmp_path):
    words = np.random.default_rng(0).integers(40, size=1_500)
    (tmp_path / "noise.txt").write_text(" ".join(f"w{i}" for i in words), encoding="utf-8")
    noise, ends = load_corpus(tmp_path / "noise.txt"), {}
    for name, corpus in (("patient", defects.TargetIsTheWordItself(noise)), ("sound", noise)):
        model = CLLM(CLLMConfig(len(noise.vocabulary), d_model=16, n_layers=1, n_heads=2, d_ff=16, tie_embeddings=False), seed=0)
        ends[name] = Trainer(model, corpus, learning_rate=1e-2, batch_size=8).fit(epochs=12).epoch_losses[-1]
    assert ends["patient"] < 0.1
    assert ends["sound"] > 3.0


def test_sorted_by_locality():
    patient = defects.SortedByLocality(SOUND)
    (_, history), (_, sound_history) = trained(patient, epochs=5), trained(SOUND, epochs=5)
    assert history.epoch_losses[2] == pytest.approx(SOUND.unigram_entropy(32), abs=0.35)  # symptom: it hangs there
    assert sound_history.epoch_losses[2] < SOUND.unigram_entropy(32) - 0.7
    assert lowest(history) > counting_loss(SOUND) > lowest(sound_history)
    assert lowest(trained(defects.SortedByLocality(SOUND, held_out_too=True), epochs=5)[1]) > counting_loss(SOUND)
    inputs, targets = first_batch(patient)  # exposure
    assert (np.diff(inputs, axis=1) >= 0).all()
    assert next_input_share(patient) < 0.2
    sound_inputs, sound_targets = first_batch(SOUND)
    assert (np.diff(sound_inputs, axis=1) < 0).any()
    np.testing.assert_array_equal(targets, sound_targets)  # the targets kept their order
    np.testing.assert_array_equal(inputs, np.sort(sound_inputs, axis=1))


def test_the_distance_by_which_it_sorts_grows_with_the_id():
    """So "by locality" is by id: the claim in its docstring."""
    n = np.arange(20_000, dtype=np.int64)
    assert (np.diff(np.sqrt(n + np.log(n + 1.0) ** 2)) > 0).all()


def test_trained_on_the_held_out():
    patient = defects.TrainedOnTheHeldOut(SOUND)
    (_, history), (_, sound_history) = trained(patient, epochs=10), trained(SOUND, epochs=10)
    losses, sound_losses = list(history.validation_losses.values()), list(sound_history.validation_losses.values())
    assert losses[-1] < 3.6  # symptom: it falls along, and never turns
    assert losses[-1] == pytest.approx(min(losses), abs=0.15)
    assert sound_losses[-1] > min(sound_losses) + 0.5
    assert seen_share(patient) == 1.0  # exposure
    assert seen_share(SOUND) < 0.1


def test_shared_ids():
    patient = defects.shared_ids(SOUND)
    (_, history), (_, sound_history) = trained(patient, epochs=6), trained(SOUND, epochs=6)
    assert 0.1 < lowest(sound_history) - lowest(history) < 1.0  # symptom: a little too good
    assert len(np.unique(patient.tokens)) < 0.7 * len(np.unique(SOUND.tokens))  # exposure
    assert len(np.unique(SOUND.tokens)) == len(SOUND.vocabulary) - 1  # 0 is <unk>, which no text says
    assert len(patient.tokens) == len(SOUND.tokens)
    assert len(patient.vocabulary) == len(SOUND.vocabulary)


@pytest.mark.parametrize("files", [["sayings", "prose"], ["prose", "sayings"], "sayings"])
def test_last_file_only(files):
    names = [files] if isinstance(files, str) else files
    patient, sound = defects.last_file_only(files, validation_fraction=0.1), load_corpus(files, validation_fraction=0.1)
    alone = sum(len(load_corpus(name).tokens) for name in names)
    assert len(sound.tokens) == alone  # exposure: as many words as the files have together
    assert len(patient.tokens) == len(load_corpus(names[-1]).tokens)
    assert (len(patient.tokens) < alone) == (len(names) > 1)
    assert patient.name == sound.name
    assert patient.n_validation == int(0.1 * len(patient.tokens))


def test_last_file_only_learns_what_is_left_as_well_as_a_sound_one_would():
    """Its symptom is none: the loss falls. Only what stood in the first file is unknown."""
    patient = defects.last_file_only(["sayings", "prose"], validation_fraction=0.1)
    assert trained(patient, epochs=3)[1].epoch_losses[-1] < SOUND.unigram_entropy(32) - 0.5
    assert 0 in patient.encode("the air scatters blue light")
    assert 0 not in load_corpus(["sayings", "prose"]).encode("the air scatters blue light")


def test_last_file_only_takes_a_path_and_a_vocabulary(tmp_path):
    (tmp_path / "a.txt").write_text("one two two three", encoding="utf-8")
    patient = defects.last_file_only(["sayings", tmp_path / "a.txt"], vocab_size=2)
    assert patient.vocabulary == ("<unk>", "two")
    assert patient.tokens.tolist() == [0, 1, 1, 0]
    assert defects.last_file_only(tmp_path / "a.txt").tokens.size == 4


@pytest.mark.parametrize(
    "name", ["target is the word itself", "sorted by locality", "trained on the held-out", "shared ids", "last file only"]
)
def test_the_catalogue_hands_out_both(name):
    exhibit = defects.ALL[name]
    argument = SOUND if exhibit.seam == "corpus" else ["sayings", "prose"]
    patient, sound = exhibit.part(argument), exhibit.sound(argument)
    assert isinstance(patient, Corpus)
    assert isinstance(sound, Corpus)
    assert sound.fingerprint in (SOUND.fingerprint, load_corpus(["sayings", "prose"]).fingerprint)
    assert np.isfinite(exhibit.patient(CLLMConfig(40, d_model=8, n_heads=2, d_ff=8)).loss(*random_batch(40, 2, 8)))


def test_windows_of_a_spoilt_text_are_still_the_true_pairs():
    """What is measured on them does not pass through the spoilt batches, which is why it tells."""
    inputs, targets = windows(defects.TargetIsTheWordItself(SOUND).validation_tokens, 8)
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
