"""Trainings with no fault, of pairs and tables, each with something that looks like one."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler

from benchmarks.torch_setups.held_out_models import WORDS, by_word, classed, kit, plain, recorder, train
from benchmarks.torch_setups.held_out_nets import (
    Experts,
    LoRA,
    Towers,
    info_nce,
    mlp,
    pictures,
    tables,
    tags,
    views,
)

CALM_ROWS = []
_, sound = recorder(CALM_ROWS)
SGD, Adam, AdamW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW


# Pairs


@sound("two towers, InfoNCE, a learned temperature")
def other_examples_in_the_loss():
    """The loss compares each example with all others; the model does not."""
    return kit(Towers(), info_nce, views())


class Twins(nn.Module):
    """One encoder for both of a pair."""

    def __init__(self):
        super().__init__()
        self.encoder = mlp(8, 32, 8)

    def forward(self, pair):
        """Two (batch, 8) -> two (batch, 8)."""
        return self.encoder(pair[0]), self.encoder(pair[1])


@sound("siamese MLP, CosineEmbeddingLoss")
def alike_or_not():
    """Targets are 1 and -1."""
    batches = []
    for (a, b), _ in views():
        same = torch.rand(len(a)) < 0.5
        batches.append(((a, torch.where(same[:, None], b, b.roll(1, 0))), torch.where(same, 1.0, -1.0)))
    return kit(Twins(), lambda out, to: F.cosine_embedding_loss(*out, to, margin=0.2), batches)


@sound("embedding of tables, triplet loss within the batch")
def the_hardest_of_the_batch():
    """Anchors, friends and strangers are three parts of the batch; the targets are the kinds."""
    batches = [(x.flatten(1), kinds) for x, kinds in pictures(batch=24, noise=1.0)]

    def loss(out, kinds):
        far = torch.cdist(out, out)
        same = kinds[:, None] == kinds
        return F.relu(0.5 + (far * same).max(1).values - (far + 1e3 * same).min(1).values).mean()

    return kit(nn.Sequential(mlp(64, 32, 8)), loss, batches)


class Bootstrap(nn.Module):
    """An online net that foretells a slow copy of itself; no gradient enters the copy."""

    def __init__(self):
        super().__init__()
        self.online, self.predictor = mlp(8, 32, 8), mlp(8, 16, 8)
        self.slow = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, pair):
        """Two (batch, 8) -> two (batch, 8)."""
        with torch.no_grad():
            goal = self.slow(pair[1])
        return self.predictor(self.online(pair[0])), goal


@sound("BYOL: an online and a slow net")
def gradient_stopped_on_purpose():
    """A deep copy, `no_grad` and all, as its authors want it."""
    module = Bootstrap()

    def loss(out, _):
        return 1 - F.cosine_similarity(*out).mean()

    def step(module, optimizer, scheduler, pair, numbers):
        plain(loss)(module, optimizer, scheduler, pair, numbers)
        for slow, fast in zip(module.slow.parameters(), module.online.parameters(), strict=True):
            slow.data.mul_(0.99).add_(fast.data, alpha=0.01)

    weights = [*module.online.parameters(), *module.predictor.parameters()]
    return kit(module, loss, views(), Adam(weights, lr=3e-3), step=step)


class Pupil(nn.Module):
    """A small net that learns from a large frozen one inside."""

    def __init__(self):
        super().__init__()
        self.teacher, self.student = mlp(6, 64, 4).requires_grad_(False), mlp(6, 8, 4)

    def forward(self, x):
        """(batch, 6) -> two (batch, 4)."""
        with torch.no_grad():
            wise = self.teacher(x)
        return self.student(x), wise


@sound("distillation, a frozen teacher inside")
def teacher_without_gradient():
    """KL of softened probabilities; the teacher is left out of the optimizer."""
    module = Pupil()

    def loss(out, _):
        return 4 * F.kl_div((out[0] / 2).log_softmax(-1), (4 * out[1] / 2).softmax(-1), reduction="batchmean")

    return kit(module, loss, tables(), Adam(module.student.parameters(), lr=1e-2))


# Tables


@sound("MLP with BatchNorm1d, Huber, LinearLR from nearly 0")
def warm_up_over_twenty_batches():
    """The first rate is a hundred-thousandth of the last."""
    module = nn.Sequential(nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = Adam(module.parameters(), lr=1e-2)
    return kit(module, nn.HuberLoss(), tables(), optimizer, scheduler=lr_scheduler.LinearLR(optimizer, 1e-5, 1.0, 20))


@sound("MLP with three quantiles")
def pinball():
    """The loss leans to one side."""
    levels = torch.tensor([0.1, 0.5, 0.9])
    return kit(mlp(6, 32, 3), lambda out, y: torch.maximum(levels * (y - out), (levels - 1) * (y - out)).mean(), tables())


class MeanAndSpread(nn.Module):
    """Two heads."""

    def __init__(self):
        super().__init__()
        self.body, self.mean, self.logvar = nn.Sequential(nn.Linear(6, 32), nn.Tanh()), nn.Linear(32, 1), nn.Linear(32, 1)
        nn.init.zeros_(self.logvar.weight)

    def forward(self, x):
        """(batch, 6) -> two (batch, 1)."""
        h = self.body(x)
        return self.mean(h), self.logvar(h)


@sound("MLP with mean and variance, a tuple out")
def gaussian_likelihood():
    """The head of the variance starts at zero; the loss can fall below 0."""
    return kit(MeanAndSpread(), lambda out, y: F.gaussian_nll_loss(out[0], y, out[1].exp()), tables())


@sound("MLP with several labels, pos_weight")
def rare_labels_weighed():
    """`BCEWithLogitsLoss` on logits, as it wants."""
    return kit(mlp(8, 32, 5), nn.BCEWithLogitsLoss(pos_weight=torch.full((5,), 2.0)), tags())


@sound("MLP with counts, Poisson")
def counts():
    """The output is the logarithm of a rate."""
    batches = [(x, torch.poisson((0.4 * y).clamp(-2, 2).exp())) for x, y in tables()]
    return kit(mlp(6, 32, 1, act=nn.SiLU), nn.PoissonNLLLoss(), batches)


@sound("linear model on a table in hundreds, SGD")
def a_rate_that_only_looks_like_nothing():
    """The columns are in the hundreds, and a rate of 1e-6 is as much as they bear."""
    module = nn.Linear(6, 1)
    return kit(module, nn.MSELoss(), tables(scale=300.0), SGD(module.parameters(), lr=1e-6))


@sound("MLP, a loss that is a sum")
def sum_over_the_batch():
    """`reduction="sum"` and a rate to match."""
    module = mlp(6, 32, 1, act=nn.Tanh)
    return kit(module, nn.MSELoss(reduction="sum"), tables(), SGD(module.parameters(), lr=1e-3))


@sound("MLP in float64, L-BFGS", debatable=True)
def closure_called_many_times():
    """The optimizer calls the loss as often as it likes. Debatable: torch cannot copy this optimizer, so who needs a copy may decline."""
    module = mlp(6, 16, 1, act=nn.Tanh).double()

    def step(module, optimizer, scheduler, x, y):
        def closure():
            optimizer.zero_grad()
            loss = F.mse_loss(module(x), y)
            loss.backward()
            return loss

        return optimizer.step(closure)

    optimizer = torch.optim.LBFGS(module.parameters(), lr=0.5, max_iter=4)
    return kit(module, nn.MSELoss(), tables(batch=64, count=2, dtype=torch.float64), optimizer, step=step)


@sound("MLP with weight norm, ReduceLROnPlateau per epoch")
def plateau_at_the_epochs_end():
    """A counter in a closure tells where an epoch ends."""
    module = mlp(6, 32, 1, act=nn.Tanh)
    module[0] = nn.utils.parametrizations.weight_norm(module[0])
    optimizer, seen = Adam(module.parameters(), lr=1e-2), []

    def step(module, optimizer, scheduler, x, y):
        seen.append(plain(F.mse_loss)(module, optimizer, None, x, y))
        if len(seen) % 6 == 0:
            scheduler.step(sum(seen[-6:]) / 6)

    return kit(module, F.mse_loss, tables(), optimizer, scheduler=lr_scheduler.ReduceLROnPlateau(optimizer, patience=5), step=step)


@sound("mixture of experts, one for each row")
def experts_that_nobody_asked():
    """Each row sees its best expert only; an expert may have no row, and no gradient."""
    return kit(Experts(), lambda out, y: F.mse_loss(out[0], y) + 0.01 * out[1], tables())


@sound("LoRA on a frozen MLP")
def thin_matrices_from_zero():
    """B is zero, A is not; the base is frozen and left out of the optimizer."""
    batches = tables()
    base = train(kit(mlp(6, 32, 32, 1), nn.MSELoss(), batches), 100)["module"]
    module = nn.Sequential(*[LoRA(layer) if isinstance(layer, nn.Linear) else layer for layer in base])
    after = [(x, y + x[:, 1:2] * x[:, 2:3]) for x, y in batches]
    return kit(module, nn.MSELoss(), after, AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-2))


class Signs(nn.Module):
    """Weights of one bit; the gradient goes straight through the sign."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(6, 64), nn.Linear(64, 1)

    def forward(self, x):
        """(batch, 6) -> (batch, 1)."""
        weight = self.one.weight
        bits = weight + (weight.sign() * weight.abs().mean() - weight).detach()
        return self.two(torch.tanh(F.linear(x, bits, self.one.bias)))


