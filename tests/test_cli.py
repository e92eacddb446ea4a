"""The command line as a user types it."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from patience import PATIENCE
from safetensors import safe_open
from safetensors.numpy import save

from cllm_lib import Trainer, __version__, load_corpus
from cllm_lib.cli import DONE, INTERRUPTED, TO_CHANGE, main
from cllm_lib.model.generation import generate
from cllm_lib.terminal import harmless
from cllm_lib.training import checkpoint, resuming
from cllm_lib.training.checkpoint import digest, load_checkpoint, previous

TINY = ["--d-model", "12", "--layers", "1", "--heads", "2", "--d-ff", "8", "--dtype", "float64", "--quiet"]


def type_in(words, capsys):
    """Exit code, what was printed, and the complaint."""
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def saved(tmp_path, capsys):
    path = tmp_path / "ein modell ä.safetensors"
    words = ["train", "--save", path, "--epochs", 2, "--validation-fraction", 0.1, "--evaluate-every", 5, *TINY]
    assert type_in(words, capsys)[0] == DONE
    return path


def test_train_says_what_it_trains_on_and_how_to_go_on(tmp_path, capsys):
    path, curves = tmp_path / "model.safetensors", tmp_path / "curves.csv"
    code, out, err = type_in(["train", "--text", "sayings", "--save", path, "--epochs", 3, "--csv", curves, *TINY], capsys)
    assert (code, err) == (DONE, "")
    assert "sayings: 1,241 words, 280 different" in out
    assert "starts near ln V = 5.63; one that knows how often words occur reaches 4.71" in out
    assert f"python -m cllm_lib generate {path}" in out
    assert len(curves.read_text(encoding="utf-8").splitlines()) == 1 + 27
    assert load_checkpoint(path)[1].steps == 27


def test_every_option_of_train_reaches_its_place(tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    words = (
        "--text sayings patterns --vocab-size 100 --keep-unused-ids --d-model 6 --layers 2 --heads 3 --d-ff 5 --seq-len 8 --dtype float32 "
    )
    words += (
        "--positions learned --untied --optimizer momentum --learning-rate 0.02 --schedule warmup_cosine --warmup-steps 7 --batch-size 6 "
    )
    words += "--accumulate 2 --clip-norm 0.5 --validation-fraction 0.5 --evaluate-every 900 --patience 4 --seed 3 --epochs 1 --quiet "
    words += "--windows random"
    code, out, err = type_in(["train", "--save", path, *words.split()], capsys)
    assert (code, err) == (DONE, ""), out
    model, state = load_checkpoint(path)
    config = model.config
    assert (config.vocab_size, config.d_model, config.n_layers, config.n_heads, config.d_ff, config.seq_len) == (100, 6, 2, 3, 5, 8)
    assert (config.dtype, config.positions, config.tie_embeddings) == ("float32", "learned", False)
    assert state.optimizer["name"] == "momentum"
    assert state.optimizer["settings"]["learning_rate"] == 0.02
    assert state.schedule["arguments"] == {"warmup_steps": 7, "total": state.steps, "floor": 0.0}
    expected = {"batch_size": 6, "accumulate": 2, "clip_norm": 0.5, "evaluate_every": 900, "patience": 4, "stop_when_not_finite": True}
    assert state.settings == expected | {"windows": "random"}
    assert state.corpus_name == "sayings + patterns"


LLAMA = ["--positions", "rotary", "--rope-base", "50", "--rope-pairs", "halves", "--norm", "rms", "--norm-first"]
LLAMA += ["--feed-forward", "swiglu", "--kv-heads", "1"]


def test_every_choice_of_layers_reaches_its_place_and_speaks(tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    assert type_in(["train", "--save", path, "--epochs", 1, *TINY, *LLAMA], capsys)[0] == DONE
    config = load_checkpoint(path)[0].config
    assert (config.positions, config.rope_base, config.rope_pairs) == ("rotary", 50.0, "halves")
    assert (config.norm, config.norm_first, config.feed_forward, config.n_heads, config.n_kv_heads) == ("rms", True, "swiglu", 2, 1)
    for words in (["generate", path, "--prompt", "the sky", "--tokens", 3], ["resume", path, "--epochs", 1, "--quiet"], ["diagnose", path]):
        code, out, err = type_in(words, capsys)
        assert (code, err) == (DONE, ""), out
    other = tmp_path / "other.safetensors"
    code, _, err = type_in(["train", "--init-from", path, "--save", other, "--norm", "rms"], capsys)
    assert (code, "--norm is for a new model" in err) == (TO_CHANGE, True)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--kv-heads", "3"], "n_heads = 2 is not divisible by n_kv_heads = 3"),
        (["--rope-base", "50"], "rope_base is 50, and positions='none' turn nothing"),
        (["--rope-pairs", "halves"], "rope_pairs is 'halves', and positions='none' turn nothing"),
    ],
)
def test_choices_that_do_not_go_together_are_refused(tmp_path, capsys, words, complaint):
    code, _, err = type_in(["train", "--save", tmp_path / "model.safetensors", *TINY, *words], capsys)
    assert (code, complaint in err) == (TO_CHANGE, True), err
    assert not list(tmp_path.iterdir())


def test_the_checkpoint_kept_beside_it_is_the_epoch_before(saved):
    assert load_checkpoint(saved)[1].steps == 16
    assert load_checkpoint(previous(saved))[1].steps == 8


def test_resume_is_the_run_that_never_stopped(saved, tmp_path, capsys):
    straight = tmp_path / "straight.safetensors"
    words = ["train", "--save", straight, "--epochs", 5, "--validation-fraction", 0.1, "--evaluate-every", 5, *TINY]
    assert type_in(words, capsys)[0] == DONE
    code, out, _ = type_in(["resume", saved, "--epochs", 3, "--quiet"], capsys)
    assert code == DONE
    assert "16 steps on sayings" in out
    np.testing.assert_array_equal(load_checkpoint(saved)[0].flat_parameters, load_checkpoint(straight)[0].flat_parameters)


def test_resume_finds_a_text_that_was_moved_and_reads_the_checkpoint_once(tmp_path, capsys, monkeypatch):
    path, text, moved = tmp_path / "model.safetensors", tmp_path / "text.txt", tmp_path / "moved.txt"
    text.write_text("one two three four five six seven eight nine ten " * 20, encoding="utf-8")
    assert type_in(["train", "--text", text, "--save", path, "--epochs", 1, *TINY], capsys)[0] == DONE
    text.rename(moved)
    code, _, err = type_in(["resume", path, "--epochs", 1, "--quiet"], capsys)
    assert code == TO_CHANGE
    assert "no text file at" in err
    read = []
    for module in (checkpoint, resuming):
        monkeypatch.setattr(module, "load_checkpoint", lambda *given, **parts: read.append(given) or load_checkpoint(*given, **parts))
    code, out, _ = type_in(["resume", path, "--text", moved, "--epochs", 1, "--quiet"], capsys)
    assert code == DONE
    assert len(read) == 1
    assert load_checkpoint(path)[1].steps == 2 * int(re.search(r"([\d,]+) steps on", out)[1])


@pytest.mark.parametrize("names", [["a + b.txt"], ["a + b.txt", "c.txt"], [" + .txt", "c.txt"]], ids=["one", "two", "nothing else"])
def test_texts_with_a_plus_in_their_names_are_found_again(names, tmp_path, capsys):
    path, texts = tmp_path / "model.safetensors", [tmp_path / name for name in names]
    for text in texts:
        text.write_text("one two three four five six seven eight nine ten " * 20, encoding="utf-8")
    assert type_in(["train", "--save", path, "--epochs", 1, *TINY, "--text", *texts], capsys)[0] == DONE
    assert type_in(["resume", path, "--epochs", 1, "--quiet"], capsys)[::2] == (DONE, "")
    assert type_in(["diagnose", path], capsys)[2] == ""


def test_a_made_text_is_made_again_from_its_seed(tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    assert type_in(["train", "--save", path, "--epochs", 1, "--text", "patterns", "--seed", 5, *TINY], capsys)[0] == DONE
    code, out, err = type_in(["resume", path, "--epochs", 1, "--quiet"], capsys)
    assert (code, err) == (DONE, "")
    assert "steps on patterns" in out


def test_byte_pairs_are_trained_resumed_continued_with_another_text_read_aloud_and_diagnosed(tmp_path, capsys):
    path, other, text = tmp_path / "model.safetensors", tmp_path / "other.safetensors", tmp_path / "text.txt"
    text.write_text("The sky is blue,\nsagte er größer 🙂。\n" * 40, encoding="utf-8")
    words = ["train", "--text", text, "--epochs", 3, "--validation-fraction", 0.1, *TINY, "--unit", "bpe", "--vocab-size", 280]
    code, out, err = type_in([*words, "--save", path], capsys)
    assert (code, err) == (DONE, "")
    assert re.search(r"text.txt: [\d,]+ byte pairs, 280 different; .*\n.* how often byte pairs occur reaches", out)
    assert "--prompt 'The sky is'" in out
    straight = tmp_path / "straight.safetensors"
    words[words.index("--epochs") + 1] = 4
    assert type_in([*words, "--save", straight], capsys)[0] == DONE
    assert type_in(["resume", path, "--epochs", 1, "--quiet"], capsys)[::2] == (DONE, "")
    np.testing.assert_array_equal(load_checkpoint(path)[0].flat_parameters, load_checkpoint(straight)[0].flat_parameters)
    prompt = "größer 🙂 nie gesehen"
    code, out, err = type_in(["generate", path, "--prompt", prompt, "--tokens", 40], capsys)
    assert (code, err) == (DONE, ""), "no text is unknown"
    model, state = load_checkpoint(path)
    said = state.encoder().decode(generate(model, state.encoder().encode(prompt), 40, seed=0)[-40:])
    assert out == prompt + "\n".join(map(harmless, said.split("\n"))) + "\n"
    assert type_in(["diagnose", path], capsys)[2] == ""
    new = tmp_path / "new.txt"
    new.write_text("Ein andrer Text. " * 20, encoding="utf-8")
    code, out, _ = type_in(["train", "--init-from", path, "--text", new, "--save", other, "--epochs", 1, "--quiet"], capsys)
    assert code == DONE
    assert "to which 0 of its" in out
    assert load_checkpoint(other)[1].vocabulary == state.vocabulary


@pytest.mark.parametrize(("words", "prompt"), [("The sky is blue. the sky is", "the sky is"), ("天空 größer, 🙂 und", "天空 größer, 🙂")])
def test_the_prompt_that_is_advised_is_of_the_text_where_byte_pairs_would_know_any(words, prompt, tmp_path, capsys):
    path, text = tmp_path / "model.safetensors", tmp_path / "text.txt"
    text.write_text(f"{words}\n" * 60, encoding="utf-8")
    code, out, _ = type_in(["train", "--text", text, "--save", path, "--epochs", 1, *TINY, "--unit", "bpe", "--vocab-size", 257], capsys)
    assert code == DONE
    assert out.endswith(f"--prompt '{prompt}'\n")


def test_a_text_without_spaces_is_trained_by_its_characters_resumed_read_aloud_and_diagnosed(tmp_path, capsys):
    path, text = tmp_path / "model.safetensors", tmp_path / "chinese.txt"
    text.write_text("天空是蓝色的，因为空气散射蓝光。\n" * 30, encoding="utf-8")
    words = ["train", "--text", text, "--save", path, "--epochs", 1, *TINY]
    code, _, err = type_in(words, capsys)
    assert (code, err.count("\n")) == (TO_CHANGE, 1)
    assert "has no spaces between its words" in err
    assert "--unit character" in err
    code, out, _ = type_in([*words, "--unit", "character", "--normalization", "NFKC"], capsys)
    assert code == DONE
    assert "chinese.txt: 510 characters, 16 different" in out
    assert "how often characters occur" in out
    assert load_checkpoint(path)[1].text == {"source": [str(text)], "unit": "character", "normalization": "NFKC", "seed": 0}
    assert type_in(["resume", path, "--epochs", 1, "--quiet"], capsys)[::2] == (DONE, "")
    assert type_in(["diagnose", path], capsys)[2] == ""
    code, out, err = type_in(["generate", path, "--prompt", "天空很，", "--tokens", 5], capsys)
    assert (code, err) == (DONE, "(unknown to this model: 很)\n")
    assert out.startswith("天空很，")
    assert len(out.replace("<unk>", "x")) == 4 + 5 + len("\n")


def test_a_model_goes_on_with_another_text_by_the_same_words(saved, tmp_path, capsys):
    path, text = tmp_path / "more.safetensors", tmp_path / "more.txt"
    text.write_text("the blue xyzzy is the sky because the sea is blue, and the sky is blue " * 30, encoding="utf-8")
    words = ["train", "--init-from", saved, "--text", text, "--save", path, "--epochs", 2, "--quiet"]
    code, out, err = type_in(words, capsys)
    assert (code, err) == (DONE, "")
    assert "more.txt: read by the model's own vocabulary, to which 30 of its 480 words are unknown" in out
    (before, old), (after, new) = load_checkpoint(saved), load_checkpoint(path)
    assert new.vocabulary == old.vocabulary
    assert after.config == before.config
    assert (after.flat_parameters != before.flat_parameters).any()
    corpus = load_corpus(text, vocabulary=old.vocabulary)
    tokens, targets = next(corpus.batches(4, before.config.seq_len, np.random.default_rng(0)))
    assert after.loss(tokens, targets) < before.loss(tokens, targets)
    straight = tmp_path / "straight.safetensors"
    assert type_in([*words[:-5], "--save", straight, "--epochs", 3, "--quiet"], capsys)[0] == DONE
    assert type_in(["resume", path, "--epochs", 1, "--quiet"], capsys)[::2] == (DONE, "")
    np.testing.assert_array_equal(load_checkpoint(path)[0].flat_parameters, load_checkpoint(straight)[0].flat_parameters)


def test_diagnose_reads_another_text_by_the_vocabulary_of_the_model(saved, tmp_path, capsys):
    code, out, _ = type_in(["diagnose", saved, "--text", "prose"], capsys)
    assert code == DONE
    assert re.search(r"prose: read by the model's own vocabulary, to which [\d,]+ of its 5,777 words are unknown", out)
    assert "own vocabulary" not in type_in(["diagnose", saved], capsys)[1]


def test_generate_speaks_and_says_what_it_does_not_know(saved, capsys):
    words = ["generate", saved, "--prompt", "The sky, is xyzzy", "--tokens", 7, "--temperature", 0.8, "--top-k", 5, "--top-p", 0.9]
    code, out, err = type_in(words, capsys)
    assert code == DONE
    assert out.startswith("The sky, is xyzzy ")
    assert len(out.split()) == 4 + 7
    assert set(out.split()[4:]) <= set(load_corpus("sayings").vocabulary)
    assert err == "(unknown to this model: xyzzy)\n"
    assert type_in(words, capsys)[1] == out


def test_diagnose_finds_nothing_in_a_healthy_model_and_zeros_in_the_incident(saved, tmp_path, capsys):
    code, out, _ = type_in(["diagnose", saved], capsys)
    assert code == DONE
    assert "verdict: Nothing wrong" in out
    path = tmp_path / "zeros.safetensors"
    words = ["train", "--save", path, "--init", "zeros", "--epochs", 1, "--keep-unused-ids", *TINY]
    code, out, _ = type_in(words, capsys)
    assert "loss of the last epoch 9.2103" in out
    code, out, _ = type_in(["diagnose", path], capsys)
    assert code == TO_CHANGE
    assert "Every weight is exactly zero" in out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["train", "--save", "{saved}"], "exists: `resume .*` goes on with it"),
        (["train", "--save", "{new}", "--text", "syings"], "unknown corpus 'syings'"),
        (["train", "--save", "{new}", "--heads", "5"], "not divisible by n_heads = 5"),
        (["train", "--save", "{new}", "--patience", "3"], "patience counts evaluations"),
        (["train", "--save", "{new}", "--schedule", "warmup_cosine", "--epochs", "1"], "the warm-up alone takes 100 steps"),
        (
            ["train", "--save", "{new}", "--schedule", "warmup", "--epochs", "1"],
            "the run has 9 steps, and the warm-up alone takes 100 steps",
        ),
        (["train", "--save", "{new}", "--clip-norm", "0"], "--clip-norm is 0.0: .* a limit of 0 lets no gradient through"),
        (["train", "--save", "{folder}/nowhere/model.safetensors", "--epochs", "1", *TINY], "there is no folder"),
        (
            ["train", "--save", "{new}", "--optimizer", "sgd", "--learning-rate", "1e6", *TINY, "--dtype", "float32"],
            "the loss is nan in step",
        ),
        (["resume", "{new}"], "there is no checkpoint at"),
        (["train", "--save", "{new}", "--init-from", "{new}"], "there is no checkpoint at"),
        (["train", "--save", "{new}", "--init-from", "{saved}", "--d-model", "64"], "--d-model is for a new model.*: leave it out"),
        (["train", "--save", "{new}", "--init-from", "{saved}", "--unit", "character"], "--unit is for a new model.*: leave it out"),
        (["train", "--save", "{new}", "--init-from", "{saved}", "--text", "{chinese}"], "no word of the vocabulary that was given"),
        (["diagnose", "{saved}", "--text", "{chinese}"], "no word of the vocabulary that was given"),
        (["train", "--save", "{new}", "--text", "{wide}"], "wide.txt is UTF-16 text, by the mark"),
        (["resume", "{saved}", "--text", "prose"], "another text than 'prose'.* train --init-from"),
        (["generate", "{saved}", "--prompt", "  "], "the prompt is empty"),
        (["generate", "{saved}", "--prompt", "the", "--tokens", "0"], "--tokens is 0"),
        (["generate", "{folder}", "--prompt", "the"], "is a folder"),
        (["diagnose", "{text}"], "text.txt is a text: name the file that holds the weights"),
        (["train", "--save", ""], "--save: its name is empty"),
        (["train", "--save", "{folder}"], "--save: .* is a folder: name a file in it"),
        (["train", "--save", "/dev/null", "--overwrite"], "--save: /dev/null is no ordinary file"),
        (["train", "--save", "{new}", "--csv", "{folder}/nowhere/curves.csv"], "--csv: there is no folder .*nowhere: make it first"),
        (["train", "--save", "{new}", "--csv", "{folder}"], "--csv: .* is a folder"),
        (["train", "--save", "{new}", "--csv", ""], "--csv: its name is empty"),
        (["train", "--save", "{new}", "--csv", "{new}"], "--csv and --save are both .*new.safetensors: one would overwrite the other"),
        (["train", "--save", "{new}", "--text", "{text}", "--csv", "{text}"], "--csv is .*text.txt, which is a text to be read"),
        (["train", "--save", "{text}", "--text", "{text}", "--overwrite"], "--save is .*text.txt, which is a text to be read"),
        (
            ["train", "--save", "{new}", "--keep-unused-ids", "--vocab-size", "1000000000"],
            "numbers takes .* GB .*: lower --vocab-size, --d-model",
        ),
        (["train", "--save", "{new}", "--layers", "1000000000"], "numbers takes .* GB .* --layers"),
        (["resume", "{saved}", "--csv", "{saved}"], "--csv and --save are both"),
        (["resume", "{saved}", "--save", "{text}"], "text.txt exists: `resume .*text.txt` goes on with it"),
        (["resume", "{saved}", "--csv", "{folder}/nowhere/curves.csv"], "--csv: there is no folder"),
        (["generate", "{saved}", "--prompt", "the", "--seed", "-1"], "--seed is -1: give a whole number of at least 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_what_cannot_be_done_is_said_in_one_sentence(saved, tmp_path, capsys, words, complaint):
    (tmp_path / "text.txt").write_text("the sky is blue, and so is the sea", encoding="utf-8")
    (tmp_path / "chinese.txt").write_text("天 空 是 蓝 色 的 " * 40, encoding="utf-8")
    (tmp_path / "wide.txt").write_text("the sky is blue " * 40, encoding="utf-16")
    places = {"saved": saved, "new": tmp_path / "new.safetensors", "folder": tmp_path}
    places |= {name: tmp_path / f"{name}.txt" for name in ("text", "chinese", "wide")}
    before = saved.read_bytes()
    code, out, err = type_in([word.format(**places) for word in words], capsys)
    assert code == TO_CHANGE
    assert "epoch" not in out
    assert "the sky" not in out
    assert re.search(complaint, err), err
    assert err.count("\n") == 1
    assert saved.read_bytes() == before
    assert not (tmp_path / "new.safetensors").exists()
    assert "the sky is blue" in (tmp_path / "text.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [[], ["fly"], ["train"], ["train", "--save", "x", "--epochs", "many"], ["generate", "x"]])
def test_a_command_line_that_makes_no_sense_shows_its_usage(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "usage: python -m cllm_lib" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "resume", "generate", "diagnose", "chat"])
def test_help_explains_every_option(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    options = re.split(r"\n(?=  --)", capsys.readouterr().out)[1:]
    assert options
    for option in options:
        assert len(re.sub(r"\s+", " ", option).split(" ")) > 3, option


def started(*words, **settings):
    """The program in a process of its own."""
    command = [sys.executable, "-m", "cllm_lib", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings)


def stopped(process, path):
    """What a run says that gets Ctrl-C once it has saved an epoch."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=PATIENCE)


