"""Trainings with no fault, each with something that looks like one; those here are of sequences.

``SOUND`` holds them all, with those of ``held_out_calm``, ``held_out_rows`` and ``held_out_traps``.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler
from torch.utils.checkpoint import checkpoint

from benchmarks.torch_setups.held_out_calm import CALM_PICTURES
from benchmarks.torch_setups.held_out_models import (
    WORDS,
    Attention,
    EinsumBlock,
    EinsumLM,
    HubLM,
    Output,
    PackedClassifier,
    Seq2Seq,
    TokenClassifier,
    Translator,
    WaveNet,
    WordRNN,
    Wrapped,
    by_word,
    chain,
    classed,
    feed_forward,
    kit,
    padded,
    plain,
    reading,
    recorder,
    rms,
    sentences_model,
    train,
    translating,
)
from benchmarks.torch_setups.held_out_rows import CALM_ROWS
from benchmarks.torch_setups.held_out_traps import TRAPS

SOUND = [*CALM_PICTURES, *CALM_ROWS, *TRAPS]
_, sound = recorder(SOUND)


def words_but_padding(logits, targets):
    """Cross-entropy that leaves padding out."""
    return by_word(logits, targets, ignore_index=0)


# Recurrent networks


@sound("seq-first LSTM language model, tied, dropout")
def rate_of_twenty_with_a_clip():
    """The old example's own numbers: SGD with a rate of 20 and gradients clipped to a norm of 0.25."""
    module = WordRNN("LSTM", tied=True, drop=0.1)
    nn.init.uniform_(module.encoder.weight, -0.1, 0.1)
    optimizer = torch.optim.SGD(module.parameters(), lr=20.0)
    return kit(module, by_word, reading(seq_first=True), optimizer, step=plain(by_word, clip=0.25))


class Stateful(WordRNN):
    """Keeps its state from batch to batch, cut from the graph."""

    def forward(self, ids):
        """(time, batch) -> (time, batch, words)."""
        state = getattr(self, "state", None) if self.training else None
        out, state = self.rnn(self.encoder(ids), state)
        self.state = state.detach()
        return self.decoder(out)


@sound("seq-first GRU that keeps its state", debatable=True)
def state_detached_between_batches():
    """Truncated back-propagation: the old state is detached, as it must be. Debatable: the same batch twice gives two answers."""
    long = chain(12, 61).t()
    batches = [(long[place : place + 10], long[place + 1 : place + 11]) for place in range(0, 60, 10)]
    return kit(Stateful(), by_word, batches)


@sound("seq-first tanh RNN, Adagrad, clipping by value")
def simple_cells():
    """Nothing but an old cell and an old optimizer."""
    module = WordRNN("RNN")

    def step(module, optimizer, scheduler, ids, targets):
        module.zero_grad(set_to_none=False)
        loss = by_word(module(ids), targets)
        loss.backward()
        nn.utils.clip_grad_value_(module.parameters(), 0.5)
        optimizer.step()
        return loss

    return kit(module, by_word, reading(seq_first=True), torch.optim.Adagrad(module.parameters(), lr=0.05), step=step)


@sound("BiLSTM classifier of packed sentences, a tuple in")
def packed_in_both_directions():
    """Lengths differ, the last states of both directions are read; padding is never seen."""
    batches = []
    for ids, kinds in classed():
        lengths = torch.randint(6, 13, kinds.shape)
        batches.append(((torch.where(torch.arange(12) < lengths[:, None], ids.clamp(min=1), 0), lengths), (kinds > 1).long()))
    return kit(PackedClassifier(classes=2), F.cross_entropy, batches)


@sound("seq-first BiLSTM tagger")
def tagger_that_may_look_ahead():
    """Each word is tagged by what comes after it, and padding has the tag -100."""
    batches = []
    for _ in range(6):
        ids, _ = padded(length=13)
        tag = torch.where(ids[:, :-1] > 0, ids[:, 1:] % 3, -100)
        batches.append((ids[:, :-1].t(), tag.t()))
    module = WordRNN("LSTM", bidirectional=True)
    module.decoder = nn.Linear(64, 3)
    return kit(module, by_word, batches)


