"""A last examination of the doctor: the data, models and loops that its set-ups are made of; switches plant the faults."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Setup:
    """One training; `build(seed)` gives the arguments of `examine`; `cause` is None where nothing is wrong."""

    name: str
    architecture: str
    cause: str | None
    build: Callable[[int], dict]
    debatable: bool = False
    why: str = ""


def enter(listing, architecture, cause, why=""):
    """A decorator that puts a builder on a list, and keeps the caller's random numbers as they were."""

    def wrap(make):
        def build(seed):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return make()

        listing.append(Setup(make.__name__.strip("_"), architecture, cause, build, bool(why), why))
        return make

    return wrap


# --- data -------------------------------------------------------------------------------------------------------


def prose(words, rows, length, fan=3, first=0):
    """Rows of word numbers from `first` on; each word has `fan` possible successors."""
    follow = torch.randint(first, words, (words, fan))
    said = [torch.randint(first, words, (rows,))]
    while len(said) < length:
        said.append(follow[said[-1], torch.randint(fan, (rows,))])
    return torch.stack(said, 1)


def reading(words, rows, length, count=5, gap=1, **more):
    """Batches for a language model; the targets lie `gap` words after the inputs."""
    text = prose(words, rows * count, length + gap, **more)
    return [(part[:, : part.shape[1] - gap], part[:, gap:]) for part in text.split(rows)]


def ragged(words, rows, length, pad, count=5):
    """Batches of sentences of unequal length, filled up with `pad`, sliced into inputs and targets."""
    text = prose(words - 1 if pad == words - 1 else words, rows * count, length + 1, first=1)
    ends = torch.randint(length // 3, length + 2, (len(text), 1))
    text[torch.arange(length + 1) >= ends] = pad
    return [(part[:, :-1], part[:, 1:]) for part in text.split(rows)]


def pictures(classes, rows, count=4):
    """Batches of 3 x 32 x 32 images; each class is a coarse pattern under noise."""
    coarse = F.interpolate(torch.randn(classes, 3, 4, 4), size=32)
    labels = torch.randint(classes, (rows * count,))
    images = coarse[labels] + 0.7 * torch.randn(len(labels), 3, 32, 32)
    return list(zip(images.split(rows), labels.split(rows), strict=True))


def clusters(classes, features, rows, count=4):
    """Batches of points around one centre per class."""
    centres = 1.5 * torch.randn(classes, features)
    labels = torch.randint(classes, (rows * count,))
    return list(zip((centres[labels] + torch.randn(len(labels), features)).split(rows), labels.split(rows), strict=True))


def measurements(features, rows, count=4, scale=1.0):
    """Batches for regression, with targets of shape (N, 1)."""
    x = torch.randn(rows * count, features)
    y = scale * (torch.sin(x[:, :1]) + 0.5 * x[:, 1:2] * x[:, 2:3] + 0.05 * torch.randn(len(x), 1))
    return list(zip(x.split(rows), y.split(rows), strict=True))


def reviews(words, classes, rows, length, count=4):
    """Batches of sentences with a label; one word in three is typical for the label."""
    labels = torch.randint(classes, (rows * count,))
    text = torch.randint(classes, words, (rows * count, length))
    told = torch.rand(text.shape) < 0.35
    return list(zip(torch.where(told, labels[:, None], text).split(rows), labels.split(rows), strict=True))


# --- models -----------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Multi-head attention written out; `sees` is past, future or all."""

    def __init__(self, width, heads, sees="past", axis=-1, cut=False):
        super().__init__()
        self.heads, self.sees, self.axis, self.cut = heads, sees, axis, cut
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (z.view(b, t, self.heads, -1).transpose(1, 2) for z in self.qkv(x).chunk(3, dim=-1))
        scores = q @ k.transpose(-2, -1) / math.sqrt(c // self.heads)
        if self.sees != "all":
            ones = torch.ones(t, t, dtype=torch.bool, device=x.device)
            scores = scores.masked_fill(ones.triu(1) if self.sees == "past" else ones.tril(-1), float("-inf"))
        mixed = (scores.softmax(self.axis) @ v).transpose(1, 2).reshape(b, t, c)
        return self.out(mixed.detach() if self.cut else mixed)


class Block(nn.Module):
    """A pre-norm block."""

    def __init__(self, width, heads, skip=True, drop=0.0, act=nn.GELU, **more):
        super().__init__()
        self.skip, self.drop = skip, nn.Dropout(drop)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads, **more)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), act(), nn.Linear(4 * width, width))

    def forward(self, x):
        if not self.skip:
            return self.mlp(self.norm2(self.attn(self.norm1(x))))
        x = x + self.drop(self.attn(self.norm1(x)))
        return x + self.drop(self.mlp(self.norm2(x)))


