"""Set-ups that a doctor for trainings has never seen: what they are, their data, and their models of sequences.

They are written as different readers write: seq-first recurrent networks, einsum and raw parameters, wrappers around the
branches, outputs in a dataclass, causal convolutions. Pictures, tables and pairs stand in ``held_out_nets``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

WORDS = 11  # of the little language; where padding is needed it is word 0


@dataclass(frozen=True)
class Setup:
    """One training, with its one fault or without.

    Parameters
    ----------
    name
        What is special about it.
    architecture
        The model, and how it is written.
    cause
        The key of CAUSES, or None where the training is sound.
    build
        ``build(seed)``: the arguments of ``examine``, by name.
    twin
        Of a fault: the same training without it, built alike from the same seed.
    debatable
        Whether a careful reader could give it another label; ``why`` says what speaks for it.
    why
        What was done, in a sentence or two.
    """

    name: str
    architecture: str
    cause: str | None
    build: Callable[[int], dict]
    twin: Callable[[int], dict] | None = None
    debatable: bool = False
    why: str = ""


def seeded(make, *given):
    """A function of a seed: all that ``make`` draws comes from there, and the caller's random numbers stay as they were."""

    def build(seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return make(*given)

    return build


def recorder(into):
    """The two decorators that enter set-ups into the list ``into``: one for faults, one for sound trainings."""

    def fault(cause, architecture, debatable=False):
        def enter(make):
            into.append(Setup(words(make), architecture, cause, seeded(make, True), seeded(make, False), debatable, make.__doc__))
            return make

        return enter

    def sound(architecture, debatable=False):
        def enter(make):
            into.append(Setup(words(make), architecture, None, seeded(make), None, debatable, make.__doc__))
            return make

        return enter

    return fault, sound


def words(function):
    """A function's name as words."""
    return function.__name__.replace("_", " ")


# What all hand to the doctor


def plain(loss, clip=None):
    """The usual loop's work on one batch; the schedule, if there is one, moves with it."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        value = loss(module(inputs), targets)
        value.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(module.parameters(), clip)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        return value.item()

    return step


def kit(module, loss, batches, optimizer=None, **rest):
    """The arguments of ``examine``; AdamW with its usual rate and the usual loop where nothing else is given."""
    optimizer = optimizer or torch.optim.AdamW(module.parameters(), lr=3e-3)
    inputs, targets = batches[0]
    return {
        **dict(module=module, loss=loss, inputs=inputs, targets=targets, optimizer=optimizer, step=plain(loss), batches=batches),
        **rest,
    }


def train(given, steps):
    """Run a set-up's own loop, for a module that has been trained before it is handed over; returns the set-up."""
    for number in range(steps):
        given["step"](given["module"], given["optimizer"], given.get("scheduler"), *given["batches"][number % len(given["batches"])])
    return given


def without(given, *names):
    """A set-up handed over without some of the arguments that can be left out."""
    return {name: value for name, value in given.items() if name not in names}


# The language


def chain(count, length, first=0, noise=0.15):
    """Sentences in which a word mostly says the next: whole numbers (count, length), from ``first`` on."""
    follows = torch.roll(torch.arange(WORDS - first), 3)  # one round through all words, since 3 divides neither 10 nor 11
    ids = torch.randint(WORDS - first, (count, length))
    for place in range(1, length):
        kept = torch.rand(count) > noise
        ids[:, place] = torch.where(kept, follows[ids[:, place - 1]], ids[:, place])
    return ids + first


def reading(shift=1, batch=12, length=10, count=6, seq_first=False, first=0):
    """Batches of a language model: words, and those ``shift`` places later."""
    pairs = []
    for _ in range(count):
        ids = chain(batch, length + max(shift, 1), first)
        pair = ids[:, :length], ids[:, shift : shift + length]
        pairs.append(tuple(one.t().contiguous() for one in pair) if seq_first else pair)
    return pairs


def padded(batch=12, length=12, shortest=3):
    """Sentences of different lengths with word 0 behind them, and the lengths: (batch, length), (batch,)."""
    ids, lengths = chain(batch, length, first=1), torch.randint(shortest, length + 1, (batch,))
    lengths[0] = length
    return torch.where(torch.arange(length) < lengths[:, None], ids, 0), lengths


def classed(batch=16, length=12, count=6, classes=3):
    """Sentences, and which of the first words each has most often: the task of a classifier of texts."""
    pairs = []
    for _ in range(count):
        labels = torch.randint(classes, (batch,))
        ids = torch.randint(classes, WORDS, (batch, length))
        pairs.append((torch.where(torch.rand(batch, length) < 0.4, labels[:, None], ids), labels))
    return pairs


def by_word(logits, targets, **how):
    """Cross-entropy of logits whose last axis is the words, in either order of time and batch."""
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), **how)


