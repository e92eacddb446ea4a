"""The command line as a user types it."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cllm_lib import __version__, load_corpus
from cllm_lib.cli import DONE, INTERRUPTED, TO_CHANGE, main
from cllm_lib.training import checkpoint
from cllm_lib.training.checkpoint import load_checkpoint, previous

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
    monkeypatch.setattr(checkpoint, "load_checkpoint", lambda *given, **parts: read.append(given) or load_checkpoint(*given, **parts))
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
        (["train", "--save", "{new}", "--clip-norm", "0"], "clip_norm is 0.0: .* a limit of 0 lets no gradient through"),
        (["train", "--save", "{folder}/nowhere/model.safetensors", "--epochs", "1", *TINY], "there is no folder"),
        (
            ["train", "--save", "{new}", "--optimizer", "sgd", "--learning-rate", "1e40", *TINY, "--dtype", "float32"],
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
        (["generate", "{saved}", "--prompt", "the", "--tokens", "0"], "max_new_tokens is 0"),
        (["generate", "{folder}", "--prompt", "the"], "is a folder"),
        (["diagnose", "{text}"], "is no checkpoint"),
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
    code, _, err = type_in([word.format(**places) for word in words], capsys)
    assert code == TO_CHANGE
    assert re.search(complaint, err), err
    assert err.count("\n") == 1
    assert saved.read_bytes() == before


@pytest.mark.parametrize("words", [[], ["fly"], ["train"], ["train", "--save", "x", "--epochs", "many"], ["generate", "x"]])
def test_a_command_line_that_makes_no_sense_shows_its_usage(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "usage: python -m cllm_lib" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "resume", "generate", "diagnose"])
def test_help_explains_every_option(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    options = re.split(r"\n(?=  --)", capsys.readouterr().out)[1:]
    assert options
    for option in options:
        assert len(re.sub(r"\s+", " ", option).split(" ")) > 3, option


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C another way")
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    path = tmp_path / "model.safetensors"
    command = [sys.executable, "-m", "cllm_lib", "train", "--save", str(path), "--epochs", "100000", *TINY]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not path.exists():  # the first epoch is through
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    steps = load_checkpoint(path)[1].steps
    assert f"Stopped after step {steps:,} and saved. Go on with: python -m cllm_lib resume {path}" in err
    assert "Traceback" not in err


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