class PocketGPT(nn.Module):
    """A decoder with learned positions; `tie` is no, yes or copy; `noise` is dropout that eval does not know of."""

    def __init__(self, words, width=48, depth=2, heads=4, context=64, tie="no", noise=0.0, std=0.02, **more):
        super().__init__()
        self.noise = noise
        self.tok, self.pos = nn.Embedding(words, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads, **more) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words, bias=False)
        for part in self.modules():
            if isinstance(part, nn.Linear | nn.Embedding):
                nn.init.normal_(part.weight, std=std)
        if tie == "yes":
            self.head.weight = self.tok.weight
        elif tie == "copy":
            self.head.weight = nn.Parameter(self.tok.weight.detach().clone())

    def forward(self, ids):
        x = self.tok(ids) + self.pos(torch.arange(ids.shape[1], device=ids.device))
        if self.noise:
            x = F.dropout(x, self.noise)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def turn(x, base=10000.0):
    """Rotary positions on (B, H, T, D)."""
    t, half = x.shape[-2], x.shape[-1] // 2
    angle = torch.arange(t)[:, None] * base ** (-torch.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()), -1).to(x.dtype)


class RotaryLayer(nn.Module):
    """RMSNorm, rotary attention by PyTorch's function, SwiGLU."""

    def __init__(self, width, heads, flipped=False):
        super().__init__()
        self.heads, self.flipped = heads, flipped
        self.n1, self.n2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = nn.Linear(width, 2 * width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x):
        b, t, c = x.shape
        h = self.n1(x)
        q, k, v = (w(h).view(b, t, self.heads, -1).transpose(1, 2) for w in (self.wq, self.wk, self.wv))
        may = torch.ones(t, t, dtype=torch.bool).tril()
        h = F.scaled_dot_product_attention(turn(q), turn(k), v, attn_mask=may.T if self.flipped else may)
        x = x + self.wo(h.transpose(1, 2).reshape(b, t, c))
        h = self.n2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class RotaryLM(nn.Module):
    """A decoder in the manner of Llama; `listed` keeps the layers in a plain list."""

    def __init__(self, words, width=64, depth=2, heads=4, listed=False, flipped=False):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        layers = [RotaryLayer(width, heads, flipped) for _ in range(depth)]
        self.layers = layers if listed else nn.ModuleList(layers)
        self.norm, self.lm_head = nn.RMSNorm(width), nn.Linear(width, words, bias=False)

    def forward(self, ids):
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(self.norm(x))


class LibraryLM(nn.Module):
    """PyTorch's own encoder as a language model, sinusoidal positions; `mask` is causal, none or wrong."""

    def __init__(self, words, width=32, depth=2, heads=2, mask="causal", pad=None, pre=False, drop=0.0):
        super().__init__()
        self.mask, self.root = mask, math.sqrt(width)
        self.embedding = nn.Embedding(words, width, padding_idx=pad)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, drop, batch_first=True, norm_first=pre)
        self.encoder = nn.TransformerEncoder(layer, depth, nn.LayerNorm(width) if pre else None, enable_nested_tensor=False)
        self.decoder = nn.Linear(width, words)
        angle = torch.arange(128)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        self.register_buffer("pe", torch.stack((angle.sin(), angle.cos()), -1).flatten(1))

    def forward(self, ids):
        n = ids.shape[1]
        look = nn.Transformer.generate_square_subsequent_mask(n)
        look = {"causal": look, "wrong": look.T, "none": None}[self.mask]
        return self.decoder(self.encoder(self.embedding(ids) * self.root + self.pe[:n], mask=look))


class PostBlock(nn.Module):
    """The encoder block of 2017 around nn.MultiheadAttention."""

    def __init__(self, width, heads, skip=True, batch_first=True, drop=0.0):
        super().__init__()
        self.skip, self.drop = skip, nn.Dropout(drop)
        self.attend = nn.MultiheadAttention(width, heads, batch_first=batch_first)
        self.ff = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x, hide=None):
        seen = self.drop(self.attend(x, x, x, key_padding_mask=hide, need_weights=False)[0])
        x = self.ln1(x + seen if self.skip else seen)
        return self.ln2(x + self.ff(x) if self.skip else self.ff(x))


