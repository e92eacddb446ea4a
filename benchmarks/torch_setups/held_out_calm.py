"""Trainings with no fault, of pictures and codes, each with something that looks like one."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler

from benchmarks.torch_setups.held_out_models import kit, plain, recorder, train
from benchmarks.torch_setups.held_out_nets import (
    VAE,
    BasicBlock,
    Codes,
    Mixer,
    ResNet,
    UNet,
    ViT,
    coded,
    elbo,
    mlp,
    picture_kit,
    pictures,
    plain_cnn,
    scenes,
    themselves,
)

CALM_PICTURES = []
_, sound = recorder(CALM_PICTURES)
SGD, Adam, AdamW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW


# Pictures


@sound("ResNet, SGD with Nesterov momentum, OneCycleLR")
def last_norm_of_each_branch_at_zero():
    """The last BatchNorm of each branch starts with a gain of 0: at first the branches give nothing."""
    module = ResNet(zero=True)
    optimizer = SGD(module.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    return picture_kit(module, optimizer=optimizer, scheduler=lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=1000))


@sound("plain CNN, six convolutions deep")
def no_skips_and_none_needed():
    """BatchNorm carries it."""
    return picture_kit(plain_cnn(depth=6))


@sound("ViT, AdamW, warm-up and cosine, label smoothing")
def vision_transformer():
    """A class token of zeros; no mask, since a picture has no order."""
    module = ViT(drop=0.1)
    optimizer = AdamW(module.parameters(), lr=3e-3, weight_decay=0.05)
    parts = [lr_scheduler.LinearLR(optimizer, 0.01, 1.0, 20), lr_scheduler.CosineAnnealingLR(optimizer, 1000)]
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    return picture_kit(module, loss=loss, optimizer=optimizer, scheduler=lr_scheduler.SequentialLR(optimizer, parts, [20]))


@sound("MLP-Mixer, StepLR per epoch")
def schedule_left_to_the_epochs_end():
    """`StepLR(step_size=3)` is not in the step: the loop moves it after each epoch."""
    module = Mixer()
    optimizer = AdamW(module.parameters(), lr=3e-3)
    return picture_kit(module, optimizer=optimizer, scheduler=lr_scheduler.StepLR(optimizer, 3), step=without_schedule(F.cross_entropy))


def without_schedule(loss):
    """The usual loop, which leaves the schedule alone."""

    def step(module, optimizer, scheduler, inputs, targets):
        return plain(loss)(module, optimizer, None, inputs, targets)

    return step


@sound("U-Net, class weights, some places unknown")
def unknown_places_of_255():
    """A tenth of all places is 255 and ignored, rightly."""
    batches = [(x, torch.where(torch.rand(kinds.shape) < 0.1, 255, kinds)) for x, kinds in scenes()]
    return kit(UNet(), nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 1.5]), ignore_index=255), batches)


@sound("U-Net for two classes, BCE and Dice")
def dice_of_the_whole_batch():
    """The Dice term sums over the batch; outputs (batch, 1, height, width)."""
    batches = [(x, (kinds > 0).float()[:, None]) for x, kinds in scenes()]

    def loss(out, to):
        p = torch.sigmoid(out)
        return F.binary_cross_entropy_with_logits(out, to) + 1 - 2 * (p * to).sum() / (p.sum() + to.sum() + 1)

    return kit(UNet(classes=1), loss, batches)


@sound("CNN with LogSoftmax and NLLLoss")
def log_probabilities_where_they_are_wanted():
    """`LogSoftmax(1)` and `NLLLoss` belong together."""
    return picture_kit(plain_cnn(4, 8, 2, 1, nn.LogSoftmax(1)), loss=nn.NLLLoss())


@sound("CNN with LogSoftmax and cross-entropy", debatable=True)
def logarithm_taken_twice():
    """The softmax of log-probabilities is the same again: nothing is lost. Debatable: it is one too many all the same."""
    return picture_kit(plain_cnn(4, 8, 2, 1, nn.LogSoftmax(1)))


@sound("CNN with dropout, focal loss, few of a kind")
def focal_loss():
    """Nine of ten pictures are of class 0, and the loss looks at the difficult ones."""
    batches = [(x, torch.where(torch.rand(kinds.shape) < 0.8, 0, kinds)) for x, kinds in pictures(batch=32)]
    batches = [(x + kinds[:, None, None, None] * 1.0, kinds) for x, kinds in batches]
    module = nn.Sequential(plain_cnn(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 4))
    nn.init.constant_(module[3].bias[:1].detach(), 2.0)

    def loss(out, kinds):
        each = F.cross_entropy(out, kinds, reduction="none")
        return ((1 - (-each).exp()) ** 2 * each).mean()

    return kit(module, loss, batches)


@sound("ResNet with a frozen backbone that has been trained")
def head_alone_is_given_to_the_optimizer():
    """A pretrained backbone is frozen and left out of the optimizer; only the new head learns."""
    batches = pictures()
    module = train(picture_kit(ResNet(), batches), 40)["module"].requires_grad_(False)
    module.fc = nn.Linear(32, 4)
    return picture_kit(module, batches, optimizer=Adam(module.fc.parameters(), lr=1e-2))


class DropPath(BasicBlock):
    """A block whose branch is left out at times, in training only."""

    def forward(self, x):
        """(batch, width, size, size), in and out."""
        return x if self.training and torch.rand(()) < 0.2 else super().forward(x)


@sound("ResNet with stochastic depth, handed over in eval mode")
def branches_left_out_at_random():
    """Whole branches are left out in training; then some weights have no gradient. `step` calls module.train() itself."""
    module = ResNet()
    module.layers = nn.Sequential(*[DropPath(8) for _ in range(3)])
    inner = plain(F.cross_entropy)

    def step(module, *rest):
        module.train()
        return inner(module, *rest)

    given = picture_kit(module.eval(), optimizer=SGD(module.parameters(), lr=0.05, momentum=0.9), step=step)
    return given


@sound("CNN after a hundred steps")
def loss_at_its_end():
    """It knows its pictures: gradients and loss are tiny."""
    return train(picture_kit(plain_cnn(), pictures(noise=1.5)), 100)


@sound("CNN with GroupNorm and spectral norm")
def one_picture_at_a_time():
    """Batches of a single picture, added up over eight; the spectral norm keeps vectors of its own."""
    seen = {"pictures": 0}
    normed = nn.utils.parametrizations.spectral_norm(nn.Conv2d(8, 8, 3))
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.GroupNorm(2, 8), nn.SiLU(), normed, nn.SiLU(), nn.Flatten(), nn.Linear(128, 4))

    def step(module, optimizer, scheduler, images, kinds):
        (F.cross_entropy(module(images), kinds) / 8).backward()
        seen["pictures"] += 1
        if seen["pictures"] % 8 == 0:
            optimizer.step()
            optimizer.zero_grad()

    return picture_kit(module, pictures(batch=1, count=16), optimizer=Adam(module.parameters(), lr=1e-2), step=step)


# Autoencoders and codes


@sound("variational autoencoder that draws in eval() too", debatable=True)
def noise_in_eval():
    """The code is drawn whenever the model runs; that is the model. Debatable only for who sees nothing but noise."""
    return kit(VAE(), elbo, themselves(pictures()))


@sound("variational autoencoder that draws in training only")
def noise_in_training():
    """In eval mode the code is its mean; the decoder's bias starts at the data's mean."""
    return kit(VAE(always=False), elbo, themselves(pictures()))


@sound("vector-quantised autoencoder")
def straight_through_the_codes():
    """`z + (nearest - z).detach()`, the codes pulled by their own loss."""
    return kit(Codes(), coded, themselves(pictures()))


@sound("convolutional autoencoder, targets are the inputs")
def pictures_again():
    """Down to a few numbers and up again."""
    down = [nn.Conv2d(1, 8, 4, stride=2, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(8, 4, 4, stride=2, padding=1)]
    up = [nn.ConvTranspose2d(4, 8, 2, stride=2), nn.LeakyReLU(0.1), nn.ConvTranspose2d(8, 1, 2, stride=2)]
    return kit(nn.Sequential(*down, *up), nn.L1Loss(), themselves(pictures()))


class Cleaner(nn.Module):
    """Adds noise in training, and takes it away."""

    def __init__(self):
        super().__init__()
        self.net = mlp(64, 64, 16, 64, act=nn.ELU)

    def forward(self, x):
        """(batch, 1, 8, 8), in and out."""
        noisy = x + 0.3 * torch.randn_like(x) if self.training else x
        return self.net(noisy.flatten(1)).view_as(x)


@sound("denoising autoencoder")
def noise_put_in_and_taken_out():
    """Noise in training only."""
    return kit(Cleaner(), nn.MSELoss(), themselves(pictures()))


class Modulated(nn.Module):
    """Tells the noise in a picture; the time's shift, scale and gate start at zero, and so does the output."""

    def __init__(self, width=64):
        super().__init__()
        self.inlet, self.norm, self.body = nn.Linear(64, width), nn.LayerNorm(width, elementwise_affine=False), mlp(width, 128, width)
        self.time, self.out = nn.Linear(8, 3 * width), nn.Linear(width, 64)
        for layer in (self.time, self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, pair):
        """Noisy pictures (batch, 64) and times (batch,) -> the noise (batch, 64)."""
        noisy, time = pair
        shift, scale, gate = self.time(torch.sin(time[:, None] * 2.0 ** torch.arange(8))).chunk(3, -1)
        x = self.inlet(noisy)
        return self.out(x + gate * self.body(self.norm(x) * (1 + scale) + shift))


@sound("diffusion model with modulation from zero, a tuple in")
def gates_and_output_at_zero():
    """The first output is exactly 0, and only the output layer has a gradient."""
    batches = []
    for x, _ in pictures():
        time, noise = torch.rand(len(x)), torch.randn(len(x), 64)
        batches.append((((1 - time[:, None]) * x.flatten(1) + time[:, None] * noise, time), noise))
    return kit(Modulated(), nn.MSELoss(), batches)
