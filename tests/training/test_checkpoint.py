"""Checkpoints: exact, whole, and distrustful of what they read."""

import errno
import gzip
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, files, load_corpus
from cllm_lib.model.attention import DistanceBiasAttention, RotarySelfAttention
from cllm_lib.model.config import LATER
from cllm_lib.model.ends import CrossEntropy, LinearOutput
from cllm_lib.model.generation import generate
from cllm_lib.model.positions import POSITIONS
from cllm_lib.text.tasks import AssociativeRecall
from cllm_lib.training.checkpoint import CheckpointError, digest, load_checkpoint, previous
from cllm_lib.training.optimizers import OPTIMIZERS
from cllm_lib.training.schedules import cosine, warmup

OLDER = Path(__file__).parent / "older"  # files that older libraries have written


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("sayings", validation_fraction=0.1)


def small(corpus, seed=0, **options):
    return CLLM(CLLMConfig(len(corpus.vocabulary), **({"d_model": 12, "n_layers": 1, "n_heads": 2, "d_ff": 8} | options)), seed=seed)


def assert_same_run(one, other):
    assert one.history == other.history
    assert (one.steps, one.place) == (other.steps, other.place)
    np.testing.assert_array_equal(one.model.flat_parameters, other.model.flat_parameters)
    for name, array in one.optimizer.state().items():
        np.testing.assert_array_equal(array, other.optimizer.state()[name], err_msg=name)
    assert (one.best is None) == (other.best is None)
    if one.best is not None:
        assert (one.best.step, one.best.loss) == (other.best.step, other.best.loss)
        np.testing.assert_array_equal(one.best.parameters, other.best.parameters)


# Exact

RUNS = {
    "plain": {},
    "all at once": {"schedule": warmup(60), "clip_norm": 0.5, "accumulate": 3, "batch_size": 6, "evaluate_every": 7, "patience": 40},
    "cosine": {"schedule": cosine(300, 0.1)},
    "random windows": {"windows": "random"},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.filterwarnings("ignore:the warm-up takes:UserWarning")  # it is broken off within
def test_two_hundred_steps_with_a_break_are_the_steps_without(corpus, tmp_path, optimizer, dtype, run):
    def trainer():
        return Trainer(small(corpus, dtype=dtype, positions="learned"), corpus, optimizer=optimizer, seed=3, **RUNS[run])

    straight, broken = trainer(), trainer()
    straight.fit(steps=200)
    at = int(np.random.default_rng(len(optimizer) + len(run)).integers(1, 200))
    broken.fit(steps=at)
    broken.save(tmp_path / "run.safetensors")
    broken.model.flat_parameters[:] = 0.0  # what is resumed must come from the file
    resumed = Trainer.resume(tmp_path / "run.safetensors", corpus)
    resumed.fit(steps=200 - at)
    assert_same_run(straight, resumed)
    prompt = corpus.encode("the sky is")
    np.testing.assert_array_equal(generate(straight.model, prompt, 20), generate(resumed.model, prompt, 20))


@pytest.mark.parametrize("positions", POSITIONS)
def test_every_kind_of_positions_is_saved_and_resumed(corpus, tmp_path, positions):
    straight, broken = (Trainer(small(corpus, positions=positions), corpus, seed=2) for _ in range(2))
    straight.fit(steps=14)
    broken.fit(steps=9)
    broken.save(tmp_path / "run.safetensors")
    broken.model.flat_parameters[:] = 0.0
    resumed = Trainer.resume(tmp_path / "run.safetensors", corpus)
    assert type(resumed.model.positions) is POSITIONS[positions]
    resumed.fit(steps=5)
    assert_same_run(straight, resumed)


def test_fixed_slopes_need_their_part_again(corpus, tmp_path):
    def model():
        return CLLM(small(corpus).config, attention=DistanceBiasAttention(learned=False))

    path = tmp_path / "run.safetensors"
    Trainer(model(), corpus).save(path)
    with pytest.raises(CheckpointError, match=r"saved with DistanceBiasAttention as its attention.*load_checkpoint\(path, attention="):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match="the file lacks 'layers.0.attention.slopes'"):
        load_checkpoint(path, attention=DistanceBiasAttention())
    loaded, _ = load_checkpoint(path, attention=DistanceBiasAttention(learned=False))
    np.testing.assert_array_equal(loaded.logits([[1, 2, 3]]), model().logits([[1, 2, 3]]))