class SentenceEncoder(nn.Module):
    """Reads a sentence in both directions and says its class, or each word's; `jitter` is noise that never ends."""

    def __init__(self, words, classes, width=40, depth=2, heads=4, jitter=0.0, pad=None, each=False, **more):
        super().__init__()
        self.jitter, self.pad, self.each = jitter, pad, each
        self.words, self.places = nn.Embedding(words, width), nn.Parameter(0.02 * torch.randn(64, width))
        self.blocks = nn.ModuleList(PostBlock(width, heads, **more) for _ in range(depth))
        self.classify = nn.Linear(width, classes)

    def forward(self, ids):
        x = self.words(ids) + self.places[: ids.shape[1]]
        hide = None if self.pad is None else ids == self.pad
        for block in self.blocks:
            x = block(x, hide)
        if self.each:
            return self.classify(x)
        pooled = x.mean(1) if hide is None else (x * ~hide[..., None]).sum(1) / (~hide).sum(1, keepdim=True)
        return self.classify(pooled + self.jitter * torch.randn_like(pooled) if self.jitter else pooled)


class WordRNN(nn.Module):
    """A recurrent language model, LSTM or GRU."""

    def __init__(self, words, width=48, kind=nn.LSTM, depth=1, batch_first=True, copy=False, pad=None, drop=0.0):
        super().__init__()
        self.emb = nn.Embedding(words, width, padding_idx=pad)
        self.rnn = kind(width, width, depth, batch_first=batch_first, dropout=drop)
        self.out = nn.Linear(width, words)
        if copy:
            self.out.weight.data.copy_(self.emb.weight.data)  # tie the two

    def forward(self, ids):
        return self.out(self.rnn(self.emb(ids))[0])


class ConvNet(nn.Module):
    """Convolution, BatchNorm, pooling; `probs` ends it in probabilities, `mixup` reshapes wrongly, `cut` drops the graph."""

    def __init__(self, classes, width=16, probs=None, mixup=False, cut=False):
        super().__init__()
        self.probs, self.mixup, self.cut = probs, mixup, cut
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(4))
        self.body = nn.Sequential(nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(), nn.AvgPool2d(4))
        self.fc = nn.Linear(8 * width, classes)

    def forward(self, images):
        h = self.stem(images)
        h = self.body(h.data if self.cut else h)
        h = self.fc(h.reshape(-1, len(images)).t() if self.mixup else h.flatten(1))
        return h if self.probs is None else self.probs(h)


class Perceptron(nn.Module):
    """Linear layers and an activation; `noise` is dropout that is always on; `numpy` scales outside the graph."""

    def __init__(self, *sizes, act=torch.relu, noise=0.0, numpy=False, last=None):
        super().__init__()
        self.act, self.noise, self.numpy, self.last = act, noise, numpy, last
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = self.act(layer(x))
            if self.noise:
                x = F.dropout(x, p=self.noise, training=True)
        if self.numpy:
            x = torch.from_numpy(x.detach().numpy() * 2.0)
        x = self.layers[-1](x)
        return x if self.last is None else self.last(x)