@sound("GRU classifier")
def forget_gates_biased_and_orthogonal():
    """Biases of 3 in the gates and orthogonal matrices, the advice of an old paper."""
    module = TokenClassifier("GRU")
    nn.init.orthogonal_(module.body.weight_hh_l0)
    with torch.no_grad():
        module.body.bias_hh_l0[32:64] += 3.0
    return kit(module, F.cross_entropy, classed())


@sound("seq-first GRU language model")
def trained_before():
    """Sixty steps have gone before; most of what can be learned is."""
    return train(kit(WordRNN(), by_word, reading(seq_first=True)), 60)


@sound("GRU autoencoder of sentences, targets are the inputs")
def sentences_through_a_bottle_neck():
    """The decoder sees one vector and the place; the targets are the inputs, rightly."""
    batches = [(ids, ids) for ids, _ in reading(length=5)]
    module = BottleNeck()
    return kit(module, by_word, batches, torch.optim.Adam(module.parameters(), lr=1e-2))


class BottleNeck(nn.Module):
    """A GRU reads to one vector, another writes from it."""

    def __init__(self, width=48):
        super().__init__()
        self.embed, self.head = nn.Embedding(WORDS, width), nn.Linear(width, WORDS)
        self.reader, self.writer = (nn.GRU(width, width, batch_first=True) for _ in range(2))

    def forward(self, ids):
        """(batch, time) -> (batch, time, words)."""
        _, last = self.reader(self.embed(ids))
        written, _ = self.writer(last[0][:, None].expand(-1, ids.shape[1], -1))
        return self.head(written)


class Listener(nn.Module):
    """A BiLSTM over sounds, log-probabilities over letters and the blank, seq-first as CTC wants them."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 24, bidirectional=True), nn.Linear(48, 5)

    def forward(self, sounds):
        """(time, batch, 6) -> (time, batch, 5)."""
        return self.head(self.lstm(sounds)[0]).log_softmax(-1)


@sound("seq-first BiLSTM with CTC")
def letters_of_a_sound():
    """The blank is 0, the targets are a tuple of letters and their lengths."""
    forms, batches = torch.randn(5, 6), []
    for _ in range(6):
        letters = torch.randint(1, 5, (8, 4))
        sounds = forms[letters.repeat_interleave(3, 1)] + 0.3 * torch.randn(8, 12, 6)
        batches.append((sounds.transpose(0, 1), (letters, torch.full((8,), 4))))

    def loss(out, target):
        return F.ctc_loss(out, target[0], torch.full((out.shape[1],), len(out)), target[1], zero_infinity=True)

    module = Listener()
    return kit(module, loss, batches, torch.optim.Adam(module.parameters(), lr=1e-2))


class Forecast(nn.Module):
    """An LSTM over a curve."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, x):
        """(batch, time, 1), in and out."""
        return self.head(self.lstm(x)[0])


@sound("LSTM that foretells a curve, Huber")
def next_value_of_a_curve():
    """Inputs and targets are nearly alike, since the curve is smooth."""
    batches = []
    for _ in range(6):
        waves = torch.sin(torch.arange(17) * 0.5 + 6 * torch.rand(16, 1))[..., None]
        batches.append((waves[:, :-1], waves[:, 1:]))
    return kit(Forecast(), nn.HuberLoss(), batches)


# Language models without cells


@sound("WaveNet, OneCycleLR, bytes without padding")
def one_cycle_per_batch():
    """The first rate is small, and every word, 0 too, is one."""
    module = WaveNet(dilations=(1, 2, 4, 1, 2, 4))
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    return sentences_model(module, optimizer=optimizer, scheduler=lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=2000))