# Models of sequences


class WordRNN(nn.Module):
    """Embedding, recurrent layers, output: the seq-first model of many an old example."""

    def __init__(self, kind="GRU", width=32, tied=False, drop=0.0, **how):
        super().__init__()
        self.drop, self.encoder = nn.Dropout(drop), nn.Embedding(WORDS, width)
        self.rnn = getattr(nn, kind)(width, width, **how)
        self.decoder = nn.Linear(2 * width if how.get("bidirectional") else width, WORDS)
        if tied:
            self.decoder.weight = self.encoder.weight

    def forward(self, ids):
        """(time, batch) -> (time, batch, words), or batch first if the cells are told so."""
        states, _ = self.rnn(self.drop(self.encoder(ids)))
        return self.decoder(self.drop(states))


class CausalConv(nn.Module):
    """A dilated convolution over time with a gate and a skip; padded on the left unless told otherwise."""

    def __init__(self, width, dilation, side="left", skip=True):
        super().__init__()
        self.filter, self.gate = (nn.Conv1d(width, width, 2, dilation=dilation) for _ in range(2))
        self.pad, self.skip = {"left": (dilation, 0), "right": (0, dilation)}[side], skip

    def forward(self, x):
        """(batch, width, time), in and out."""
        wide = F.pad(x, self.pad)
        out = torch.tanh(self.filter(wide)) * torch.sigmoid(self.gate(wide))
        return x + out if self.skip else out


class WaveNet(nn.Module):
    """A language model of dilated convolutions."""

    def __init__(self, width=32, dilations=(1, 2, 4), side="left"):
        super().__init__()
        self.embed = nn.Embedding(WORDS, width)
        self.stack = nn.Sequential(*[CausalConv(width, dilation, side) for dilation in dilations])
        self.out = nn.Conv1d(width, WORDS, 1)

    def forward(self, ids):
        """(batch, time) -> (batch, time, words)."""
        return self.out(self.stack(self.embed(ids).transpose(1, 2))).transpose(1, 2)


def rotate(x):
    """Rotary positions on (batch, heads, time, size)."""
    time, half = x.shape[-2], x.shape[-1] // 2
    angles = torch.arange(time)[:, None] * 100.0 ** (-torch.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1).to(x.dtype)


class PreNorm(nn.Module):
    """Normalise, then do."""

    def __init__(self, dim, fn):
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(dim), fn

    def forward(self, x, **how):
        """(batch, time, dim), in and out."""
        return self.fn(self.norm(x), **how)


class Attention(nn.Module):
    """Attention by one matrix for queries, keys and values, and the library's own function."""

    def __init__(self, dim, heads=4, causal=True, rotary=True):
        super().__init__()
        self.heads, self.causal, self.rotary = heads, causal, rotary
        self.to_qkv, self.to_out = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)

    def forward(self, x):
        """(batch, time, dim), in and out."""
        batch, time, dim = x.shape
        q, k, v = (part.view(batch, time, self.heads, -1).transpose(1, 2) for part in self.to_qkv(x).chunk(3, -1))
        if self.rotary:
            q, k = rotate(q), rotate(k)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.to_out(out.transpose(1, 2).reshape(batch, time, dim))


def feed_forward(dim):
    """The other half of a block."""
    return nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))


