"""Trainings whose one fault is in the loop: the optimizer, its rate, its schedule, and what is done with gradients."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler

from benchmarks.torch_setups.held_out_models import (
    WORDS,
    EinsumLM,
    HubLM,
    Seq2Seq,
    TokenClassifier,
    WaveNet,
    WordRNN,
    Wrapped,
    by_word,
    classed,
    kit,
    plain,
    reading,
    recorder,
    sentences_model,
    translating,
)
from benchmarks.torch_setups.held_out_nets import (
    VAE,
    Experts,
    Mixer,
    ResNet,
    Towers,
    UNet,
    ViT,
    elbo,
    info_nce,
    mlp,
    picture_kit,
    pictures,
    plain_cnn,
    scenes,
    tables,
    tags,
    themselves,
    views,
)

LOOP_FAULTS = []
fault, _ = recorder(LOOP_FAULTS)
SGD, Adam = torch.optim.SGD, torch.optim.Adam


def words_but_padding(logits, targets):
    """Cross-entropy that leaves padding out."""
    return by_word(logits, targets, ignore_index=0)


# The loss is cut off


@fault("detached", "two towers, InfoNCE")
def loss_wrapped_anew(broken):
    """`loss = Variable(loss.data, requires_grad=True)`, once a cure for an error message."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        loss = info_nce(module(inputs), targets)
        if broken:
            loss = torch.autograd.Variable(loss.data, requires_grad=True)
        loss.backward()
        optimizer.step()

    module = Towers()
    return kit(module, info_nce, views(), Adam(module.parameters(), lr=3e-3), step=step)


# Gradients that stay


@fault("no_zero_grad", "ViT, SGD with momentum")
def never_zeroed(broken):
    """The line was lost."""

    def step(module, optimizer, scheduler, images, labels):
        loss = F.cross_entropy(module(images), labels)
        loss.backward()
        optimizer.step()
        if not broken:
            optimizer.zero_grad()
        return loss

    module = ViT()
    return picture_kit(module, optimizer=SGD(module.parameters(), lr=0.05, momentum=0.9), step=step)


@fault("no_zero_grad", "GRU classifier, SGD with momentum")
def zero_grad_without_parentheses(broken):
    """`optimizer.zero_grad` names the method and does not call it."""

    def step(module, optimizer, scheduler, ids, labels):
        if broken:
            optimizer.zero_grad  # noqa: B018 as it was written
        else:
            optimizer.zero_grad()
        loss = F.cross_entropy(module(ids), labels)
        loss.backward()
        optimizer.step()

    module = TokenClassifier("GRU")
    return kit(module, F.cross_entropy, classed(), SGD(module.parameters(), lr=0.2, momentum=0.9), step=step)


@fault("no_zero_grad", "GRU encoder and decoder with attention, SGD")
def zero_grad_on_a_part(broken):
    """`module.generator.zero_grad()`: the gradients of encoder and decoder pile up."""

    def step(module, optimizer, scheduler, pair, target):
        (module.generator if broken else module).zero_grad()
        words_but_padding(module(pair), target).backward()
        nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimizer.step()

    module = Seq2Seq()
    return kit(module, words_but_padding, translating(), SGD(module.parameters(), lr=0.3, momentum=0.9), step=step)


# The rate