@pytest.fixture(autouse=True)
def hear_ctrl_c():
    """Also where the tests run in the background of a script: there a shell lets Ctrl-C pass by, and every program under it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


CTRL_C = pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C another way")


@CTRL_C
def test_ctrl_c_saves_and_what_it_advises_reaches_the_planned_end(tmp_path, capsys):
    """A schedule falls to the planned end, wherever the run is broken off: the numbers are those of the run that never was."""
    straight, broken, curves = tmp_path / "straight.safetensors", tmp_path / "a b'ä.safetensors", tmp_path / "the curves.csv"
    plan = ["--epochs", 200, "--schedule", "cosine", "--validation-fraction", 0.1, "--evaluate-every", 50, *TINY]
    assert type_in(["train", "--save", straight, *plan], capsys)[0] == DONE
    process = started("train", "--save", broken, "--csv", curves, *plan)
    _, err = stopped(process, broken)
    assert process.returncode == INTERRUPTED
    assert "Traceback" not in err
    steps = load_checkpoint(broken)[1].steps
    assert 0 < steps < 1_600
    advice = re.search(f"Stopped after step {steps:,} and saved. Go on with: python -m cllm_lib (.*)", err)[1]
    code, out, err = type_in(shlex.split(advice), capsys)
    assert (code, err) == (DONE, "")
    assert f"{1_600 - steps:,} of the 1,600 planned are left" in out
    for one, other in ((straight, broken), (previous(straight), previous(broken))):
        assert load_checkpoint(one)[1].history == load_checkpoint(other)[1].history
        np.testing.assert_array_equal(load_checkpoint(one)[0].flat_parameters, load_checkpoint(other)[0].flat_parameters)
    assert len(curves.read_text(encoding="utf-8").splitlines()) == 1 + 1_600
    before = broken.read_bytes()
    code, out, err = type_in(["resume", broken, "--quiet", "--epochs", 1], capsys)
    assert (code, out) == (TO_CHANGE, "")
    assert "is at the end of its schedule, cosine, after 1,600 steps: the rate is 0" in err
    assert broken.read_bytes() == before


@CTRL_C
@pytest.mark.parametrize(("step", "kept"), [(12, 9), (3, 0)], ids=["after an epoch", "before the first is over"])
def test_a_second_ctrl_c_within_a_step_leaves_what_was_saved(tmp_path, capsys, monkeypatch, step, kept):
    """Half of a step is done then: what would be saved could not go on as the run that was never broken off."""
    path, sound = tmp_path / "new.safetensors", Trainer.step

    def interrupted(trainer, *batch):
        if trainer.steps == step:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return sound(trainer, *batch)

    monkeypatch.setattr(Trainer, "step", interrupted)
    code, _, err = type_in(["train", "--save", path, "--epochs", 3, *TINY], capsys)
    assert code == INTERRUPTED
    assert f"Stopped at once, within step {step + 1}; " in err
    if not kept:
        assert "nothing was saved" in err
        assert not path.exists()
        return
    assert load_checkpoint(path)[1].steps == kept
    monkeypatch.undo()
    assert type_in(shlex.split(re.search("with: python -m cllm_lib (.*)", err)[1]), capsys)[0] == DONE
    assert load_checkpoint(path)[1].steps == 27


def test_a_run_that_is_over_goes_on_for_ten_epochs_and_a_killed_one_to_its_end(saved, tmp_path, capsys):
    assert type_in(["resume", saved, "--quiet"], capsys)[0] == DONE
    assert load_checkpoint(saved)[1].steps == 16 + 80
    killed = previous(saved)  # an epoch before the end: what is left when the machine loses its power
    code, out, _ = type_in(["resume", killed, "--quiet"], capsys)
    assert code == DONE
    assert "8 of the 96 planned are left" in out
    np.testing.assert_array_equal(load_checkpoint(killed)[0].flat_parameters, load_checkpoint(saved)[0].flat_parameters)


INTERRUPTED_BY_AN_IMPORT = """
import signal, sys
module = sys.argv.pop(1)
class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, CtrlC())
from cllm_lib.__main__ import main
sys.exit(main())
"""


@CTRL_C
@pytest.mark.parametrize(
    ("module", "command"),
    [
        *((module, "generate") for module in ("cllm_lib.cli", "argparse", "numpy", "cllm_lib.training.trainer", "cllm_lib.text.corpora")),
        *((module, "generate") for module in ("cllm_lib.model.generation", "cllm_lib.training.checkpoint", "safetensors.numpy")),
        *((module, "train") for module in ("cllm_lib.training.callbacks", "tqdm", "tempfile")),
        ("cllm_lib.instruments.diagnosis", "diagnose"),
    ],
)
def test_ctrl_c_while_something_is_imported_leaves_no_traceback(saved, tmp_path, module, command):
    path = tmp_path / "new.safetensors"
    words = {"train": ["--save", path, "--epochs", 4, *TINY], "generate": [saved, "--prompt", "the sky"], "diagnose": [saved]}[command]
    program = [sys.executable, "-c", INTERRUPTED_BY_AN_IMPORT, module, command, *map(str, words)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == INTERRUPTED, done
    assert "Traceback" not in done.stderr
    if path.exists():
        load_checkpoint(path)


@CTRL_C
@pytest.mark.parametrize("seconds", [0.2, 0.4, 0.8])
@pytest.mark.parametrize("command", ["train", "generate"])
def test_ctrl_c_at_any_moment_leaves_no_traceback(saved, tmp_path, command, seconds):
    path = tmp_path / "new.safetensors"
    words = {"train": ["--save", path, "--epochs", 100_000, *TINY], "generate": [saved, "--prompt", "the sky", "--tokens", 10_000_000]}
    process = started(command, *words[command])
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert "__main__.py" not in err  # before that, on a slow machine, Python is still starting, and speaks for itself
    assert "cli.py" not in err
    if path.exists():
        load_checkpoint(path)


@CTRL_C
def test_where_the_shell_turned_ctrl_c_off_it_stays_off(tmp_path):
    path = tmp_path / "new.safetensors"
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does; the program inherits it
    try:
        command = [sys.executable, "-m", "cllm_lib", "train", "--save", str(path), "--epochs", "1", *TINY]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, heard)
    for _ in range(4):
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == DONE, err
    assert "saved to" in out


EVIL = "\x1b[31m\x9b2J\u202e\r\n"


def with_evil_words(path):
    """A stranger's checkpoint: every word of its vocabulary, and the name of its text, would steer the terminal."""
    with safe_open(path, framework="numpy") as file:
        arrays, description = {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["cllm"])  # noqa: SIM118
    description["vocabulary"] = [word + EVIL for word in description["vocabulary"]]
    description["corpus_name"] += EVIL
    description["sha256"] = digest(arrays, description)
    path.write_bytes(save(arrays, {"cllm": json.dumps(description)}))