class Wrapped(nn.Module):
    """Branches in wrappers, and the skips around them in the loop outside."""

    def __init__(self, dim=32, depth=2, causal=True, skip=True):
        super().__init__()
        self.token_emb, self.skip = nn.Embedding(WORDS, dim), skip
        self.layers = nn.ModuleList(
            nn.ModuleList([PreNorm(dim, Attention(dim, causal=causal)), PreNorm(dim, feed_forward(dim))]) for _ in range(depth)
        )
        self.to_logits = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, WORDS))

    def forward(self, ids):
        """(batch, time) -> (batch, time, words)."""
        x = self.token_emb(ids)
        for attn, ff in self.layers:
            x = attn(x) + x if self.skip else attn(x)
            x = ff(x) + x if self.skip else ff(x)
        return self.to_logits(x)


def rms(x, gain):
    """The norm without a mean."""
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6) * gain


class EinsumBlock(nn.Module):
    """A whole block of raw parameters, in the manner of JAX: einsum, RMS norm, a gated feed-forward part."""

    def __init__(self, dim=32, heads=4, axis=-1, keep=torch.tril, scale=None, zero=False):
        super().__init__()
        size = dim // heads
        self.axis, self.keep, self.scale = axis, keep, scale or size**-0.5
        self.wqkv = nn.Parameter(torch.randn(3, dim, heads, size) * dim**-0.5)
        self.wo = nn.Parameter(torch.randn(heads, size, dim) * (0.0 if zero else dim**-0.5))
        self.w_in = nn.Parameter(torch.randn(2, dim, 2 * dim) * dim**-0.5)
        self.w_out = nn.Parameter(torch.randn(2 * dim, dim) * (0.0 if zero else (2 * dim) ** -0.5))
        self.gains = nn.Parameter(torch.ones(2, dim))

    def forward(self, x):
        """(batch, time, dim), in and out."""
        h = rms(x, self.gains[0])
        q, k, v = torch.einsum("btd,sdhk->sbhtk", h, self.wqkv)
        scores = torch.einsum("bhtk,bhsk->bhts", rotate(q), rotate(k)) * self.scale
        if self.keep is not None:
            scores = scores.masked_fill(self.keep(torch.ones_like(scores)) == 0, -1e9)
        mixed = torch.einsum("bhts,bhsk->bhtk", scores.softmax(self.axis), v)
        x = x + torch.einsum("bhtk,hkd->btd", mixed, self.wo)
        a, b = torch.einsum("btd,sdf->sbtf", rms(x, self.gains[1]), self.w_in)
        return x + (F.silu(a) * b) @ self.w_out


class EinsumLM(nn.Module):
    """Blocks of raw parameters between an embedding and its transpose."""

    def __init__(self, dim=32, depth=2, **how):
        super().__init__()
        self.table = nn.Parameter(torch.randn(WORDS, dim) * dim**-0.5)
        self.blocks = nn.ModuleList(EinsumBlock(dim, **how) for _ in range(depth))
        self.gain = nn.Parameter(torch.ones(dim))

    def forward(self, ids):
        """(batch, time) -> (batch, time, words)."""
        x = self.table[ids] * self.table.shape[1] ** 0.5
        for block in self.blocks:
            x = block(x)
        return rms(x, self.gain) @ self.table.t()


@dataclass
class Output:
    """What a model of a hub returns."""

    logits: torch.Tensor
    loss: torch.Tensor | None = None


class HubLM(nn.Module):
    """A model of a hub: takes a dict, returns an object, and shifts the labels itself."""

    def __init__(self, dim=32, pad=None, tied="same", depth=2):
        super().__init__()
        self.wte = nn.Embedding(WORDS, dim, padding_idx=pad)
        self.h = nn.ModuleList(EinsumBlock(dim) for _ in range(depth))
        self.ln_f, self.lm_head = nn.LayerNorm(dim), nn.Linear(dim, WORDS, bias=False)
        with torch.no_grad():
            self.wte.weight.mul_(dim**-0.5)
        if tied == "same":
            self.lm_head.weight = self.wte.weight
        elif tied == "copy":
            self.lm_head.weight = nn.Parameter(self.wte.weight.detach().clone())

    def forward(self, batch):
        """A dict of input_ids (batch, time) and perhaps labels -> Output with logits (batch, time, words) and perhaps a loss."""
        x = self.wte(batch["input_ids"])
        for block in self.h:
            x = block(x)
        logits, labels = self.lm_head(self.ln_f(x)), batch.get("labels")
        loss = None if labels is None else by_word(logits[:, :-1], labels[:, 1:], ignore_index=-100)
        return Output(logits, loss)