@fault("zero_rate", "MLP-Mixer, LambdaLR")
def warm_up_by_integer_division(broken):
    """`lambda step: min(1, step // 2000)` is 0 for two thousand steps."""
    module = Mixer()
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    length = 2000 if broken else 20
    shape = (lambda step: min(1, step // length)) if broken else (lambda step: min(1, step / length))
    return picture_kit(module, optimizer=optimizer, scheduler=lr_scheduler.LambdaLR(optimizer, shape))


@fault("zero_rate", "ResNet, SGD")
def a_rate_of_a_ten_billionth(broken):
    """`lr=1e-10`, where 1e-1 was meant."""
    module = ResNet()
    return picture_kit(module, optimizer=SGD(module.parameters(), lr=1e-10 if broken else 1e-1, momentum=0.9))


@fault("zero_rate", "mixture of experts, Adagrad")
def resumed_behind_the_end_of_the_schedule(broken):
    """The training was resumed where its LinearLR had ended, at 0."""
    module = Experts()
    optimizer = torch.optim.Adagrad(module.parameters(), lr=0.05)
    scheduler = lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=1000)
    optimizer.step()  # without gradients: for the warning's sake
    for _ in range(1000 if broken else 0):
        scheduler.step()

    def loss(out, targets):
        return F.mse_loss(out[0], targets) + 0.01 * out[1]

    return kit(module, loss, tables(), optimizer, scheduler=scheduler, step=plain(loss))


@fault("rate_too_high", "CNN with BatchNorm, SGD")
def plain_descent_with_a_rate_of_ten(broken):
    """`SGD(lr=10)`."""
    module = plain_cnn()
    return picture_kit(module, optimizer=SGD(module.parameters(), lr=10.0 if broken else 0.1, momentum=0.9))


@fault("rate_too_high", "seq-first GRU language model, Adam")
def adam_with_a_rate_of_one(broken):
    """A rate that was good for SGD."""
    module = WordRNN()
    return kit(module, by_word, reading(seq_first=True), Adam(module.parameters(), lr=1.0 if broken else 1e-2))


@fault("rate_too_high", "variational autoencoder, RMSprop")
def rmsprop_with_a_rate_of_a_half(broken):
    """`RMSprop(lr=0.5)`."""
    module = VAE()
    return kit(module, elbo, themselves(pictures()), torch.optim.RMSprop(module.parameters(), lr=0.5 if broken else 2e-3))


def per_batch(broken, loss, with_loss=False):
    """A loop that moves the schedule with every batch, or leaves it to the epoch's end."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad(set_to_none=True)
        value = loss(module(inputs), targets)
        value.backward()
        optimizer.step()
        if broken:
            scheduler.step(value.item()) if with_loss else scheduler.step()

    return step


@fault("scheduler_per_batch", "CNN, StepLR")
def step_lr_of_three(broken):
    """`StepLR(step_size=3)`, meant for epochs."""
    module = plain_cnn()
    optimizer = SGD(module.parameters(), lr=0.05, momentum=0.9)
    step = per_batch(broken, F.cross_entropy)
    return picture_kit(module, optimizer=optimizer, scheduler=lr_scheduler.StepLR(optimizer, 3), step=step)


@fault("scheduler_per_batch", "WaveNet, ExponentialLR")
def exponential_of_a_half(broken):
    """`ExponentialLR(gamma=0.5)`, meant for epochs."""
    module = WaveNet()
    optimizer = Adam(module.parameters(), lr=3e-3)
    return sentences_model(
        module, optimizer=optimizer, scheduler=lr_scheduler.ExponentialLR(optimizer, 0.5), step=per_batch(broken, by_word)
    )


@fault("scheduler_per_batch", "MLP on a table, PolynomialLR")
def polynomial_of_ten_epochs(broken):
    """`PolynomialLR(total_iters=10)`: at 0 after ten batches, for good."""
    module = mlp(6, 64, 64, 1)
    optimizer = Adam(module.parameters(), lr=3e-3)
    scheduler = lr_scheduler.PolynomialLR(optimizer, total_iters=10)
    return kit(module, F.mse_loss, tables(), optimizer, scheduler=scheduler, step=per_batch(broken, F.mse_loss))


@fault("scheduler_per_batch", "ViT, ReduceLROnPlateau", debatable=True)
def plateau_of_two_batches(broken):
    """`ReduceLROnPlateau(patience=1)` is shown every batch's loss. Debatable: it depends on how the losses of batches happen to fall."""
    module = ViT()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=1)
    batches = pictures(batch=4, count=24, noise=1.0)
    return picture_kit(module, batches, optimizer=optimizer, scheduler=scheduler, step=per_batch(broken, F.cross_entropy, True))


# What is done with gradients


@fault("clipped_away", "U-Net, SGD")
def norm_clipped_to_a_ten_thousandth(broken):
    """`clip_grad_norm_(parameters, 1e-4)` before a plain descent."""
    module = UNet()
    step = plain(F.cross_entropy, clip=1e-4 if broken else 1.0)
    return kit(module, F.cross_entropy, scenes(), SGD(module.parameters(), lr=0.2), step=step)


