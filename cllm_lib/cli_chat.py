"""`cllm chat`: a conversation with a pretrained chat model in a terminal, or one answer to what is piped in."""

import contextlib
import sys

from cllm_lib.terminal import say, say_lines

QUIT, NEW = "/quit", "/new"
DONE = 0


def chat(options):
    """Talk with a pretrained chat model.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no model, its file is none, or nothing or too much was piped in.
    """
    from cllm_lib.pretrained import load_chat_model

    asked = None if sys.stdin.isatty() else piped()
    conversation = Conversation(load_chat_model(options.model), options)
    if asked is None:
        _talk(conversation)
    else:
        conversation.ask(asked)
    return DONE


def piped():
    """What is piped in: one message, however many lines."""
    try:
        found = sys.stdin.read().strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"what is piped in is no text in {error.encoding}: its byte {error.start} does not fit") from None
    if not found:
        raise ValueError('nothing is piped in, so there is nothing to answer: echo "Why is the sky blue?" | cllm chat')
    return found


def _talk(conversation):
    """Line by line, until the end; what is wrong with one line is said, and the conversation goes on."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # arrow keys, and the lines before
    say(f"Ask something. Ctrl-C stops an answer, {NEW} begins a new conversation, Ctrl-D or {QUIT} ends.")
    while True:
        try:
            typed = input("> ").strip()
        except EOFError:
            say("")
            return
        except KeyboardInterrupt:
            say("")
            say(f"(Ctrl-D or {QUIT} ends)")
            continue
        except UnicodeDecodeError as error:
            say(f"(that is no text in {error.encoding}: its byte {error.start} does not fit)")
            continue
        if typed == QUIT:
            return
        if typed == NEW:
            conversation.begin()
            say("(a new conversation)")
        elif typed:
            _ask(conversation, typed)


def _ask(conversation, typed):
    try:
        conversation.ask(typed)
    except KeyboardInterrupt:
        say("")
        say("(stopped)")
    except ValueError as error:
        say(f"({error})")


class Conversation:
    """What was said so far, and a model that goes on.

    Parameters
    ----------
    model : ChatModel
    options : argparse.Namespace
        `system`, `temperature`, `top_p`, `seed`, `max_tokens`.

    Attributes
    ----------
    messages : list of dict
        As the model takes them.
    """

    def __init__(self, model, options):
        self.model, self.system, self.max_tokens = model, options.system, options.max_tokens
        self.choice = dict(temperature=options.temperature, top_p=options.top_p, seed=options.seed)
        self.begin()

    def begin(self):
        """Forget what was said."""
        self.messages = [] if self.system is None else [{"role": "system", "content": self.system}]
        self.cache = self.model.cache()

    def ask(self, text):
        """Say something, and print the answer as it comes.

        Ctrl-C stops it within a token: what was said by then is kept, or, if nothing was, the conversation as it stood before.
        """
        messages = [*self.messages, {"role": "user", "content": text}]
        recent = self.model.recent(messages, self.max_tokens)
        drawn = self.model.stream_tokens(recent, max_new_tokens=self.max_tokens, cache=self.cache, **self.choice)
        if len(recent) < len(messages):
            say(f"(the conversation has grown too long: of its messages the oldest {len(messages) - len(recent)} are left out)", error=True)
        tokens, said = [], []
        try:
            for piece in self.model.pieces(tokens.append(token) or token for token, _ in drawn):
                said.append(piece)
                say_lines(piece)
        finally:
            if said:
                self.messages = [*recent, {"role": "assistant", "content": "".join(said)}]
        say("")
        if len(tokens) == self.max_tokens:
            say(f"(the answer was cut after {self.max_tokens:,} tokens, as --max-tokens says)", error=True)
