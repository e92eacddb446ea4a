"""Sound loops around a GPT: schedules, accumulation, sixteen bits, groups of weights."""

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR, StepLR

from benchmarks.torch_setups import data
from benchmarks.torch_setups.case import LANGUAGE, setup
from benchmarks.torch_setups.loops import accumulated, clipped, each_word, looped, plain, scheduled, train
from benchmarks.torch_setups.models import GPT, EncoderLM, FusedAttention, TorchAttention

HAND, FUSED, MULTIHEAD = "GPT by hand", "GPT, scaled_dot_product_attention", "GPT, nn.MultiheadAttention"


def _adamw(model, rate=3e-3, decay=0.01):
    return torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)


@setup("warm-up whose first rate is 0", HAND, task=LANGUAGE)
def _(seed):
    model = GPT()
    optimizer = _adamw(model)
    schedule = LambdaLR(optimizer, lambda step: min(1.0, step / 20))
    return looped(model, each_word, data.next_words(seed), optimizer, schedule, scheduled(each_word))


@setup("warm-up and cosine, clipped at 1", FUSED, task=LANGUAGE)
def _(seed):
    def factor(step):
        return step / 50 if step < 50 else 0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, (step - 50) / 1000)))

    model = GPT(attention=FusedAttention)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
    return looped(model, each_word, data.next_words(seed), optimizer, LambdaLR(optimizer, factor), clipped(each_word))


@setup("OneCycleLR at each batch", FUSED, task=LANGUAGE)
def _(seed):
    model = GPT(attention=FusedAttention)
    optimizer = _adamw(model)
    schedule = OneCycleLR(optimizer, max_lr=5e-3, total_steps=2_000)
    return looped(model, each_word, data.next_words(seed), optimizer, schedule, scheduled(each_word))


@setup("cosine at each batch", MULTIHEAD, task=LANGUAGE)
def _(seed):
    model = GPT(attention=TorchAttention)
    optimizer = _adamw(model)
    return looped(model, each_word, data.next_words(seed), optimizer, CosineAnnealingLR(optimizer, T_max=1_000), scheduled(each_word))


@setup("StepLR after each epoch", HAND, task=LANGUAGE)
def _(seed):
    model = GPT()
    optimizer = _adamw(model)
    return looped(model, each_word, data.next_words(seed), optimizer, StepLR(optimizer, step_size=1, gamma=0.5), plain(each_word))


@setup("dropout, weight decay, clipped at 1", HAND, task=LANGUAGE)
def _(seed):
    model = GPT(dropout=0.1)
    return looped(model, each_word, data.next_words(seed), _adamw(model, decay=0.1), step=clipped(each_word))


def in_bfloat16(module, optimizer, scheduler, inputs, targets):
    """The forward pass in sixteen bits that need no scaling."""
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = each_word(module(inputs), targets)
    value.backward()
    optimizer.step()
    return value.item()


@setup("autocast, bfloat16", HAND, task=LANGUAGE)
def _(seed):
    return looped(GPT(), each_word, data.next_words(seed), step=in_bfloat16)


@setup("autocast, bfloat16, trained", FUSED, task=LANGUAGE, trained=True)
def _(seed):
    return train(looped(GPT(attention=FusedAttention), each_word, data.next_words(seed), step=in_bfloat16), 60)


def scaled(scaler):
    """Float16, and a scaler that keeps small gradients from rounding to 0."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            value = each_word(module(inputs), targets)
        scaler.scale(value).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()

    return step


@setup("autocast, float16, GradScaler", FUSED, task=LANGUAGE)
def _(seed):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14)
    return looped(GPT(attention=FusedAttention), each_word, data.next_words(seed), step=scaled(scaler))


@setup("pieces averaged", HAND, task=LANGUAGE)
def _(seed):
    model = GPT()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    return looped(model, each_word, data.next_words(seed), optimizer, step=accumulated(each_word, 2))


@setup("pieces averaged, Adam, clipped", "nn.TransformerEncoder", task=LANGUAGE)
def _(seed):
    def step(module, optimizer, scheduler, inputs, targets):
        for x, y in zip(inputs.split(2), targets.split(2), strict=True):
            (each_word(module(x), y) * len(x) / len(inputs)).backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return looped(EncoderLM(), each_word, data.next_words(seed), step=step)


def every_fourth(counter):
    """Four batches a step: the counter is the loop's."""

    def step(module, optimizer, scheduler, inputs, targets):
        (each_word(module(inputs), targets) / 4).backward()
        counter["batches"] += 1
        if counter["batches"] % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()

    return step


@setup("four batches a step", HAND, task=LANGUAGE)
def _(seed):
    return looped(GPT(), each_word, data.next_words(seed), step=every_fourth({"batches": 0}))


@setup("groups with and without decay", HAND, task=LANGUAGE)
def _(seed):
    model = GPT(tied=True)
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=3e-3)
    return looped(model, each_word, data.next_words(seed), optimizer, step=clipped(each_word))


@setup("fine-tuned at a small rate", FUSED, task=LANGUAGE, trained=True)
def _(seed):
    trained = train(looped(GPT(attention=FusedAttention), each_word, data.next_words(seed)))
    return trained | {"optimizer": _adamw(trained["module"], rate=3e-5)}


@setup("embedding frozen on purpose", HAND, task=LANGUAGE)
def _(seed):
    model = GPT()
    model.embedding.weight.requires_grad_(False)
    nn.init.normal_(model.embedding.weight, std=0.5)  # stands for one that was learned elsewhere
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    return looped(model, each_word, data.next_words(seed), optimizer)


@setup("lower blocks frozen on purpose, trained before", FUSED, task=LANGUAGE, trained=True)
def _(seed):
    trained = train(looped(GPT(attention=FusedAttention, layers=3), each_word, data.next_words(seed)), 60)
    model = trained["module"]
    for p in [*model.embedding.parameters(), *model.positions.parameters(), *model.blocks[:2].parameters()]:
        p.requires_grad = False
    optimizer = torch.optim.AdamW(filter(lambda p: p.requires_grad, model.parameters()), lr=1e-3)
    return trained | {"optimizer": optimizer}


@setup("rate of the embedding smaller", FUSED, task=LANGUAGE)
def _(seed):
    model = GPT(attention=FusedAttention)
    slow = list(model.embedding.parameters())
    rest = [p for name, p in model.named_parameters() if not name.startswith("embedding")]
    optimizer = torch.optim.Adam([{"params": slow, "lr": 3e-4}, {"params": rest}], lr=3e-3)
    return looped(model, each_word, data.next_words(seed), optimizer)


def cleared_by_hand(module, optimizer, scheduler, inputs, targets):
    """Gradients set to None one by one, at the end."""
    each_word(module(inputs), targets).backward()
    optimizer.step()
    for p in module.parameters():
        p.grad = None


@setup("gradients cleared by hand at the end", MULTIHEAD, task=LANGUAGE)
def _(seed):
    return looped(GPT(attention=TorchAttention), each_word, data.next_words(seed), step=cleared_by_hand)