@fault("clipped_away", "seq-first LSTM language model, SGD with momentum")
def values_clipped_to_a_millionth(broken):
    """`clip_grad_value_(parameters, 1e-6)`."""

    def step(module, optimizer, scheduler, ids, targets):
        module.zero_grad()
        by_word(module(ids), targets).backward()
        nn.utils.clip_grad_value_(module.parameters(), 1e-6 if broken else 1.0)
        optimizer.step()

    module = WordRNN("LSTM")
    return kit(module, by_word, reading(seq_first=True), SGD(module.parameters(), lr=1.0, momentum=0.9), step=step)


@fault("clipped_away", "wrapped branches, Adam")
def clipped_below_the_epsilon_of_adam(broken):
    """`max_norm=1e-10`: even Adam, which divides by the size of gradients, adds 1e-8 to it."""
    module = Wrapped()
    return sentences_model(module, optimizer=Adam(module.parameters(), lr=3e-3), step=plain(by_word, clip=1e-10 if broken else 1.0))


@fault("underflow", "MLP on pictures in float16")
def half_with_a_loss_scaled_down(broken):
    """`.half()`, and a loss per pixel of the whole data set: its gradients are below the smallest number of 16 bits."""
    module = nn.Sequential(nn.Flatten(), mlp(64, 32, 4))
    batches = pictures()

    def loss(out, kinds):
        return F.cross_entropy(out.float(), kinds) / 3e6

    if broken:
        module, batches = module.half(), [(x.half(), kinds) for x, kinds in batches]
    return kit(module, loss, batches, SGD(module.parameters(), lr=3e4, momentum=0.9))


@fault("underflow", "MLP autoencoder in bfloat16, Adam")
def updates_below_a_bfloat16(broken):
    """`module.to(torch.bfloat16)`: the updates are below the distance of neighbouring weights and round to nothing."""
    module = nn.Sequential(nn.Flatten(), mlp(64, 16, 64), nn.Unflatten(1, (1, 8, 8)))
    batches = themselves(pictures(noise=0.1))
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.5 * torch.sign(torch.randn_like(weight)))
    if broken:
        module, batches = module.to(torch.bfloat16), [(x.bfloat16(), x.bfloat16()) for x, _ in batches]
    optimizer = Adam(module.parameters(), lr=5e-4)
    return kit(module, lambda out, x: F.mse_loss(out.float(), x.float()), batches, optimizer)


@fault("underflow", "MLP with several labels, autocast to float16")
def autocast_to_float16_without_a_scaler(broken):
    """float16 in the forward pass, a small loss weight, and no GradScaler: what passes through the matrices rounds to 0."""

    def step(module, optimizer, scheduler, x, y):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16, enabled=broken):
            out = module(x)
        loss(out, y).backward()
        optimizer.step()

    def loss(out, y):
        return 1e-6 * F.binary_cross_entropy_with_logits(out.float(), y)

    module = mlp(8, 32, 32, 5)
    return kit(module, loss, tags(), Adam(module.parameters(), lr=3e-3, eps=1e-12), step=step)


@fault("accumulation", "model of a hub, SGD, a counter")
def summed_and_never_divided(broken):
    """Eight batches are added up before a step, and the loss is not divided by eight."""
    seen = {"batches": 0}

    def step(module, optimizer, scheduler, inputs, targets):
        loss = by_word(module(inputs).logits, targets)
        (loss if broken else loss / 8).backward()
        seen["batches"] += 1
        if seen["batches"] % 8 == 0:
            optimizer.step()
            optimizer.zero_grad()

    module = HubLM()
    batches = [({"input_ids": ids}, labels) for ids, labels in reading(count=8)]
    loss = lambda out, targets: by_word(out.logits, targets)  # noqa: E731
    return kit(module, loss, batches, SGD(module.parameters(), lr=0.3, momentum=0.9), step=step)