@sound("MLP with weights of one bit")
def straight_through_the_sign():
    """A detach that stops nothing."""
    return kit(Signs(), nn.MSELoss(), tables())


@sound("MLP, GradScaler and autocast to float16")
def scaled_gradients():
    """The usual five lines of mixed precision, on the CPU; a first step may be left out."""
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    def step(module, optimizer, scheduler, x, y):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            loss = F.mse_loss(module(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()

    return kit(mlp(6, 32, 32, 1), nn.MSELoss(), tables(), step=step)


class Highway(nn.Module):
    """Gates that start nearly shut."""

    def __init__(self, width=32, depth=6):
        super().__init__()
        self.inlet, self.head = nn.Linear(6, width), nn.Linear(width, 1)
        self.way, self.gate = (nn.ModuleList(nn.Linear(width, width) for _ in range(depth)) for _ in range(2))
        for gate in self.gate:
            nn.init.constant_(gate.bias, -3.0)

    def forward(self, x):
        """(batch, 6) -> (batch, 1)."""
        x = self.inlet(x)
        for way, gate in zip(self.way, self.gate, strict=True):
            open_by = torch.sigmoid(gate(x))
            x = x + open_by * (torch.relu(way(x)) - x)
        return self.head(x)


@sound("highway network, biases of -3")
def gates_nearly_shut():
    """The gates' bias of -3 is the paper's own advice."""
    return kit(Highway(), nn.SmoothL1Loss(), tables())


@sound("MLP with two tasks, dicts in and out")
def two_tasks():
    """Inputs, outputs and targets are dicts, and one loss is the sum of two."""
    batches = [({"x": x}, {"value": y, "sign": (y > 0).float()}) for x, y in tables()]

    def loss(out, to):
        return F.mse_loss(out["value"], to["value"]) + 0.5 * F.binary_cross_entropy_with_logits(out["sign"], to["sign"])

    return kit(TwoHeads(), loss, batches)


class TwoHeads(nn.Module):
    """One body, two heads."""

    def __init__(self):
        super().__init__()
        self.body = mlp(6, 32, 32)
        self.heads = nn.ModuleDict({name: nn.Linear(32, 1) for name in ("value", "sign")})

    def forward(self, given):
        """A dict with x (batch, 6) -> a dict of two (batch, 1)."""
        h = self.body(given["x"]).relu()
        return {name: head(h) for name, head in self.heads.items()}


class Bags(nn.Module):
    """The mean of words, most of which a batch does not have."""

    def __init__(self):
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(200, 16, sparse=True), nn.Linear(16, 3)

    def forward(self, ids):
        """(batch, time) -> (batch, 3)."""
        return self.head(self.bag(ids))


@sound("bag of words with sparse gradients, SGD")
def words_that_did_not_come():
    """Gradients are sparse, and most rows of the embedding never move."""
    module = Bags()
    return kit(module, F.cross_entropy, classed(batch=32), SGD(module.parameters(), lr=0.5))


class Neighbours(nn.Module):
    """Two layers of a graph network; the rows are the nodes of one graph."""

    def __init__(self, links):
        super().__init__()
        self.one, self.two = nn.Linear(6, 16), nn.Linear(16, 3)
        self.register_buffer("links", links / links.sum(1, keepdim=True))

    def forward(self, x):
        """(nodes, 6) -> (nodes, 3)."""
        return self.two(self.links @ F.elu(self.one(self.links @ x)))


@sound("graph network, all nodes one batch", debatable=True)
def nodes_that_hear_their_neighbours():
    """Rows depend on one another, for they are no examples but nodes. Debatable: nothing but the links says so."""
    kinds = torch.arange(30) % 3
    links = torch.eye(30) + ((kinds[:, None] == kinds) & (torch.rand(30, 30) < 0.3)).float()
    x = torch.randn(3, 6)[kinds] + torch.randn(30, 6)
    module = Neighbours(links)
    return kit(module, F.cross_entropy, [(x, kinds)], Adam(module.parameters(), lr=1e-2, weight_decay=5e-4))


@sound("MLP by character, no padding, text of two")
def tiny_words_by_an_mlp():
    """Three letters tell the next; plain matrices, a tanh, and SGD."""
    batches = []
    for _ in range(6):
        ids = torch.randint(WORDS, (32, 3))
        batches.append((ids, (ids[:, 2] + 3) % WORDS))
    module = nn.Sequential(nn.Embedding(WORDS, 8), nn.Flatten(), mlp(24, 64, WORDS, act=nn.Tanh))
    return kit(module, by_word, batches, SGD(module.parameters(), lr=0.3))
