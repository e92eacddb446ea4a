"""The chat panel without a browser: its buttons pressed, and Enter, from a loop like the kernel's."""

import asyncio
import re
import signal

import pytest
from pretrained.writing_gguf import as_gguf, tiny_model
from workbook.in_a_loop import in_a_loop, until, words

from cllm_lib.pretrained import load_chat_model
from cllm_lib.workbook.widgets import chat_panel
from cllm_lib.workbook.widgets import choosing as choosing_module


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    path.write_bytes(as_gguf(tiny_model()))
    return load_chat_model(path)


def press_enter(panel, message):
    """As the page sends it: the text, then that Enter was pressed."""
    panel.message.value = message
    panel.message._handle_custom_msg({"event": "submit"}, [])


def endless(panel):
    """So that an answer of random weights does not end by itself."""
    panel._end = -1
    return panel


def test_before_a_message_nothing_runs(model):
    panel = chat_panel(model)
    assert panel.task is None
    assert panel.answer == []
    assert (panel.send.disabled, panel.stop.disabled, panel.token.disabled) == (False, True, True)
    assert "Write a message" in words(panel.status)


def test_enter_sends_and_tokens_come_with_their_probabilities(model):
    async def action():
        panel = endless(chat_panel(model, max_new_tokens=9))
        press_enter(panel, "the sky")
        assert panel.message.value == ""
        assert panel.send.disabled
        await until(lambda: len(panel.answer) >= 3)
        assert "…" in words(panel.conversation)
        await until(lambda: panel.task is None)
        assert panel.said == "".join(model.stream("the sky", max_new_tokens=9)) or model.encode("<|im_end|>")[0] in [
            one.token for one in panel.answer
        ]
        assert panel.messages == [{"role": "user", "content": "the sky"}, {"role": "assistant", "content": panel.said}]
        assert "No more than 9 tokens were asked for: 9 tokens" in words(panel.status)
        assert panel.token.value == panel.token.max == 9
        assert "Token 9 of 9" in panel.runners_up.value
        assert not panel.send.disabled

    in_a_loop(action)


def test_the_end_token_ends_the_answer(model):
    async def action():
        panel = chat_panel(model, max_new_tokens=30)
        panel._end = next(one.token for one in choosing_module.choices(model, model.prompt("the sky")) if one)
        press_enter(panel, "the sky")
        await until(lambda: panel.task is None)
        assert len(panel.answer) == 1
        assert panel.said == ""
        assert "It ended its answer: 1 tokens" in words(panel.status)
        assert "(end)" in words(panel.tokens)

    in_a_loop(action)


def test_stop_waits_for_one_token_at_most_and_keeps_what_was_said(model):
    async def action():
        panel = endless(chat_panel(model))
        press_enter(panel, "the sky")
        await until(lambda: len(panel.answer) >= 4)
        before = len(panel.answer)
        panel.stop.click()
        await until(lambda: panel.task is None)
        assert len(panel.answer) <= before + 1
        assert "Stopped: " in words(panel.status)
        assert panel.messages[-1] == {"role": "assistant", "content": panel.said}

    in_a_loop(action)


def test_stop_is_heard_while_a_long_prompt_is_read(model, monkeypatch):
    monkeypatch.setattr(choosing_module, "AT_ONCE", 2)

    async def action():
        panel = endless(chat_panel(model))
        press_enter(panel, "the sky is blue because the sky is wide")
        await asyncio.sleep(0)
        panel.stop.click()
        await until(lambda: panel.task is None)
        assert len(panel.answer) <= 1
        assert "Stopped: " in words(panel.status)

    in_a_loop(action)


def test_interrupt_kernel_stops_the_answer(model, monkeypatch):
    async def action():
        panel = endless(chat_panel(model))
        press_enter(panel, "the sky")
        await until(lambda: len(panel.answer) >= 2)
        signal.raise_signal(signal.SIGINT)
        await until(lambda: panel.task is None)
        assert "Stopped: " in words(panel.status)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as the kernel has it between cells
    try:
        asyncio.Runner
        loop = asyncio.new_event_loop()
        loop.run_until_complete(action())
        loop.close()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_conversation_goes_on_and_can_be_forgotten(model):
    async def action():
        panel = endless(chat_panel(model, max_new_tokens=2, system="Be brief."))
        assert words(panel.conversation).startswith("told: Be brief.")
        for message in ("the sky", "why <b>?"):
            press_enter(panel, message)
            await until(lambda: panel.task is None)
        assert [one["role"] for one in panel.messages] == ["system", "user", "assistant", "user", "assistant"]
        assert "why &lt;b&gt;?" in panel.conversation.value
        assert panel.seed == 2
        panel.anew.click()
        assert panel.messages == [{"role": "system", "content": "Be brief."}]
        assert panel.runners_up.value == panel.tokens.value == ""

    in_a_loop(action)


def test_another_token_can_be_looked_at_while_the_answer_grows(model):
    async def action():
        panel = endless(chat_panel(model, max_new_tokens=8))
        press_enter(panel, "the sky")
        await until(lambda: len(panel.answer) >= 3)
        panel.token.value = 1
        await until(lambda: panel.task is None)
        assert panel.token.value == 1
        assert panel.token.max == 8
        assert "Token 1 of 8" in panel.runners_up.value
        press_enter(panel, "more")
        await until(lambda: panel.task is None)
        assert panel.token.value == 8

    in_a_loop(action)


def test_what_cannot_be_done_is_said_in_one_sentence(model):
    async def action():
        panel = endless(chat_panel(model, max_new_tokens=3))
        press_enter(panel, "   ")
        assert "Not done. There is no message yet" in words(panel.status)
        press_enter(panel, "the sky " * 60)
        assert re.search(r"Not done\. the messages are \d+ tokens, and the model reads 96.* NEW begins another", words(panel.status))
        assert panel.messages == []
        press_enter(panel, "the sky")
        press_enter(panel, "and the sea")
        assert "Not done. The answer is not finished" in words(panel.status)
        await until(lambda: panel.task is None)
        assert len(panel.messages) == 2

    in_a_loop(action)


def test_an_answer_ends_where_no_room_is_left(model):
    async def action():
        panel = endless(chat_panel(model))
        press_enter(panel, "the sky")
        await until(lambda: panel.task is None)
        assert "It can read no more than 96 tokens" in words(panel.status)

    in_a_loop(action)


def test_an_error_on_the_way_is_shown(model, monkeypatch):
    def breaks(*arguments):
        yield None
        raise RuntimeError("no more")

    monkeypatch.setattr("cllm_lib.workbook.widgets.chat.choices", breaks)

    async def action():
        panel = chat_panel(model)
        press_enter(panel, "the sky")
        await until(lambda: panel.task is None)
        assert "RuntimeError: no more" in words(panel.status)
        assert not panel.send.disabled

    in_a_loop(action)


def test_what_is_no_chat_model_is_refused():
    with pytest.raises(ValueError, match=r"of type int, and a chat model was asked for: load_chat_model\(\) makes one"):
        chat_panel(3)


def test_its_text_says_how_to_use_it(model):
    assert "run this cell" in repr(chat_panel(model))