class ClassFirst(nn.Module):
    """Gives logits as (B, V, T), which nn.CrossEntropyLoss takes as they are."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, ids):
        return self.inner(ids).transpose(1, 2)


class LowRank(nn.Module):
    """A frozen linear layer with a small trainable product beside it."""

    def __init__(self, base, rank=8):
        super().__init__()
        self.base = base
        self.a = nn.Parameter(torch.randn(rank, base.in_features) / rank)
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return self.base(x) + x @ self.a.T @ self.b.T


class SlopedLM(nn.Module):
    """No position vectors: a penalty that grows with distance; all heads share one key and one value; post-norm."""

    def __init__(self, words, width, depth, heads):
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.lookup = nn.Embedding(words, width)
        nn.init.normal_(self.lookup.weight, std=0.1)
        self.queries = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.shared = nn.ModuleList(nn.Linear(width, 2 * self.size) for _ in range(depth))
        self.outs = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth))
        self.feeds = nn.ModuleList(nn.Sequential(nn.Linear(width, 3 * width), nn.SiLU(), nn.Linear(3 * width, width)) for _ in range(depth))

    def forward(self, ids):
        x = self.lookup(ids)
        place = torch.arange(ids.shape[1])
        away = (place[:, None] - place).float()
        slopes = 2.0 ** -torch.arange(1, self.heads + 1)
        bias = (-slopes[:, None, None] * away).masked_fill(away < 0, float("-inf"))
        for i, query in enumerate(self.queries):
            q = query(x).unflatten(-1, (self.heads, self.size)).transpose(1, 2)
            k, v = self.shared[i](x).unsqueeze(1).chunk(2, -1)
            seen = (q @ k.mT / self.size**0.5 + bias).softmax(-1) @ v
            x = self.norms[2 * i](x + self.outs[i](seen.transpose(1, 2).flatten(2)))
            x = self.norms[2 * i + 1](x + self.feeds[i](x))
        return x @ self.lookup.weight.T


class PatchNet(nn.Module):
    """A vision transformer with a class token."""

    def __init__(self, classes, width=64, depth=2):
        super().__init__()
        self.cut = nn.Conv2d(3, width, 8, stride=8)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.where = nn.Parameter(0.02 * torch.randn(17, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.1, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        x = torch.cat((self.cls.expand(len(images), -1, -1), self.cut(images).flatten(2).mT), 1)
        return self.head(self.encoder(x + self.where)[:, 0])


class TwoWays(nn.Module):
    """A bidirectional LSTM with one answer for each word, or for the sentence."""

    def __init__(self, words, width, tags, each=True):
        super().__init__()
        self.each = each
        self.embed = nn.Embedding(words, width, padding_idx=0)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.drop, self.tag = nn.Dropout(0.2), nn.Linear(2 * width, tags)

    def forward(self, ids):
        h, (last, _) = self.lstm(self.embed(ids))
        return self.tag(self.drop(h if self.each else torch.cat((last[0], last[1]), -1)))


class Forecast(nn.Module):
    """The next value of a series from its past."""

    def __init__(self, width):
        super().__init__()
        self.gru, self.out = nn.GRU(1, width, batch_first=True), nn.Linear(width, 1)

    def forward(self, x):
        return self.out(self.gru(x)[0][:, -1])


class Residual(nn.Module):
    """Two convolutions beside a shortcut; the second BatchNorm may start at zero."""

    def __init__(self, width, zero):
        super().__init__()
        self.a, self.b = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.na, self.nb = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        if zero:
            nn.init.zeros_(self.nb.weight)

    def forward(self, x):
        return F.relu(x + self.nb(self.b(F.relu(self.na(self.a(x))))))


def small_resnet(classes, width=24, zero=False):
    """A short residual network on 8 x 8 maps."""
    stem = (nn.Conv2d(3, width, 4, stride=4), nn.BatchNorm2d(width), nn.ReLU())
    return nn.Sequential(
        *stem, Residual(width, zero), Residual(width, zero), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, classes)
    )


class Ratings(nn.Module):
    """A rating from a reader's and a book's vector."""

    def __init__(self, readers, books, width):
        super().__init__()
        self.reader, self.book = nn.Embedding(readers, width), nn.Embedding(books, width)
        self.scale = nn.Linear(width, 1)

    def forward(self, pairs):
        return self.scale(self.reader(pairs[:, 0]) * self.book(pairs[:, 1]))


# --- loops ------------------------------------------------------------------------------------------------------


def word_loss(logits, words):
    """Mean cross-entropy of (B, T, V) against (B, T)."""
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), words.reshape(-1))


def masked_loss(pad):
    """Mean cross-entropy over the words that are not `pad`."""
    return lambda logits, words: F.cross_entropy(logits.flatten(0, 1), words.flatten(), ignore_index=pad)


def loop(loss, clip=None, zero=True, scheduled=False, pieces=1, divide=True, zero_inside=False, amp=None):
    """A training loop's body for one batch, with the switches that the faults need."""

    def step(module, optimizer, scheduler, inputs, targets):
        module.train()
        if zero:
            optimizer.zero_grad()
        for x, y in zip(inputs.chunk(pieces), targets.chunk(pieces), strict=True):
            if zero_inside:
                optimizer.zero_grad()
            with torch.autocast("cpu", dtype=amp or torch.bfloat16, enabled=amp is not None):
                value = loss(module(x), y)
            (value / pieces if divide else value).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(module.parameters(), clip)
        optimizer.step()
        if scheduled:
            scheduler.step()

    return step


def given(module, loss, batches, optimizer=None, scheduler=None, step=None, keep=True):
    """The arguments of `examine`, without those that this reader did not hand over."""
    inputs, targets = batches[0]
    every = dict(module=module, loss=loss, inputs=inputs, targets=targets, optimizer=optimizer, scheduler=scheduler, step=step)
    return {k: v for k, v in every.items() if v is not None} | ({"batches": batches} if keep else {})


def full(module, loss, batches, rate=3e-3, optimizer=None, scheduler=None, **switches):
    """Everything: AdamW unless an optimizer is given, and a loop with the switches."""
    optimizer = optimizer or torch.optim.AdamW(module.parameters(), lr=rate)
    return given(module, loss, batches, optimizer, scheduler, loop(loss, scheduled=scheduler is not None, **switches))
