"""Models and data of the held-out set-ups that are not of sequences: pictures, tables, pairs, codes."""

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_setups.held_out_models import kit

# Data


def pictures(batch=16, size=8, classes=4, count=6, channels=1, noise=0.5):
    """Pictures of a few kinds, a pattern with noise each: (batch, channels, size, size) and the kinds (batch,)."""
    patterns = torch.randn(classes, channels, size, size)
    pairs = []
    for _ in range(count):
        kinds = torch.randint(classes, (batch,))
        pairs.append((patterns[kinds] + noise * torch.randn(batch, channels, size, size), kinds))
    return pairs


def scenes(batch=6, size=8, count=6, classes=3):
    """Pictures of smooth heights, and for every place how high it is: (batch, 1, size, size), (batch, size, size)."""
    pairs = []
    for _ in range(count):
        heights = F.interpolate(torch.randn(batch, 1, 3, 3), size=size, mode="bilinear", align_corners=True)
        labels = (heights[:, 0] > -0.4).long() + (heights[:, 0] > 0.4).long()
        pairs.append((heights + 0.05 * torch.randn_like(heights), labels.clamp(max=classes - 1)))
    return pairs


def tables(batch=32, features=6, count=6, dtype=torch.float32, scale=1.0):
    """Rows of numbers and a smooth function of them: (batch, features), (batch, 1)."""
    weights = torch.randn(features, 1, dtype=dtype)
    pairs = []
    for _ in range(count):
        x = torch.randn(batch, features, dtype=dtype)
        y = x @ weights + torch.sin(2 * x[:, :1]) + 0.1 * torch.randn(batch, 1, dtype=dtype)
        pairs.append((scale * x, y))
    return pairs


def tags(batch=32, features=8, labels=5, count=6):
    """Rows, and several yes-or-no answers to each: (batch, features), (batch, labels)."""
    weights = torch.randn(features, labels)
    rows = [torch.randn(batch, features) for _ in range(count)]
    return [(x, (x @ weights > 0.5).float()) for x in rows]


def views(batch=16, features=8, count=6):
    """Two noisy views of each thing: a tuple of two (batch, features), and the number of each."""
    mixing, pairs = torch.randn(4, features), []
    for _ in range(count):
        things = torch.randn(batch, 4) @ mixing
        pairs.append(((things + 0.2 * torch.randn_like(things), things + 0.2 * torch.randn_like(things)), torch.arange(batch)))
    return pairs


def themselves(batches):
    """Batches whose targets are the inputs: the task of an autoencoder."""
    return [(x, x) for x, _ in batches]


# Nets


def mlp(*widths, act=nn.ReLU):
    """Linear layers with an activation between them."""
    layers = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), act()]
    return nn.Sequential(*layers[:-1])


def plain_cnn(classes=4, width=8, depth=2, channels=1, *end):
    """Convolutions without skips, in one Sequential; what is in ``end`` comes last."""
    layers = []
    for number in range(depth):
        layers += [nn.Conv2d(width if number else channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, classes), *end)


class BasicBlock(nn.Module):
    """Two convolutions with BatchNorm, and a skip."""

    def __init__(self, width, skip=True, zero=False):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.bn1, self.bn2, self.skip = nn.BatchNorm2d(width), nn.BatchNorm2d(width), skip
        if zero:
            nn.init.zeros_(self.bn2.weight)

    def forward(self, x):
        """(batch, width, size, size), in and out."""
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + x if self.skip else out)


class ResNet(nn.Module):
    """A small one: stem, blocks, mean, head."""

    def __init__(self, classes=4, width=8, depth=2, channels=1, **how):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.layers = nn.Sequential(*[BasicBlock(width, **how) for _ in range(depth)])
        self.fc = nn.Linear(4 * width, classes)

    def features(self, x):
        """(batch, channels, size, size) -> (batch, 4 width)."""
        return F.adaptive_avg_pool2d(self.layers(F.relu(self.bn(self.stem(x)))), 2).flatten(1)

    def forward(self, x):
        """(batch, channels, size, size) -> (batch, classes)."""
        return self.fc(self.features(x))


