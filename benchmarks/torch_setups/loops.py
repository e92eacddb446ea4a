"""Losses, sound training loops, and how the parts of a set-up are put together."""

import torch
from torch import nn
from torch.nn import functional as F


def each_word(logits, targets):
    """Cross-entropy of (B, T, V) and (B, T); -100 does not count."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def parts(module, loss, batches):
    """What every set-up has; `batches` too, since whoever has a loop has these."""
    inputs, targets = batches[0]
    return {"module": module, "loss": loss, "inputs": inputs, "targets": targets, "batches": batches}


def alone(module, loss, batches):
    """A model and a batch, without a loop."""
    found = parts(module, loss, batches)
    del found["batches"]
    return found


def looped(module, loss, batches, optimizer=None, scheduler=None, step=None):
    """A model with its loop; by default Adam and the plainest loop."""
    if optimizer is None:
        optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    found = parts(module, loss, batches) | {"optimizer": optimizer, "step": step or plain(loss)}
    return found | ({"scheduler": scheduler} if scheduler is not None else {})


def plain(loss):
    """The loop of every tutorial."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        value = loss(module(inputs), targets)
        value.backward()
        optimizer.step()
        return value.item()

    return step


def scheduled(loss):
    """With a scheduler that is stepped after each batch."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        value = loss(module(inputs), targets)
        value.backward()
        optimizer.step()
        scheduler.step()
        return value.item()

    return step


def clipped(loss, largest=1.0):
    """With gradients clipped to a largest norm."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad(set_to_none=True)
        loss(module(inputs), targets).backward()
        nn.utils.clip_grad_norm_(module.parameters(), largest)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()

    return step


def accumulated(loss, pieces=2):
    """A batch in pieces, of equal size, whose mean losses are averaged."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        for x, y in zip(inputs.chunk(pieces), targets.chunk(pieces), strict=True):
            (loss(module(x), y) / pieces).backward()
        optimizer.step()

    return step


def train(setup, steps=100):
    """Let a set-up's own loop run for some steps over its batches; the set-up that is handed in afterwards has these weights.

    Whoever has no loop gets the plainest, with an optimizer that is not handed in.
    """
    step = setup.get("step") or plain(setup["loss"])
    optimizer = setup.get("optimizer") or torch.optim.Adam(setup["module"].parameters(), lr=3e-3)
    batches = setup.get("batches") or [(setup["inputs"], setup["targets"])]
    for i in range(steps):
        step(setup["module"], optimizer, setup.get("scheduler"), *batches[i % len(batches)])
    return setup