@sound("wrapped branches, rotary, a warm-up whose first rate is 0")
def warm_up_from_zero():
    """`LambdaLR` with step / 30: the first step moves nothing."""
    module = Wrapped()
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-3)
    return sentences_model(module, optimizer=optimizer, scheduler=lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 30)))


@sound("einsum attention on raw parameters")
def every_branch_starts_at_zero():
    """The last matrix of each branch is 0 at first: at the first step only those move."""
    return sentences_model(EinsumLM(zero=True))


class OneBlock(nn.Module):
    """Attention as plain functions inside one block, four times the same block: its weights are shared in depth."""

    def __init__(self, dim=32, times=4):
        super().__init__()
        self.embed, self.place, self.times = nn.Embedding(WORDS, dim), nn.Embedding(10, dim), times
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.ff, self.ln = feed_forward(dim), nn.LayerNorm(dim)
        self.head = nn.Linear(dim, WORDS)
        nn.init.zeros_(self.head.weight)

    def forward(self, ids):
        """(batch, time) -> (batch, time, words)."""
        time = ids.shape[1]
        x = self.embed(ids) + self.place.weight[:time]
        shut = torch.full((time, time), float("-inf")).triu(1)
        for _ in range(self.times):
            h = self.ln(x)
            weights = torch.softmax(self.q(h) @ self.k(h).mT / 32**0.5 + shut, -1)
            x = x + self.o(weights @ self.v(h))
            x = x + self.ff(x)
        return self.head(x)


@sound("functional attention in one shared block, a head at zero")
def layers_shared_and_head_at_zero():
    """The first loss is exactly ln 11, and only the head has a gradient."""
    return sentences_model(OneBlock())


@sound("model of a hub, targets are the inputs")
def hub_model_that_shifts_inside():
    """Labels equal the input; the model shifts them. The loss comes from the model."""
    batches = [({"input_ids": ids, "labels": ids.clone()}, ids) for ids, _ in reading()]
    return kit(HubLM(), lambda out, _: out.loss, batches)


@sound("model of a hub, labels of -100 on padding and prompt")
def prompt_left_out_of_the_loss():
    """Only the answer counts: the labels of the prompt and of padding are -100."""
    batches = []
    for _ in range(6):
        ids, _ = padded(shortest=6)
        labels = torch.where(ids > 0, ids, -100)
        labels[:, :3] = -100
        batches.append(({"input_ids": ids, "labels": labels}, labels))
    return kit(HubLM(pad=0), lambda out, labels: by_word(out.logits[:, :-1], labels[:, 1:], ignore_index=-100), batches)


class PrefixLM(nn.Module):
    """Reads its first four words both ways, and writes the others one by one."""

    def __init__(self, dim=32, time=10, prefix=4):
        super().__init__()
        keep = torch.ones(time, time, dtype=torch.bool).tril()
        keep[:prefix, :prefix] = True
        self.embed, self.norm, self.head = nn.Embedding(WORDS, dim), nn.LayerNorm(dim), nn.Linear(dim, WORDS)
        self.place = nn.Parameter(torch.randn(time, dim) * 0.1)
        self.qkv, self.ff = nn.Linear(dim, 3 * dim), feed_forward(dim)
        self.register_buffer("keep", keep)

    def forward(self, ids):
        """(batch, time) -> (batch, time, words)."""
        x = self.embed(ids) + self.place
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        x = x + F.scaled_dot_product_attention(q, k, v, attn_mask=self.keep)
        return self.head(x + self.ff(x))


@sound("prefix language model", debatable=True)
def prefix_read_both_ways():
    """The first four words see one another, and none of them is a target. Debatable: who looks there only sees a missing mask."""
    batches = [(ids, torch.where(torch.arange(10) < 3, -100, to)) for ids, to in reading()]
    return sentences_model(PrefixLM(), batches)