class TokenClassifier(nn.Module):
    """Recurrent cells and the last state, or torch's encoder and the mean: one answer for a sentence."""

    def __init__(self, kind="GRU", width=32, classes=3, batch_first=True, drop=0.1):
        super().__init__()
        self.kind, self.embed, self.head = kind, nn.Embedding(WORDS, width), nn.Linear(width, classes)
        if kind == "encoder":
            self.body = nn.TransformerEncoderLayer(width, 4, 2 * width, drop, batch_first=batch_first)
        else:
            self.body = getattr(nn, kind)(width, width, batch_first=batch_first)

    def forward(self, ids):
        """(batch, time) -> (batch, classes)."""
        x = self.body(self.embed(ids))
        return self.head(x.mean(1) if self.kind == "encoder" else x[0][:, -1])


class PackedClassifier(nn.Module):
    """An LSTM over packed sentences; takes a tuple of ids and lengths."""

    def __init__(self, width=24, classes=3, bidirectional=True):
        super().__init__()
        self.embed = nn.Embedding(WORDS, width, padding_idx=0)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(2 * width if bidirectional else width, classes)

    def forward(self, pair):
        """(batch, time), (batch,) -> (batch, classes)."""
        ids, lengths = pair
        packed = nn.utils.rnn.pack_padded_sequence(self.embed(ids), lengths, batch_first=True, enforce_sorted=False)
        _, (last, _) = self.lstm(packed)
        return self.head(last.transpose(0, 1).flatten(1))


class Seq2Seq(nn.Module):
    """A GRU reads, a GRU with attention writes; takes the source and the target so far."""

    def __init__(self, width=32, pad=0):
        super().__init__()
        self.source, self.target = (nn.Embedding(WORDS, width, padding_idx=pad) for _ in range(2))
        self.encoder, self.decoder = (nn.GRU(width, width, batch_first=True) for _ in range(2))
        self.generator = nn.Linear(2 * width, WORDS)

    def forward(self, pair):
        """Two (batch, time) -> (batch, time, words)."""
        source, so_far = pair
        memory, last = self.encoder(self.source(source))
        states, _ = self.decoder(self.target(so_far), last)
        weights = (states @ memory.transpose(1, 2)).masked_fill((source == 0)[:, None], -1e9).softmax(-1)
        return self.generator(torch.cat([states, weights @ memory], -1))


class Translator(nn.Module):
    """torch's own nn.Transformer, seq-first, with its masks."""

    def __init__(self, width=32, drop=0.0):
        super().__init__()
        self.embed, self.place = nn.Embedding(WORDS, width), nn.Parameter(torch.randn(32, 1, width) * 0.1)
        self.core = nn.Transformer(width, 4, 1, 1, 2 * width, drop)
        self.generator = nn.Linear(width, WORDS)

    def forward(self, pair):
        """A dict of src and tgt, both (time, batch) -> (time, batch, words)."""
        src, tgt = (self.embed(pair[name]) + self.place[: len(pair[name])] for name in ("src", "tgt"))
        mask = nn.Transformer.generate_square_subsequent_mask(len(tgt))
        gone = (pair["src"] == 0).t()
        return self.generator(self.core(src, tgt, tgt_mask=mask, src_key_padding_mask=gone, memory_key_padding_mask=gone))


def translating(batch=12, length=8, count=6, shifted=True):
    """Sentences and the same words each one further, with word 1 in front as a start: batches of a sequence-to-sequence model."""
    pairs = []
    for _ in range(count):
        source, _ = padded(batch, length)
        target = torch.where(source > 0, (source - 1) % (WORDS - 1) % 9 + 2, 0)
        before = torch.cat([torch.ones(batch, 1, dtype=torch.long), target[:, :-1]], 1) if shifted else target
        pairs.append(((source, before), target))
    return pairs


def sentences_model(module, batches=None, loss=by_word, **rest):
    """The kit of a batch-first language model."""
    return kit(module, loss, batches or reading(), **rest)