def test_a_rope_base_is_kept_and_needed_again(corpus, tmp_path):
    path, tokens = tmp_path / "run.safetensors", [[1, 2, 3]]
    trainer = Trainer(small(corpus, positions="rotary", rope_base=50.0), corpus)
    trainer.fit(steps=3)
    trainer.save(path)
    resumed = Trainer.resume(path, corpus)
    assert resumed.model.layer.attention.base == resumed.model.config.rope_base == 50.0
    np.testing.assert_array_equal(resumed.model.logits(tokens), trainer.model.logits(tokens))
    own = CLLM(small(corpus).config, attention=RotarySelfAttention(50.0))
    Trainer(own, corpus).save(path)
    with pytest.raises(
        CheckpointError, match=r"saved with RotarySelfAttention\(50\) as its attention, and here it would be RotarySelfAttention"
    ):
        load_checkpoint(path, attention=RotarySelfAttention())
    loaded, _ = load_checkpoint(path, attention=RotarySelfAttention(50.0))
    np.testing.assert_array_equal(loaded.logits(tokens), own.logits(tokens))


def test_an_older_file_has_the_usual_rope_base_and_windows(good, corpus, tmp_path):
    def older(description):
        del description["settings"]["windows"]
        for name in LATER:
            del description["config"][name]

    path = tmp_path / "old.safetensors"
    path.write_bytes(with_description(older)(good))
    trainer = Trainer.resume(path, corpus)
    assert (trainer.model.config.rope_base, trainer.windows) == (10_000.0, "disjoint")
    assert {name: getattr(trainer.model.config, name) for name in LATER} == LATER


def test_a_file_of_an_older_library_goes_on_as_it_would_have_there():
    """Written by 0.2.0, whose configuration had `rotary_base` and no choice of layers, after five steps; these are the next five."""
    trainer = Trainer.resume(OLDER / "rotary_of_0.2.0.safetensors")
    config, corpus = trainer.model.config, trainer.corpus
    assert (config.positions, config.rope_base, config.rope_pairs) == ("rotary", 50.0, "neighbours")
    stored = load((OLDER / "rotary_of_0.2.0.safetensors").read_bytes())
    for name, array in trainer.model.parameters.items():
        np.testing.assert_array_equal(array, stored[f"model.{name}"])
    assert trainer.model.loss(corpus.tokens[None, :8], corpus.tokens[None, 1:9]) == pytest.approx(2.250614787926409, abs=1e-14)
    trainer.fit(steps=5)
    expected = [2.304746356466615, 2.2977222876623387, 2.2586777205604744, 2.282393485373677, 2.2762062059995185]
    np.testing.assert_allclose(trainer.history.losses[5:], expected, rtol=1e-13)


@pytest.mark.parametrize(
    "others",
    [
        dict(norm="rms", norm_first=True, feed_forward="swiglu", n_kv_heads=1, positions="rotary", rope_base=50.0, rope_pairs="halves"),
        dict(norm_first=True, feed_forward="gelu", positions="learned"),
        dict(norm="rms", n_kv_heads=1, positions="distance_bias", tie_embeddings=False),
    ],
)
def test_every_choice_of_layers_is_saved_and_resumed(corpus, tmp_path, others):
    straight, broken = (Trainer(small(corpus, **others), corpus, seed=2) for _ in range(2))
    straight.fit(steps=14)
    broken.fit(steps=9)
    broken.save(tmp_path / "run.safetensors")
    broken.model.flat_parameters[:] = 0.0
    resumed = Trainer.resume(tmp_path / "run.safetensors", corpus)
    assert resumed.model.config == straight.model.config
    resumed.fit(steps=5)
    assert_same_run(straight, resumed)
    np.testing.assert_array_equal(generate(straight.model, [1, 2, 3], 12), generate(resumed.model, [1, 2, 3], 12))


def test_other_pairs_are_needed_again(corpus, tmp_path):
    path = tmp_path / "run.safetensors"
    Trainer(CLLM(small(corpus).config, attention=RotarySelfAttention(pairs="halves")), corpus).save(path)
    with pytest.raises(CheckpointError, match=r"saved with RotarySelfAttention\(halves\) as its attention"):
        load_checkpoint(path, attention=RotarySelfAttention())
    load_checkpoint(path, attention=RotarySelfAttention(pairs="halves"))


def test_a_schedule_leaves_the_rate_that_the_file_holds(corpus, tmp_path):
    path = tmp_path / "run.safetensors"
    trainer = Trainer(small(corpus), corpus, learning_rate=0.01, schedule=cosine(20))
    trainer.fit(steps=15)
    trainer.save(path)
    assert load_checkpoint(path)[1].optimizer["settings"]["learning_rate"] == 0.01
    assert Trainer.resume(path, corpus).optimizer.learning_rate == 0.01