@sound("torch's nn.TransformerEncoder, masked words, a dict in")
def masked_words():
    """Some words are hidden and to be told; the encoder looks both ways, and all other targets are -100."""
    batches = []
    for _ in range(8):
        ids, lengths = padded(batch=24, shortest=8)
        hidden = (torch.rand(ids.shape) < 0.25) & (ids > 0)
        shown = torch.where(hidden, WORDS, ids)
        batches.append(({"ids": shown, "lengths": lengths}, torch.where(hidden, ids, -100)))
    return kit(Cloze(), lambda out, to: by_word(out["scores"], to, ignore_index=-100), batches)


class Cloze(nn.Module):
    """torch's own encoder over words with padding, pre-norm."""

    def __init__(self, width=32):
        super().__init__()
        self.embed, self.place = nn.Embedding(WORDS + 1, width, padding_idx=0), nn.Parameter(torch.randn(12, width) * 0.1)
        layer = nn.TransformerEncoderLayer(width, 4, 64, 0.1, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, WORDS)

    def forward(self, given):
        """A dict of ids (batch, time) and lengths (batch,) -> a dict of scores (batch, time, words)."""
        gone = torch.arange(given["ids"].shape[1]) >= given["lengths"][:, None]
        return {"scores": self.head(self.body(self.embed(given["ids"]) + self.place, src_key_padding_mask=gone))}


@sound("seq-first nn.Transformer, a dict in, label smoothing")
def encoder_and_decoder():
    """The decoder's input is the target one later; padding is left out of loss and attention."""
    batches = []
    for (source, before), target in translating():
        batches.append(({"src": source.t(), "tgt": before.t()}, target.t()))
    return kit(Translator(), lambda out, to: by_word(out, to, ignore_index=0, label_smoothing=0.1), batches)


@sound("GRU encoder and decoder, teacher forcing, a tuple in")
def teacher_forcing():
    """The right answers, one later, are an input."""
    module = Seq2Seq()
    return kit(module, words_but_padding, translating(), torch.optim.RMSprop(module.parameters(), lr=2e-3))


class Grouped(nn.Module):
    """Queries share keys and values in pairs; the output is the embedding's transpose; recomputed in the backward pass."""

    def __init__(self, dim=32):
        super().__init__()
        self.embed, self.block = nn.Embedding(WORDS, dim), EinsumBlock(dim)
        nn.init.normal_(self.embed.weight, std=dim**-0.5)
        self.q, self.kv, self.o = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.gain = nn.Parameter(torch.ones(dim))

    def attend(self, x):
        """(batch, time, dim), in and out."""
        b, t, d = x.shape
        q = self.q(rms(x, self.gain)).view(b, t, 4, 8).transpose(1, 2)
        k, v = self.kv(rms(x, self.gain)).view(b, t, 2, 2, 8).permute(2, 0, 3, 1, 4).repeat_interleave(2, 2)
        return x + self.o(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, d))

    def forward(self, ids):
        """(batch, time) -> (batch, time, words)."""
        x = checkpoint(self.attend, self.embed(ids), use_reentrant=False)
        return F.linear(rms(checkpoint(self.block, x, use_reentrant=False), 1.0), self.embed.weight)


@sound("grouped queries, tied output, checkpointing")
def recomputed_in_the_backward_pass():
    """Activations are thrown away and made again."""
    return sentences_model(Grouped())


@sound("wrapped branches in float64")
def double_precision():
    """`.double()` after the optimizer was made: the parameters stay the same objects."""
    module = Wrapped()
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    return sentences_model(module.double(), optimizer=optimizer)


@sound("einsum attention, a counter in a closure")
def accumulated_over_four_batches():
    """Divided by four, a step at every fourth batch."""
    seen = {"batches": 0}

    def step(module, optimizer, scheduler, ids, targets):
        (by_word(module(ids), targets) / 4).backward()
        seen["batches"] += 1
        if seen["batches"] % 4 == 0:
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    module = EinsumLM()
    return sentences_model(module, reading(count=8), optimizer=torch.optim.AdamW(module.parameters(), lr=1e-2), step=step)