def test_words_of_a_stranger_are_shown_and_not_obeyed(saved, capsys):
    with_evil_words(saved)
    code, out, err = type_in(["generate", saved, "--prompt", "the \x1b[31msky \x07bell", "--tokens", 40], capsys)
    assert code == DONE
    assert out.endswith("\n")
    assert out[:-1].isprintable()
    assert out.count(r"\x1b[31m\x9b2J\u202e\r\n") == 40
    assert err[:-1].isprintable()
    for words in (["resume", saved], ["resume", saved, "--text", "prose"], ["diagnose", saved]):
        code, out, err = type_in(words, capsys)
        assert code == TO_CHANGE
        assert err[:-1].isprintable()
        assert "\x1b" not in out


def test_a_refused_setting_prints_no_prompt(saved, capsys):
    for setting, value in (
        ("--top-p", 0),
        ("--top-p", "nan"),
        ("--top-k", 0),
        ("--temperature", -1),
        ("--temperature", "inf"),
        ("--seed", -1),
        ("--tokens", -5),
    ):
        code, out, err = type_in(["generate", saved, "--prompt", "the xyzzy", setting, value], capsys)
        assert (code, out) == (TO_CHANGE, "")
        assert err.startswith(f"generate: {setting} is ")
        assert err.count("\n") == 1