@settings(max_examples=settings().max_examples // 4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stops=st.lists(st.integers(1, 12), min_size=1, max_size=5), optimizer=st.sampled_from(list(OPTIMIZERS)))
def test_wherever_and_however_often_it_is_broken_off(corpus, tmp_path, stops, optimizer):
    straight = Trainer(small(corpus), corpus, optimizer=optimizer, evaluate_every=5)
    straight.fit(steps=sum(stops))
    trainer = Trainer(small(corpus), corpus, optimizer=optimizer, evaluate_every=5)
    for steps in stops:
        trainer.save(tmp_path / "run.safetensors")
        trainer = Trainer.resume(tmp_path / "run.safetensors", corpus)
        trainer.fit(steps=steps)
    assert_same_run(straight, trainer)


IN_A_NEW_PROCESS = """
import sys
from cllm_lib import Trainer, load_corpus
from cllm_lib.model.generation import generate
corpus = load_corpus("sayings", validation_fraction=0.1)
trainer = Trainer.resume(sys.argv[1], corpus)
trainer.fit(steps=int(sys.argv[2]))
trainer.save(sys.argv[1])
print(*generate(trainer.model, corpus.encode("the sky is"), 12))
"""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_new_process_goes_on_bit_for_bit(corpus, tmp_path, dtype):
    path = tmp_path / "ein Lauf ä.safetensors"
    straight, broken = (Trainer(small(corpus, dtype=dtype), corpus, seed=5, accumulate=2) for _ in range(2))
    straight.fit(steps=200)
    broken.fit(steps=77)
    broken.save(path)
    said = subprocess.run([sys.executable, "-c", IN_A_NEW_PROCESS, str(path), "123"], check=True, capture_output=True, text=True).stdout
    assert_same_run(straight, Trainer.resume(path, corpus))
    assert [int(word) for word in said.split()] == generate(straight.model, corpus.encode("the sky is"), 12).tolist()


def test_the_text_is_found_again_by_the_names_in_the_file(tmp_path):
    both = load_corpus(["sayings", "patterns"], vocab_size=50, validation_fraction=0.3)
    trainer = Trainer(small(both), both)
    trainer.fit(steps=3)
    trainer.save(tmp_path / "run.safetensors")
    for names in (None, ["sayings", "patterns"]):
        resumed = Trainer.resume(tmp_path / "run.safetensors", names)
        assert resumed.corpus.fingerprint == both.fingerprint
        assert_same_run(trainer, resumed)
    with pytest.raises(CheckpointError, match=r"Resume with the text it was trained on \('sayings \+ patterns'\)"):
        Trainer.resume(tmp_path / "run.safetensors", "prose")


def test_an_older_file_that_says_nothing_of_how_its_text_was_read_is_resumed(tmp_path):
    both = load_corpus(["sayings", "patterns"], vocab_size=50)
    trainer = Trainer(small(both), both)
    trainer.save(tmp_path / "run.safetensors")
    rewritten(tmp_path / "run.safetensors", lambda description: description.pop("text"))
    resumed = Trainer.resume(tmp_path / "run.safetensors")
    assert_same_run(trainer, resumed)
    assert resumed.corpus.sources == ("sayings", "patterns")


@pytest.mark.parametrize(
    "told", [[], "sayings", {"source": 5}, {"source": [5]}, {"unit": "letter"}, {"seed": "x"}, {"normalization": None}]
)
def test_a_file_that_tells_nonsense_of_its_text_gets_a_sentence(tmp_path, corpus, told):
    Trainer(small(corpus), corpus).save(tmp_path / "run.safetensors")
    rewritten(tmp_path / "run.safetensors", lambda description: description.update(text=told))
    with pytest.raises(ValueError, match="."):  # a CheckpointError is one
        Trainer.resume(tmp_path / "run.safetensors")


def test_a_model_of_byte_pairs_encodes_and_decodes_after_loading_as_before(tmp_path):
    """The file holds no merges: they follow from the vocabulary."""
    text = load_corpus("prose", unit="bpe", vocab_size=400, validation_fraction=0.1)
    trainer = Trainer(small(text), text)
    trainer.fit(steps=3)
    trainer.save(tmp_path / "run.safetensors")
    encoder = load_checkpoint(tmp_path / "run.safetensors")[1].encoder()
    for one in ("The sky, größer 🙂\n\n", "<unk>", "\0 \x7f"):
        np.testing.assert_array_equal(encoder.encode(one), text.encode(one))
        assert encoder.decode(encoder.encode(one)) == one
    resumed = Trainer.resume(tmp_path / "run.safetensors")
    assert_same_run(trainer, resumed)
    assert resumed.corpus.fingerprint == text.fingerprint
    assert resumed.corpus.n_validation == text.n_validation


def test_a_task_without_a_text_is_resumed_too(tmp_path):
    task = AssociativeRecall(3, batches_in_epoch=10)
    config = CLLMConfig(len(task.vocabulary), d_model=8, n_layers=1, n_heads=2, d_ff=8, seq_len=task.seq_len, positions="learned")
    straight, broken = (Trainer(CLLM(config), task) for _ in range(2))
    straight.fit(steps=25)
    broken.fit(steps=13)
    broken.save(tmp_path / "run.safetensors")
    resumed = Trainer.resume(tmp_path / "run.safetensors", task)
    resumed.fit(steps=12)
    assert_same_run(straight, resumed)


@pytest.mark.parametrize(
    "text", ["sky " * 40, 'the\x07sky is blue\x1b \U0001f30c "quoted" \\n “’” <unk> ' * 20], ids=["one word", "odd words"]
)
def test_odd_texts_go_through_a_file(tmp_path, text):
    (tmp_path / "text ä.txt").write_text(text, encoding="utf-8")
    odd = load_corpus(tmp_path / "text ä.txt")
    trainer = Trainer(small(odd), odd, batch_size=1)
    trainer.fit(epochs=1)
    trainer.save(tmp_path / "run.safetensors")
    resumed = Trainer.resume(tmp_path / "run.safetensors", odd)
    assert_same_run(trainer, resumed)
    assert load_checkpoint(tmp_path / "run.safetensors")[1].vocabulary == odd.vocabulary


def test_the_model_alone_can_be_loaded(corpus, tmp_path):
    trainer = Trainer(small(corpus), corpus)
    trainer.fit(steps=5)
    trainer.save(tmp_path / "run.safetensors")
    model, state = load_checkpoint(tmp_path / "run.safetensors")
    np.testing.assert_array_equal(model.flat_parameters, trainer.model.flat_parameters)
    assert model.config == trainer.model.config
    assert state.vocabulary == corpus.vocabulary
    assert (state.steps, state.corpus_name) == (5, "sayings")


# Parts, schedules and optimisers of one's own


def test_a_museum_piece_is_resumed_with_its_part_in_hand(corpus, tmp_path):
    path = tmp_path / "run.safetensors"
    Trainer(CLLM(small(corpus).config, attention=defects.SimplifiedAttention()), corpus).save(path)
    with pytest.raises(CheckpointError, match=r"saved with SimplifiedAttention as its attention.*attention=\.\.\."):
        load_checkpoint(path)
    assert Trainer.resume(path, corpus, attention=defects.SimplifiedAttention()).fit(steps=2)
    with pytest.raises(CheckpointError, match="no part 'atention': give layer, attention, embedding, output, loss"):
        load_checkpoint(path, atention=defects.SimplifiedAttention())


class Scaled(LinearOutput):
    def forward(self, hidden, matrix):
        logits, cache = super().forward(hidden, matrix)
        return 0.5 * logits, cache

    def backward(self, d_logits, cache, out):
        return super().backward(0.5 * d_logits, cache, out)


class Smoothed(CrossEntropy):
    """Under a name of its own, with its number."""

    def __init__(self, share):
        self.share = share

    @property
    def name_in_file(self):
        return f"Smoothed({self.share:g})"


@pytest.mark.parametrize(
    ("own", "again", "said"),
    [
        ({"output": Scaled()}, {"output": Scaled()}, "Scaled as its output, and here it would be LinearOutput"),
        ({"loss": Smoothed(0.1)}, {"loss": Smoothed(0.1)}, r"Smoothed\(0.1\) as its loss, and here it would be CrossEntropy"),
    ],
    ids=["output", "loss"],
)
def test_an_end_of_ones_own_is_named_in_the_file_and_needed_again(corpus, tmp_path, own, again, said):
    path, (seam,) = tmp_path / "run.safetensors", own
    straight, broken = (Trainer(CLLM(small(corpus).config, **own), corpus) for _ in range(2))
    straight.fit(steps=5)
    broken.fit(steps=3)
    broken.save(path)
    for reads in (load_checkpoint, Trainer.resume):
        with pytest.raises(CheckpointError, match=rf"was saved with {said}: hand in the same part, load_checkpoint\(path, {seam}=...\)"):
            reads(path)
    resumed = Trainer.resume(path, corpus, **again)
    resumed.fit(steps=2)
    assert_same_run(straight, resumed)
    Trainer(small(corpus), corpus).save(path)
    with pytest.raises(CheckpointError, match=f"as its {seam}, and here it would be"):
        load_checkpoint(path, **own)


def test_another_number_of_an_own_loss_is_another_loss(corpus, tmp_path):
    path = tmp_path / "run.safetensors"
    Trainer(CLLM(small(corpus).config, loss=Smoothed(0.1)), corpus).save(path)
    with pytest.raises(CheckpointError, match=r"saved with Smoothed\(0.1\) as its loss, and here it would be Smoothed\(0.2\)"):
        load_checkpoint(path, loss=Smoothed(0.2))


def test_an_older_file_that_does_not_name_output_loss_and_hooks_had_the_sound_ones_and_none(corpus, tmp_path):
    def older(description):
        assert (description["parts"].pop("output"), description["parts"].pop("loss")) == ("LinearOutput", "CrossEntropy")
        assert description.pop("hooks") == []

    path = tmp_path / "run.safetensors"
    straight, broken = (Trainer(small(corpus), corpus, evaluate_every=4) for _ in range(2))
    straight.fit(steps=14)
    broken.fit(steps=9)
    broken.save(path)
    rewritten(path, older)
    with pytest.raises(CheckpointError, match="was saved with LinearOutput as its output, and here it would be Scaled"):
        load_checkpoint(path, output=Scaled())
    with pytest.raises(CheckpointError, match="was trained without hooks"):
        Trainer.resume(path, corpus, hooks=[print])
    assert load_checkpoint(path)[1].hooks == ()
    resumed = Trainer.resume(path, corpus)
    assert resumed.hooks == ()
    resumed.fit(steps=5)
    assert_same_run(straight, resumed)


def test_a_model_of_another_class_is_not_saved(corpus, tmp_path):
    with pytest.raises(CheckpointError, match="this model is a GradientOfAnotherLoss"):
        Trainer(defects.GradientOfAnotherLoss(small(corpus).config), corpus).save(tmp_path / "run.safetensors")
    assert list(tmp_path.iterdir()) == []


# Whole


def test_the_last_two_checkpoints_are_kept(corpus, tmp_path):
    path, trainer = tmp_path / "run.safetensors", Trainer(small(corpus), corpus)
    for _ in range(3):
        trainer.fit(steps=2)
        trainer.save(path)
    assert load_checkpoint(path)[1].steps == 6
    assert load_checkpoint(previous(path))[1].steps == 4
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.previous.safetensors", "run.safetensors"]


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_full_disk_loses_nothing_and_says_so(corpus, tmp_path, monkeypatch, fails):
    path, trainer = tmp_path / "run.safetensors", Trainer(small(corpus), corpus)
    trainer.save(path)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, fails, full)
    trainer.fit(steps=3)
    with pytest.raises(CheckpointError, match="could not be written .No space left on device.; the checkpoint that was there is untouched"):
        trainer.save(path)
    monkeypatch.undo()
    assert load_checkpoint(path)[1].steps == 0
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]
    trainer.save(path)
    assert load_checkpoint(path)[1].steps == 3