@sound("wrapped branches, autocast to bfloat16")
def autocast_to_bfloat16():
    """The weights stay float32."""

    def step(module, optimizer, scheduler, ids, targets):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = by_word(module(ids), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return sentences_model(Wrapped(), step=step)


@sound("seq-first GRU language model, batch size two, one batch only")
def two_sentences():
    """All there is are two sentences, and no list of batches."""
    given = kit(WordRNN(), by_word, reading(batch=2, count=1, seq_first=True))
    return {name: value for name, value in given.items() if name != "batches"}


@sound("WaveNet handed over without a loop")
def only_a_module_and_an_optimizer():
    """No `step`, no schedule, no batches."""
    given = sentences_model(WaveNet())
    return {name: given[name] for name in ("module", "loss", "inputs", "targets", "optimizer")}


@sound("language of runs")
def next_word_is_mostly_the_same():
    """Words come in runs: four targets of five equal their input, and the shift is right."""
    batches = []
    for _ in range(6):
        ids = torch.randint(WORDS, (12, 11))
        for place in range(1, 11):
            ids[:, place] = torch.where(torch.rand(12) < 0.8, ids[:, place - 1], ids[:, place])
        batches.append((ids[:, :-1], ids[:, 1:]))
    return sentences_model(WordRNN("GRU", batch_first=True), batches)


@sound("wrapped branches, three rates, clipping to 0.1 with Adam")
def groups_with_their_own_rates():
    """Embedding, norms and the rest have rates and decays of their own; Adam does not mind the clip."""
    module = Wrapped()
    named = list(module.named_parameters())
    groups = [
        {"params": [p for n, p in named if "token_emb" in n], "lr": 1e-3, "weight_decay": 0.0},
        {"params": [p for n, p in named if "token_emb" not in n and p.ndim < 2], "weight_decay": 0.0},
        {"params": [p for n, p in named if "token_emb" not in n and p.ndim >= 2], "weight_decay": 0.1},
    ]
    return sentences_model(module, optimizer=torch.optim.AdamW(groups, lr=5e-3), step=plain(by_word, clip=0.1))


class Averaged(nn.Module):
    """A model and the running mean of its weights, which no optimizer touches."""

    def __init__(self):
        super().__init__()
        self.online, self.mean = EinsumLM(depth=1), EinsumLM(depth=1)
        self.mean.load_state_dict(self.online.state_dict())
        self.mean.requires_grad_(False)

    def forward(self, ids):
        """(batch, time) -> Output."""
        return Output((self.online if self.training else self.mean)(ids))


@sound("einsum attention with a running mean of its weights")
def mean_of_weights_inside():
    """A second model, equal at first, moves by 5 % towards the first; eval() shows the second."""
    module = Averaged()

    def loss(out, targets):
        return by_word(out.logits, targets)

    def step(module, optimizer, scheduler, ids, targets):
        plain(loss)(module, optimizer, scheduler, ids, targets)
        with torch.no_grad():
            for slow, fast in zip(module.mean.parameters(), module.online.parameters(), strict=True):
                slow.lerp_(fast, 0.05)

    return kit(module, loss, reading(), torch.optim.AdamW(module.online.parameters(), lr=3e-3), step=step)


@sound("causal attention and a head of vectors, cosine schedule")
def cosine_with_restarts():
    """`CosineAnnealingWarmRestarts` moves with every batch, on purpose."""
    module = nn.Sequential(nn.Embedding(WORDS, 32), Attention(32), nn.LayerNorm(32), feed_forward(32), nn.Linear(32, WORDS))
    optimizer = torch.optim.NAdam(module.parameters(), lr=5e-3)
    return sentences_model(module, optimizer=optimizer, scheduler=lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 50))
