"""A conversation with a chat model, in a panel: what it says token by token, how sure it was, and what it might have said.

The model works as a task of the kernel's own event loop, a token at a time. Between two of them the kernel answers buttons, so
STOP never waits for more than one token. Nothing runs before a message is sent, and nothing after its answer.
"""

import asyncio
from html import escape

import ipywidgets

from cllm_lib.checks import positive_integer
from cllm_lib.pretrained.chat import END, ChatModel
from cllm_lib.workbook.widgets.choosing import choices, runners_svg, tokens_html
from cllm_lib.workbook.widgets.controls import WIDE, WRAPPED, Panel, button, stops
from cllm_lib.workbook.widgets.interrupts import Interrupts

BREATH = 0.005  # seconds left to the kernel after each token
TEMPERATURES = (0.0, 0.3, 0.5, 0.7, 1.0, 1.5)
TOP_PS = (0.3, 0.5, 0.8, 0.9, 0.95, 1.0)
WIDTH = "max-width:640px"
NAMES = {"system": "told", "user": "you", "assistant": "model"}


def chat_panel(model, **settings):
    """A chat panel; see :class:`ChatPanel`."""
    return ChatPanel(model, **settings)


class ChatPanel(Panel):
    """Write a message, press Enter, and see each token of the answer with its probability and its five runners-up.

    Parameters
    ----------
    model : ChatModel
    temperature, top_p : float
        What is chosen at the beginning: see :func:`~cllm_lib.model.generation.next_token_probabilities`.
    max_new_tokens : int
        Of an answer, at most.
    seed : int
        Of the first answer's draws; each later one takes the next.
    system : str, optional
        What the model is told about itself, in place of its maker's words.

    Attributes
    ----------
    messages : list of dict
        The conversation so far. An answer that was stopped stays in it as far as it came.
    answer : list of Chosen
        The tokens of the last answer, the end token too.
    task : asyncio.Task or None
        The answer under way. Interrupt Kernel stops it, as STOP does.

    Raises
    ------
    ValueError
        If it is no chat model, or a number makes no sense.
    """

    def __init__(self, model, temperature=0.0, top_p=1.0, max_new_tokens=200, seed=0, system=None):
        if not isinstance(model, ChatModel):
            raise ValueError(f"this is of type {type(model).__name__}, and a chat model was asked for: load_chat_model() makes one")
        self.model, self.most, self.seed = model, positive_integer(max_new_tokens, "max_new_tokens"), seed
        self._told = [{"role": "system", "content": system}] if system else []
        self._interrupts, self._stopping, self._follow = Interrupts(), False, True
        (self._end,) = model.encode(END)
        self.messages, self.answer, self.task = list(self._told), [], None
        self._cache = model.cache()  # of a conversation that grows only what is new is read
        self._make_controls(temperature, top_p)
        self.conversation, self.status, self.tokens, self.runners_up = (ipywidgets.HTML() for _ in range(4))
        self._say("Write a message, and press Enter.")
        self._show()
        self._set_buttons()
        asking = ipywidgets.HBox([self.message, self.send, self.stop, self.anew], layout=WRAPPED)
        super().__init__([self.conversation, asking, self.status, self.temperature, self.top_p, self.tokens, self.token, self.runners_up])

    def __repr__(self):
        return "A chat panel: a message, SEND, STOP, NEW, temperature, top-p (run this cell in JupyterLab to use it)"

    def _make_controls(self, temperature, top_p):
        self.message = ipywidgets.Text(description="you say", placeholder="Why is the sky blue?", layout=WIDE)
        self.message.on_msg(lambda _, content, __: content.get("event") == "submit" and self._send_message())  # Enter, and no blur
        self.send = button("SEND", "send the message, as Enter does", self._send_message, width="80px")
        self.stop = button("STOP", "end the answer after the token under way", self._stop, width="80px")
        self.anew = button("NEW", "forget the conversation and begin another", self._begin_anew, width="80px")
        self.temperature = stops("temperature", TEMPERATURES, temperature)
        self.top_p = stops("top-p", TOP_PS, top_p)
        self.token = ipywidgets.IntSlider(description="token", min=1, max=1, value=1, disabled=True, layout=WIDE)
        for control in (self.message, self.temperature, self.top_p, self.token):
            control.style.description_width = "90px"
        self.token.observe(self._turn_to, names="value")

    # What the buttons do

    def _send_message(self):
        words = self.message.value.strip()
        if self.task is not None:
            self._say("The answer is not finished: wait, or press STOP.", wrong=True)
        elif not words:
            self._say("There is no message yet: write one, and press Enter.", wrong=True)
        else:
            self._ask([*self.messages, {"role": "user", "content": words}])

    def _ask(self, messages):
        try:
            ids = self.model.prompt(messages)
        except ValueError as error:
            self._say(f"{error}. NEW begins another conversation.", wrong=True)
            return
        self.messages, self.answer, self.message.value = messages, [], ""
        self._stopping, self._follow = False, True
        made = choices(self.model, ids, self.temperature.value, self.top_p.value, self.seed, self._cache)
        self.seed += 1
        self.task = asyncio.get_running_loop().create_task(self._work(made, len(ids)))
        self._set_buttons()
        self._show()

    def _stop(self):
        self._stopping = True

    def _begin_anew(self):
        self.messages, self.answer = list(self._told), []
        self._show()
        self._say("The conversation is forgotten. Write a message, and press Enter.")

    # An answer

    async def _work(self, made, n_read):
        """Take tokens until the end; whatever goes wrong is shown."""
        ended = f"No more than {self.most} tokens were asked for"
        try:
            self._say(f"It reads {n_read} tokens.")
            await asyncio.sleep(BREATH)
            for one in made:
                self._interrupts.listen()
                if one is not None:
                    self.answer.append(one)
                    self._show()
                await asyncio.sleep(BREATH)
                if self._stopping or self._interrupts.heard():
                    ended = "Stopped"
                elif one is not None and one.token == self._end:
                    ended = "It ended its answer"
                elif len(self.answer) < self.most:
                    continue
                break
            else:
                ended = f"It can read no more than {self.model.config.seq_len:,} tokens"
            self._say(f"{ended}: {len(self.answer)} tokens, {n_read} read before them.")
        except Exception as error:  # shown where the reader looks; a task would keep it to itself
            self._say(f"{type(error).__name__}: {error}", wrong=True)
        finally:
            self._interrupts.end()
            self.messages = [*self.messages, {"role": "assistant", "content": self.said}]
            self.task = None
            self._set_buttons()
            self._show()

    @property
    def said(self):
        """The last answer as text, as far as it came."""
        return self.model.decode([one.token for one in self.answer if one.token != self._end])

    # What is shown

    def _show(self):
        under_way = [] if self.task is None else [{"role": "assistant", "content": f"{self.said} …"}]
        lines = [
            f'<p style="margin:0.3em 0; white-space:pre-wrap"><b>{NAMES[one["role"]]}:</b> {escape(one["content"])}</p>'
            for one in [*self.messages, *under_way]
        ]
        self.conversation.value = (
            f'<div role="log" aria-label="conversation" aria-live="off" style="max-width:640px">{"".join(lines)}</div>'
        )
        count = len(self.answer)
        self.token.disabled = count < 2
        self.token.max = max(1, count)
        if self._follow and self.token.value != self.token.max:
            self.token.value = self.token.max  # which shows it
        else:
            self._show_token()

    def _turn_to(self, change):
        """The slider is at its end, and follows the answer, until a reader moves it to another token."""
        self._follow = change["new"] == self.token.max
        self._show_token()

    def _show_token(self):
        place = self.token.value - 1
        self.tokens.value = tokens_html(self.model, self.answer, place, self._end) if self.answer else ""
        self.runners_up.value = (
            runners_svg(self.model, self.answer[place], place + 1, len(self.answer), self._end) if place < len(self.answer) else ""
        )

    def _say(self, words, wrong=False):
        self.status.value = f'<p role="{"alert" if wrong else "status"}">{"<b>Not done.</b> " if wrong else ""}{escape(words)}</p>'

    def _set_buttons(self):
        running = self.task is not None
        self.send.disabled = self.anew.disabled = running
        self.stop.disabled = not running
        self.temperature.disabled = self.top_p.disabled = running