@fault("accumulation", "ResNet, Adam, a counter")
def zeroed_at_every_batch(broken):
    """`zero_grad()` stands at the top of the loop, `step()` only at every fourth batch: three quarters are thrown away."""
    seen = {"batches": 0}

    def step(module, optimizer, scheduler, images, labels):
        if broken or seen["batches"] % 4 == 0:
            optimizer.zero_grad()
        (F.cross_entropy(module(images), labels) / 4).backward()
        seen["batches"] += 1
        if seen["batches"] % 4 == 0:
            optimizer.step()

    module = ResNet()
    return picture_kit(module, pictures(count=8), optimizer=Adam(module.parameters(), lr=3e-3), step=step)


@fault("accumulation", "MLP-Mixer, AdamW, a loop over chunks")
def zeroed_inside_the_loop_over_chunks(broken):
    """A batch is cut into four; `zero_grad()` slipped into the loop, and only the last quarter counts."""

    def step(module, optimizer, scheduler, images, labels):
        optimizer.zero_grad()
        for part, kinds in zip(images.chunk(4), labels.chunk(4), strict=True):
            if broken:
                optimizer.zero_grad()
            (F.cross_entropy(module(part), kinds) / 4).backward()
        optimizer.step()

    return picture_kit(Mixer(), step=step)


@fault("accumulation", "MLP on a table, SGD, a loop over chunks")
def chunks_added_and_never_divided(broken):
    """Sixteen chunks of a batch, each with the mean of its own, are added up."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        for x, y in zip(inputs.split(2), targets.split(2), strict=True):
            loss = F.mse_loss(module(x), y)
            (loss if broken else loss * len(x) / len(inputs)).backward()
        optimizer.step()

    module = mlp(6, 32, 1, act=nn.Tanh)
    return kit(module, F.mse_loss, tables(), SGD(module.parameters(), lr=0.1), step=step)


# What the optimizer holds


@fault("stale_optimizer", "ResNet with a new head")
def head_replaced_behind_the_optimizer(broken):
    """`module.fc = nn.Linear(...)` after the optimizer was made."""
    module = ResNet(classes=10)
    if not broken:
        module.fc = nn.Linear(32, 4)
    optimizer = SGD(module.parameters(), lr=0.05, momentum=0.9)
    if broken:
        module.fc = nn.Linear(32, 4)
    return picture_kit(module, optimizer=optimizer)


@fault("stale_optimizer", "seq-first LSTM language model")
def words_added_behind_the_optimizer(broken):
    """The vocabulary grew, embedding and output were replaced, and the optimizer holds the old ones."""
    module = WordRNN("LSTM")
    before = Adam(module.parameters(), lr=1e-2)
    module.encoder, module.decoder = nn.Embedding(WORDS + 1, 32), nn.Linear(32, WORDS + 1)
    return kit(module, by_word, reading(seq_first=True), before if broken else Adam(module.parameters(), lr=1e-2))


@fault("stale_optimizer", "einsum attention on raw parameters")
def copied_behind_the_optimizer(broken):
    """`module = copy.deepcopy(module)` for safety, and the optimizer trains the other one."""
    module = EinsumLM()
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    return sentences_model(copy.deepcopy(module) if broken else module, optimizer=optimizer)


@fault("stale_optimizer", "MLP with weight norm")
def weight_norm_behind_the_optimizer(broken):
    """`weight_norm` replaces a weight by two others; it came after the optimizer."""
    module = mlp(6, 32, 32, 1, act=nn.Tanh)
    before = Adam(module.parameters(), lr=3e-3)
    for number in (0, 2, 4):
        nn.utils.parametrizations.weight_norm(module[number])
    return kit(module, F.mse_loss, tables(), before if broken else Adam(module.parameters(), lr=3e-3))


@fault("stale_optimizer", "CNN loaded with assign=True")
def loaded_with_assign_behind_the_optimizer(broken):
    """`load_state_dict(saved, assign=True)` puts new parameters in place of those the optimizer was given."""
    module = plain_cnn()
    before = SGD(module.parameters(), lr=0.05, momentum=0.9)
    module.load_state_dict({name: value.clone() for name, value in module.state_dict().items()}, assign=broken)
    return picture_kit(module, optimizer=before)