def test_who_stops_reading_gets_no_traceback(saved):
    process = started("generate", saved, "--prompt", "the", "--tokens", 100_000)
    assert process.stdout.read(3) == "the"
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=PATIENCE) == TO_CHANGE
    assert err == ""


def test_the_version_is_that_of_the_library(capsys):
    with pytest.raises(SystemExit, match="^0$"):
        main(["--version"])
    assert capsys.readouterr().out == f"cllm-workbook {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "named"), [("/somewhere/bin/cllm", "cllm"), ("C/Scripts/cllm.exe", "cllm"), ("cllm_lib/__main__.py", "python -m cllm_lib")]
)
def test_advice_is_given_in_the_words_that_were_typed(typed, named, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [typed])
    path = tmp_path / "model.safetensors"
    _, out, _ = type_in(["train", "--save", path, "--epochs", 1, *TINY], capsys)
    assert f"let it speak: {named} generate {path}" in out
    with pytest.raises(SystemExit):
        main(["--help"])
    assert capsys.readouterr().out.startswith(f"usage: {named} [-h] [--version]")


def test_the_advice_after_training_begins_with_words_of_the_text(tmp_path, capsys):
    (tmp_path / "text.txt").write_text("今天天气很好我们去公园" * 20, encoding="utf-8")
    path = tmp_path / "model.safetensors"
    small = ["--d-model", "8", "--layers", "1", "--heads", "1", "--epochs", "1", "--quiet", "--seq-len", "8"]
    assert main(["train", "--text", str(tmp_path / "text.txt"), "--unit", "character", "--save", str(path), *small]) == 0
    assert "--prompt 今天天" in capsys.readouterr().out.replace("'", "")