class UNet(nn.Module):
    """Down, up, and the fine picture beside the coarse one."""

    def __init__(self, classes=3, width=8):
        super().__init__()
        self.down, self.deep = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, 2 * width, 3, padding=1)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.last, self.head = nn.Conv2d(2 * width, width, 3, padding=1), nn.Conv2d(width, classes, 1)

    def forward(self, x):
        """(batch, 1, size, size) -> (batch, classes, size, size)."""
        fine = F.relu(self.down(x))
        coarse = F.relu(self.deep(F.max_pool2d(fine, 2)))
        return self.head(F.relu(self.last(torch.cat([fine, self.up(coarse)], 1))))


class ViTBlock(nn.Module):
    """Pre-norm attention and feed-forward; dropout inside the attention function."""

    def __init__(self, dim, heads=4, drop=0.0, heeds_mode=True):
        super().__init__()
        self.heads, self.drop, self.heeds_mode = heads, drop, heeds_mode
        self.norm1, self.norm2, self.qkv, self.proj = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = mlp(dim, 2 * dim, dim, act=nn.GELU)

    def forward(self, x):
        """(batch, patches, dim), in and out."""
        batch, time, dim = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        p = self.drop if self.training or not self.heeds_mode else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=p).transpose(1, 2).reshape(batch, time, dim)
        x = x + self.proj(mixed)
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Patches of four by four, a class token, learned places."""

    def __init__(self, classes=4, dim=32, depth=2, size=8, **how):
        super().__init__()
        self.patch, self.cls = nn.Conv2d(1, dim, 4, stride=4), nn.Parameter(torch.zeros(1, 1, dim))
        self.pos = nn.Parameter(torch.randn(1, 1 + (size // 4) ** 2, dim) * 0.02)
        self.blocks = nn.Sequential(*[ViTBlock(dim, **how) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, classes)

    def forward(self, x):
        """(batch, 1, size, size) -> (batch, classes)."""
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        return self.head(self.norm(self.blocks(x))[:, 0])


class MixerBlock(nn.Module):
    """An MLP over patches and one over features."""

    def __init__(self, patches, dim, skip=True):
        super().__init__()
        self.norm1, self.norm2, self.skip = nn.LayerNorm(dim), nn.LayerNorm(dim), skip
        self.tokens, self.channels = mlp(patches, 2 * patches, patches, act=nn.GELU), mlp(dim, 2 * dim, dim, act=nn.GELU)

    def forward(self, x):
        """(batch, patches, dim), in and out."""
        mixed = self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        x = x + mixed if self.skip else mixed
        mixed = self.channels(self.norm2(x))
        return x + mixed if self.skip else mixed


class Mixer(nn.Module):
    """MLP-Mixer on patches of two by two."""

    def __init__(self, classes=4, dim=24, depth=2, size=8, skip=True):
        super().__init__()
        self.patch = nn.Conv2d(1, dim, 2, stride=2)
        self.blocks = nn.Sequential(*[MixerBlock((size // 2) ** 2, dim, skip) for _ in range(depth)])
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, classes))

    def forward(self, x):
        """(batch, 1, size, size) -> (batch, classes)."""
        return self.head(self.blocks(self.patch(x).flatten(2).transpose(1, 2)).mean(1))


class VAE(nn.Module):
    """A variational autoencoder; draws its code always, or in training only."""

    def __init__(self, always=True, size=64, code=4):
        super().__init__()
        self.encoder, self.decoder, self.always = mlp(size, 32, 2 * code), mlp(code, 32, size), always

    def forward(self, x):
        """(batch, 1, 8, 8) -> what it drew (batch, 1, 8, 8), means and log variances (batch, code)."""
        mean, logvar = self.encoder(x.flatten(1)).chunk(2, 1)
        code = mean + torch.randn_like(mean) * (0.5 * logvar).exp() if self.training or self.always else mean
        return self.decoder(code).view_as(x), mean, logvar


def elbo(outputs, x, weight=0.05):
    """The loss of a variational autoencoder."""
    drawn, mean, logvar = outputs
    return F.mse_loss(drawn, x) - weight * 0.5 * (1 + logvar - mean**2 - logvar.exp()).mean()


class Codes(nn.Module):
    """A vector-quantised autoencoder; the gradient goes straight through the nearest code, unless it was forgotten."""

    def __init__(self, size=64, width=8, codes=16, straight=True):
        super().__init__()
        self.encoder, self.decoder, self.straight = mlp(size, 32, width), mlp(width, 32, size), straight
        self.codebook = nn.Embedding(codes, width)

    def forward(self, x):
        """(batch, 1, 8, 8) -> the picture and the two terms that pull codes and encoder together."""
        z = self.encoder(x.flatten(1))
        nearest = self.codebook(torch.cdist(z.detach(), self.codebook.weight.detach()).argmin(1))
        pull = F.mse_loss(nearest, z.detach())
        if self.straight:
            pull = pull + 0.25 * F.mse_loss(z, nearest.detach())
        used = z + (nearest - z).detach() if self.straight else nearest
        return self.decoder(used).view_as(x), pull


def coded(outputs, x):
    """The loss of a vector-quantised autoencoder."""
    return F.mse_loss(outputs[0], x) + outputs[1]


class LoRA(nn.Module):
    """A frozen matrix and a thin one that learns; the thin one starts at zero, since one of its halves does."""

    def __init__(self, base, rank=4, both_zero=False):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(torch.zeros(rank, base.in_features) if both_zero else torch.randn(rank, base.in_features) * 0.3)
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        """(..., in) -> (..., out)."""
        return self.base(x) + x @ self.A.t() @ self.B.t()


class Towers(nn.Module):
    """Two encoders and a learned temperature: pairs that belong together shall be alike."""

    def __init__(self, features=8, width=16):
        super().__init__()
        self.left, self.right = mlp(features, 32, width), mlp(features, 32, width)
        self.log_scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, pair):
        """Two (batch, features) -> two lists of unit vectors and a scale."""
        a, b = F.normalize(self.left(pair[0]), dim=-1), F.normalize(self.right(pair[1]), dim=-1)
        return {"left": a, "right": b, "scale": self.log_scale.exp()}


def info_nce(out, numbers):
    """Which of the batch belongs to which, both ways."""
    logits = out["scale"] * out["left"] @ out["right"].t()
    return (F.cross_entropy(logits, numbers) + F.cross_entropy(logits.t(), numbers)) / 2


class Experts(nn.Module):
    """A mixture of experts, each row to its best one, with a loss that spreads the rows."""

    def __init__(self, features=6, experts=4, top=1):
        super().__init__()
        self.gate, self.top = nn.Linear(features, experts), top
        self.experts = nn.ModuleList(mlp(features, 16, 1) for _ in range(experts))

    def forward(self, x):
        """(batch, features) -> (batch, 1) and the spreading loss."""
        shares = self.gate(x).softmax(-1)
        weights, chosen = shares.topk(self.top, -1)
        out = torch.zeros(len(x), 1, dtype=x.dtype)
        for number, expert in enumerate(self.experts):
            rows, slot = (chosen == number).nonzero(as_tuple=True)
            if len(rows):
                out = out.index_add(0, rows, weights[rows, slot, None] * expert(x[rows]))
        used = torch.stack([(chosen == number).float().mean() for number in range(len(self.experts))])
        return out, len(self.experts) * (used * shares.mean(0)).sum()


def picture_kit(module, batches=None, loss=F.cross_entropy, **rest):
    """The kit of a classifier of pictures."""
    return kit(module, loss, batches or pictures(), **rest)