def test_a_folder_that_may_not_be_written_loses_nothing_and_says_so(corpus, tmp_path, monkeypatch):
    def forbidden(**arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", forbidden)  # root may always write
    with pytest.raises(CheckpointError, match="could not be written .Permission denied.; no checkpoint was there before"):
        Trainer(small(corpus), corpus).save(tmp_path / "run.safetensors")


@pytest.mark.parametrize(("name", "words"), [("", "is a folder: name a file"), ("nowhere/run.safetensors", "there is no folder")])
def test_a_place_where_no_file_can_be_is_an_error(corpus, tmp_path, name, words):
    with pytest.raises(CheckpointError, match=words):
        Trainer(small(corpus), corpus).save(tmp_path / name)


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few people make links")
@pytest.mark.parametrize("there", [True, False], ids=["a file at its end", "nothing yet at its end"])
def test_a_link_stays_a_link_and_what_it_leads_to_is_written(corpus, tmp_path, there):
    (tmp_path / "elsewhere").mkdir()
    target, path, trainer = tmp_path / "elsewhere" / "real.safetensors", tmp_path / "run.safetensors", Trainer(small(corpus), corpus)
    path.symlink_to(tmp_path / "between")
    (tmp_path / "between").symlink_to("elsewhere/real.safetensors")
    if there:
        trainer.save(target)
    trainer.fit(steps=3)
    trainer.save(path)
    assert path.is_symlink()
    assert (tmp_path / "between").is_symlink()
    assert not target.is_symlink()
    assert load_checkpoint(target)[1].steps == load_checkpoint(path)[1].steps == 3
    assert previous(path).exists() == there
    if there:
        assert load_checkpoint(previous(path))[1].steps == 0
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(CheckpointError, match="circle cannot be written .Too many levels of symbolic links"):
        trainer.save(tmp_path / "circle")
    path.unlink()
    path.symlink_to("nowhere/real.safetensors")
    with pytest.raises(CheckpointError, match="there is no folder .*nowhere"):
        trainer.save(path)


def test_words_of_a_stranger_reach_no_terminal_through_an_error(good, corpus, tmp_path):
    path = tmp_path / "run.safetensors"
    evil = "\x1b[2J\u202e"
    path.write_bytes(with_description(lambda d: d.update(vocabulary=[*d["vocabulary"][:-1], evil], corpus_name=evil))(good))
    with pytest.raises(CheckpointError, match="they part at id") as error:
        Trainer.resume(path, corpus)
    assert str(error.value).isprintable()
    assert r"\x1b[2J\u202e" in str(error.value)


def test_a_spoilt_model_does_not_replace_a_good_one(corpus, tmp_path):
    path, trainer = tmp_path / "run.safetensors", Trainer(small(corpus), corpus)
    trainer.save(path)
    trainer.model.parameters["embedding"][3, 1] = np.nan
    with pytest.raises(CheckpointError, match="model.embedding holds NaN.*resume from that one"):
        trainer.save(path)
    assert np.isfinite(load_checkpoint(path)[0].flat_parameters).all()
    with pytest.raises(Exception, match=r"The last good checkpoint is .*run\.safetensors"):
        trainer.fit(steps=1)


SAVE_FOR_EVER = """
import sys
from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
corpus = load_corpus("sayings")
trainer = Trainer(CLLM(CLLMConfig(len(corpus.vocabulary), d_model=64, n_layers=2)), corpus)
while True:
    trainer.fit(steps=1)
    trainer.save(sys.argv[1])
    print(trainer.steps, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_any_moment_there_is_a_checkpoint_and_never_an_older_one(tmp_path, kills):
    path, generator = tmp_path / "run.safetensors", np.random.default_rng(kills)
    for _ in range(kills):
        process = subprocess.Popen([sys.executable, "-c", SAVE_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True)
        first = process.stdout.readline()
        time.sleep(generator.uniform(0.0, 0.12))
        process.send_signal(signal.SIGKILL)
        reported = [int(line) for line in [first, *process.stdout]]
        process.wait()
        _, state = load_checkpoint(path)
        assert state.steps in (reported[-1], reported[-1] + 1)
        if previous(path).exists():
            load_checkpoint(previous(path))


# Distrustful


@pytest.fixture(scope="module")
def good(corpus, tmp_path_factory):
    """Bytes of a checkpoint."""
    path = tmp_path_factory.mktemp("good") / "run.safetensors"
    trainer = Trainer(small(corpus, d_model=4, n_heads=1, d_ff=4), corpus, evaluate_every=2)
    trainer.fit(steps=5)
    trainer.save(path)
    return path.read_bytes()


def taken_apart(data):
    (length,) = struct.unpack("<Q", data[:8])
    return load(data), json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["cllm"])


def put_together(arrays, description, sign=True):
    """A file that contradicts nothing but common sense: its checksum is right unless `sign` is False."""
    if sign:
        description = description | {"sha256": digest(arrays, description)}
    return save(arrays, {"cllm": json.dumps(description)})


def rewritten(path, change):
    """Change the description in a file, and sign it anew."""
    arrays, description = taken_apart(path.read_bytes())
    change(description)
    path.write_bytes(put_together(arrays, description))


def changed_header(data, change):
    (length,) = struct.unpack("<Q", data[:8])
    header = change(data[8 : 8 + length].decode()).encode()
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def unsigned(data, change):
    arrays, description = taken_apart(data)
    return put_together(arrays, description | change, sign=False)


def converted(kind, n_bytes):
    """What other programs make of it: the weights in other numbers, all else as it was."""

    def spoil(data):
        (length,) = struct.unpack("<Q", data[:8])
        header, body, start = json.loads(data[8 : 8 + length]), b"", 8 + length
        for name, entry in sorted(header.items(), key=lambda pair: pair[1].get("data_offsets", [-1])):
            if name == "__metadata__":
                continue
            first, last = entry["data_offsets"]
            piece = data[start + first : start + last]
            if name.startswith("model."):
                entry["dtype"] = kind
                piece = np.frombuffer(piece, "<f8").astype("<f2").tobytes() if kind == "F16" else bytes(len(piece) // 8 * n_bytes)
            entry["data_offsets"] = [len(body), len(body) + len(piece)]
            body += piece
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + body

    return spoil


def with_arrays(change):
    def spoil(data):
        arrays, description = taken_apart(data)
        arrays = {name: np.array(array) for name, array in arrays.items()}
        change(arrays)
        return put_together(arrays, description)

    return spoil


def with_description(change):
    def spoil(data):
        arrays, description = taken_apart(data)
        change(description)
        return put_together(arrays, description)

    return spoil


def put(name, value, inside=None):
    def change(description):
        (description if inside is None else description[inside])[name] = value

    return with_description(change)


def flipped(position):
    def spoil(data):
        at = position if position >= 0 else len(data) + position
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return spoil


def other_shape(arrays):
    arrays["model.embedding"] = arrays["model.embedding"].T.copy()


BAD = {
    "empty": (lambda data: b"", "is empty"),
    "cut in the length": (lambda data: data[:5], "has 5 bytes"),
    "cut in the header": (lambda data: data[:200], "was cut off"),
    "cut in the arrays": (lambda data: data[:-100], r"was cut off: it has [\d,]+ bytes of [\d,]+"),
    "cut by one byte": (lambda data: data[:-1], r"was cut off: it has [\d,]+ bytes of [\d,]+"),
    "one byte more": (lambda data: data + b"\0", "contradicts itself"),
    "a header said to be longer than the file": (lambda data: struct.pack("<Q", len(data)) + data[8:], "was cut off"),
    "a header said to be 2^40 bytes": (lambda data: struct.pack("<Q", 2**40) + data[8:], "announce a header"),
    "a header said to be shorter": (lambda data: struct.pack("<Q", 50) + data[8:], "no JSON text"),
    "a header of no length": (lambda data: struct.pack("<Q", 0) + data[8:], "no JSON text"),
    "a text file": (lambda data: b"the sky is blue\n" * 100, "is a text: name the file"),
    "a picture": (lambda data: b"\x89PNG\r\n\x1a\n" + bytes(500), "announce a header"),
    "zeros": (lambda data: bytes(1000), "no JSON text"),
    "a header that is a list": (lambda data: changed_header(data, lambda text: "[1, 2]"), "of another program"),
    "a header of deep brackets": (lambda data: changed_header(data, lambda text: "[" * 100_000), "no JSON text"),
    "no UTF-8": (lambda data: data[:20] + b"\xff\xfe" + data[22:], "no JSON text"),
    "a name twice": (
        lambda data: changed_header(data, lambda text: text.replace('"model.embedding"', '"optimizer.square_sum"', 1)),
        "names 'optimizer.square_sum' twice",
    ),
    "another program's file": (lambda data: save({"a": np.ones(3)}), "of another program"),
    "another program's file with words": (lambda data: save({"a": np.ones(3)}, {"format": "pt"}), "of another program"),
    "a description that is no JSON": (lambda data: save({"a": np.ones(3)}, {"cllm": "{"}), "damaged description"),
    "a description that is a number": (lambda data: save({"a": np.ones(3)}, {"cllm": "3"}), "does not say its format"),
    "a description with a number of 5,000 digits": (
        lambda data: save({"a": np.ones(3)}, {"cllm": f'{{"format": {"1" * 5_000}}}'}),
        "damaged description",
    ),
    "a newer format": (put("format", 2), "has format 2, this library reads format 1"),
    "a flipped bit in the first array": (flipped(-1), "checksum"),
    "a flipped bit in the last array": (flipped(-5000), "checksum|contradicts|no checkpoint"),
    "another step count, unsigned": (
        lambda data: put_together(taken_apart(data)[0], taken_apart(data)[1] | {"steps": 3}, sign=False),
        "checksum",
    ),
    "no checksum": (lambda data: save(taken_apart(data)[0], {"cllm": json.dumps({"format": 1})}), "lacks something.*sha256"),
    "NaN weights": (with_arrays(lambda arrays: arrays["model.embedding"].__setitem__((0, 0), np.nan)), "model.embedding holds NaN"),
    "infinite moments": (with_arrays(lambda a: a["optimizer.square_sum"].__setitem__(0, np.inf)), "optimizer.square_sum holds NaN or inf"),
    "a shape turned": (with_arrays(other_shape), r"model.embedding|embedding has shape \(4, 280\)"),
    "another type": (with_arrays(lambda a: a.__setitem__("model.embedding", a["model.embedding"].astype("f4"))), "stored as F32 .float32."),
    "a pointer of git LFS": (
        lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:9\nsize 345678\n",
        "pointer of git LFS.*345,678",
    ),
    "a page of the web": (lambda data: b"<html><body>Not found</body></html>", "is a page for a browser"),
    "an index of parts": (lambda data: b'{"weight_map": {"a": "model-1.safetensors"}}', "is the index of a model in several files"),
    "weights of PyTorch": (lambda data: b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "is a PyTorch file"),
    "compressed": (gzip.compress, "is compressed by gzip: unpack it first"),
    "every second byte lost": (lambda data: data[::2], "is no safetensors file"),
    "weights halved to float16": (converted("F16", 2), r"converted by another program.*saved as float64, is stored as F16 \(float16\)"),
    "weights in bfloat16": (converted("BF16", 2), r"converted by another program.*is stored as BF16 \(bfloat16\)"),
    "weights in eight bits": (converted("F8_E4M3", 1), "converted by another program.*is stored as F8_E4M3"),
    "weights as whole numbers": (converted("I8", 1), "converted by another program.*is stored as I8"),
    "a tensor missing": (with_arrays(lambda arrays: arrays.pop("model.layers.0.attention.query_bias")), "the file lacks 'layers.0.att"),
    "a tensor too many": (with_arrays(lambda arrays: arrays.__setitem__("model.extra", np.ones(2))), "the model has no 'extra'"),
    "moments too short": (with_arrays(lambda a: a.__setitem__("optimizer.square_sum", np.ones(3))), "square_sum has 3 numbers"),
    "best weights too short": (with_arrays(lambda a: a.__setitem__("best", np.ones(3))), "the best weights are 3"),
    "no curve": (with_arrays(lambda arrays: arrays.pop("history.losses")), "lacks something.*history.losses"),
    "a curve with two axes": (with_arrays(lambda a: a.__setitem__("history.losses", np.ones((2, 2)))), "is no column"),
    "curves of unequal length": (with_arrays(lambda a: a.__setitem__("history.epochs", np.ones(3))), r"history\.epochs has 3 entries"),
    "validation without its steps": (
        with_arrays(lambda a: a.__setitem__("history.validation_steps", np.ones(7))),
        "validation_steps has 7",
    ),
    "a model of a billion words": (put("vocab_size", 10**9, "config"), "speaks of a larger model"),
    "a model of a billion layers": (put("n_layers", 10**9, "config"), "speaks of a larger model"),
    "heads that do not divide": (put("n_heads", 3, "config"), "not divisible"),
    "a setting this library does not know": (put("rotary", True, "config"), "differs in rotary"),
    "no configuration": (with_description(lambda description: description.pop("config")), "lacks something.*config"),
    "a configuration of words": (put("config", "large"), "lacks something|differs in"),
    "a vocabulary of numbers": (put("vocabulary", 7), "lacks something"),
    "parts that are a list": (put("parts", ["LinearOutput"]), "lacks something|was saved with"),
    "a part that is a number": (put("output", 7, "parts"), "was saved with 7 as its output"),
    "hooks that are a number": (put("hooks", 7), "lacks something"),
    "hooks that are nothing": (put("hooks", None), "lacks something"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_good_checkpoint_gets_a_clear_error(good, tmp_path, case):
    spoil, words = BAD[case]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(spoil(good))
    with pytest.raises(CheckpointError, match=words) as error:
        load_checkpoint(path)
    assert "bad.safetensors" in str(error.value)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (put("batch_size", "many", "settings"), "settings that make no trainer here"),
        (put("patience", -1, "settings"), "settings that make no trainer here"),
        (put("colour", "red", "settings"), "settings that make no trainer here"),
        (put("generator", {"bit_generator": "MT19937"}), "settings that make no trainer here"),
        (put("optimizer", {"name": "adam", "settings": {"rate": 1}}), "settings that make no trainer here"),
        (put("schedule", {"name": "warmup", "arguments": {"stops": 3}}), "settings that make no trainer here"),
        (put("schedule", {"name": "sunshine", "arguments": {}}), "make no trainer here .unknown schedule 'sunshine'"),
        (put("position", 1000), "settings that make no trainer here"),
        (put("position", -1), "settings that make no trainer here"),
    ],
)
def test_settings_that_make_no_sense_are_no_surprise_later(good, corpus, tmp_path, spoil, words):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(spoil(good))
    with pytest.raises(CheckpointError, match=words):
        Trainer.resume(path, corpus)


def test_the_signed_file_of_these_tests_is_a_good_one(good, corpus, tmp_path):
    (tmp_path / "run.safetensors").write_bytes(put_together(*taken_apart(good)))
    assert Trainer.resume(tmp_path / "run.safetensors", corpus).steps == 5


def test_places_that_are_no_files(tmp_path):
    with pytest.raises(CheckpointError, match="is a folder"):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        load_checkpoint(tmp_path / "nothing.safetensors")
    with pytest.raises(CheckpointError, match="there is no checkpoint at|cannot be the path"):
        load_checkpoint("a\0b")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="no ordinary file"):
        load_checkpoint(tmp_path / "pipe")


def test_a_damaged_file_points_to_the_one_before(corpus, tmp_path):
    path, trainer = tmp_path / "run.safetensors", Trainer(small(corpus), corpus)
    for _ in range(2):
        trainer.save(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"The one before is .*run\.previous\.safetensors"):
        load_checkpoint(path)


def fuzz(path, data):
    path.write_bytes(data)
    try:
        model, _ = load_checkpoint(path)
    except CheckpointError:
        return
    assert np.isfinite(model.flat_parameters).all()


def mutations(good):
    """Files near a good one: bytes replaced, cut out or put in; and files of nothing but random bytes."""
    at = st.one_of(st.integers(0, 2_000), st.integers(0, len(good)))
    edit = st.tuples(at, st.integers(0, 8), st.binary(max_size=8))

    def apply(edits):
        data = good
        for start, length, new in edits:
            data = data[:start] + new + data[start + length :]
        return data

    return st.one_of(st.lists(edit, min_size=1, max_size=4).map(apply), st.binary(max_size=300))


@pytest.mark.parametrize("examples", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_random_bytes_give_an_error_or_a_model(good, tmp_path, examples):
    @settings(max_examples=examples, database=None)
    @given(data=mutations(good))
    def run(data):
        fuzz(tmp_path / "fuzz.safetensors", data)

    run()
