"""A last examination of the doctor: trainings with nothing wrong, many of which look odd at first sight, and three larger ones."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, Adam, AdamW, lr_scheduler

from benchmarks.torch_setups.last_exam_parts import (
    ClassFirst,
    ConvNet,
    Forecast,
    LibraryLM,
    LowRank,
    PatchNet,
    Perceptron,
    PocketGPT,
    Ratings,
    RotaryLM,
    SentenceEncoder,
    SlopedLM,
    TwoWays,
    WordRNN,
    clusters,
    enter,
    full,
    given,
    loop,
    masked_loss,
    measurements,
    pictures,
    ragged,
    reading,
    reviews,
    small_resnet,
    word_loss,
)

SOUND = []
classes_loss = nn.CrossEntropyLoss()
mse = nn.MSELoss()
GPT, ROTARY, LIBRARY = "decoder, learned positions", "decoder, rotary", "decoder from nn.TransformerEncoder"
ENCODER, RECURRENT, CNN, MLP, REGRESSION = "encoder", "recurrent", "CNN", "MLP for classes", "MLP for regression"


def sound(architecture, why=""):
    """Put a builder among the sound ones."""
    return enter(SOUND, architecture, None, why)


def used(arguments, steps=100):
    """The same training after some steps of its own loop."""
    for i in range(steps):
        x, y = arguments["batches"][i % len(arguments["batches"])]
        arguments["step"](arguments["module"], arguments["optimizer"], arguments.get("scheduler"), x, y)
    return arguments


# --- decoders ---------------------------------------------------------------------------------------------------


@sound(GPT)
def _gpt_plain():
    return full(PocketGPT(310, width=48), word_loss, reading(310, 12, 29), clip=1.0)


@sound(GPT)
def _gpt_dropout_decay_cosine():
    model = PocketGPT(180, width=64, drop=0.1)
    optimizer = AdamW(model.parameters(), 3e-3, weight_decay=0.1, betas=(0.9, 0.95))
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=400)
    return full(model, word_loss, reading(180, 10, 32), optimizer=optimizer, scheduler=cosine, clip=1.0)


@sound(GPT)
def _gpt_tied_warm_up_from_zero():
    model = PocketGPT(265, width=48, depth=3, tie="yes")
    optimizer = AdamW(model.parameters(), 4e-3)
    warm = lr_scheduler.LambdaLR(optimizer, lambda s: min(s / 25, 1.0))
    return full(model, word_loss, reading(265, 14, 24), optimizer=optimizer, scheduler=warm)


@sound(GPT)
def _gpt_random_words_of_5000():
    random = torch.randint(5000, (20, 21))
    return full(PocketGPT(5000, width=64), word_loss, [(part[:, :-1], part[:, 1:]) for part in random.split(10)])


@sound(GPT)
def _gpt_loss_shifts():
    def loss(logits, words):
        return word_loss(logits[:, :-1], words[:, 1:])

    return full(PocketGPT(340, width=48), loss, [(x, x) for x, _ in reading(340, 12, 27)])


@sound(GPT)
def _gpt_answers_only():
    data = [(x, y.masked_fill(torch.arange(30) < 10, -100)) for x, y in reading(120, 12, 30)]
    return full(PocketGPT(120, width=48), word_loss, data)


@sound(GPT)
def _gpt_autocast():
    return full(PocketGPT(230, width=64), word_loss, reading(230, 10, 26), amp=torch.bfloat16, clip=1.0)


@sound(GPT)
def _gpt_four_pieces():
    return full(PocketGPT(144, width=40), word_loss, reading(144, 16, 22), pieces=4)


@sound(GPT)
def _gpt_head_of_zeros():
    model = PocketGPT(290, width=56)
    nn.init.zeros_(model.head.weight)
    return full(model, word_loss, reading(290, 11, 25))


@sound(GPT)
def _gpt_blocks_start_as_identity():
    model = PocketGPT(155, width=48, depth=3)
    for block in model.blocks:
        nn.init.zeros_(block.attn.out.weight)
        nn.init.zeros_(block.mlp[2].weight)
    return full(model, word_loss, reading(155, 10, 30), clip=1.0)


@sound(GPT)
def _gpt_very_small():
    return given(PocketGPT(20, width=16, depth=1, heads=2), word_loss, reading(20, 4, 12, fan=2), keep=False)


@sound(GPT)
def _gpt_silu_two_groups():
    model = PocketGPT(200, width=48, act=nn.SiLU)
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    return full(model, word_loss, reading(200, 9, 28), optimizer=AdamW(groups, lr=3e-3))


@sound(GPT)
def _gpt_after_100_steps():
    return used(full(PocketGPT(70, width=32, depth=1), word_loss, reading(70, 8, 16), clip=1.0))


@sound(GPT)
def _gpt_label_smoothing():
    def loss(logits, words):
        return F.cross_entropy(logits.flatten(0, 1), words.flatten(), label_smoothing=0.1)

    return full(PocketGPT(96, width=48), loss, reading(96, 12, 20, fan=2))


@sound(GPT)
def _gpt_one_cycle():
    model = PocketGPT(220, width=48, act=nn.ReLU)
    optimizer = Adam(model.parameters())
    cycle = lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=500)
    return full(model, word_loss, reading(220, 12, 24), optimizer=optimizer, scheduler=cycle)


@sound(GPT)
def _gpt_low_rank_adapters():
    model = PocketGPT(100, width=48, std=0.1).requires_grad_(False)
    for block in model.blocks:
        block.attn.qkv, block.attn.out = LowRank(block.attn.qkv), LowRank(block.attn.out)
        block.mlp[0], block.mlp[2] = LowRank(block.mlp[0]), LowRank(block.mlp[2])
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    return full(model, word_loss, reading(100, 12, 20, fan=2), optimizer=optimizer)


@sound(GPT)
def _gpt_given_embeddings_kept():
    model = PocketGPT(250, width=64, std=0.05)
    model.tok.weight.requires_grad = False
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    return full(model, word_loss, reading(250, 10, 24), optimizer=optimizer)


@sound(GPT)
def _gpt_batch_of_128():
    return full(PocketGPT(64, width=32, depth=1), word_loss, reading(64, 128, 14, count=2))


@sound(GPT)
def _gpt_class_axis_second():
    return full(ClassFirst(PocketGPT(130, width=48)), nn.CrossEntropyLoss(), reading(130, 12, 22))


@sound(GPT)
def _gpt_half_with_scaler():
    scaler = torch.amp.GradScaler("cpu")

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.float16):
            loss = word_loss(module(inputs), targets)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()

    model = PocketGPT(110, width=32)
    return given(model, word_loss, reading(110, 8, 18), AdamW(model.parameters(), 3e-3), step=step)


@sound(ROTARY)
def _rotary_plain():
    return full(RotaryLM(380, width=64), word_loss, reading(380, 9, 26), clip=1.0)


@sound(ROTARY)
def _rotary_six_layers_random_words():
    random = torch.randint(60, (24, 19))
    return full(RotaryLM(60, width=128, depth=6), word_loss, [(p[:, :-1], p[:, 1:]) for p in random.split(8)], rate=2e-3, clip=1.0)


@sound("decoder, distance penalty, shared keys, tied by use")
def _sloped_post_norm():
    return full(SlopedLM(170, 64, 2, 4), word_loss, reading(170, 12, 28), rate=2e-3, clip=1.0)


@sound(LIBRARY)
def _library_post_norm_dropout():
    return full(LibraryLM(190, width=64, heads=4, drop=0.1), word_loss, reading(190, 14, 20), rate=1e-3)


@sound(LIBRARY)
def _library_padding_ignored():
    return full(LibraryLM(210, width=48, pad=0, pre=True), masked_loss(0), ragged(210, 16, 24, pad=0))


# --- encoders ---------------------------------------------------------------------------------------------------


@sound("encoder")
def _masked_words():
    data = []
    for text, _ in reading(90, 16, 20, fan=1):
        hidden = torch.rand(text.shape) < 0.2
        data.append((text.masked_fill(hidden, 90), text.masked_fill(~hidden, -100)))
    return full(SentenceEncoder(91, 90, width=64, each=True), word_loss, data)


@sound(ENCODER)
def _tags_of_words():
    data = [(text, (text + text.roll(-1, 1)) % 7) for text, _ in reading(40, 20, 18)]
    return full(SentenceEncoder(40, 7, width=48, each=True), word_loss, data)


@sound(ENCODER)
def _two_classes_weighted():
    loss = nn.CrossEntropyLoss(weight=torch.tensor([0.4, 1.6]))
    return full(SentenceEncoder(300, 2, drop=0.1), loss, reviews(300, 2, 26, 24), rate=1e-3)


@sound(ENCODER)
def _hundred_classes_padded():
    data = []
    for text, label in reviews(800, 100, 40, 22):
        ends = torch.randint(10, 23, (len(text), 1))
        data.append(((text + 1).masked_fill(torch.arange(22) >= ends, 0), label))
    return full(SentenceEncoder(801, 100, width=64, pad=0), classes_loss, data, rate=2e-3)


@sound(ENCODER)
def _repairs_noisy_text():
    data = []
    for text, _ in reading(75, 14, 24, fan=2):
        spoiled = torch.rand(text.shape) < 0.2
        data.append((torch.where(spoiled, torch.randint_like(text, 75), text), text))
    return full(SentenceEncoder(75, 75, width=48, each=True), word_loss, data)


@sound(ENCODER)
def _next_word_from_a_window():
    data = [(x, y[:, -1]) for x, y in reading(50, 48, 9, fan=2)]
    return full(SentenceEncoder(50, 50, width=48), classes_loss, data, rate=2e-3)


@sound(ENCODER)
def _share_of_a_word():
    data = [(x, (x < 10).float().mean(1, keepdim=True)) for x, _ in reading(45, 32, 16)]
    return full(SentenceEncoder(45, 1, width=32), mse, data, rate=1e-3)


@sound(ENCODER)
def _lower_blocks_kept():
    model = SentenceEncoder(220, 10, depth=3)
    for part in (model.words, model.blocks[0], model.blocks[1]):
        part.requires_grad_(False)
    model.places.requires_grad = False
    optimizer = Adam([*model.blocks[2].parameters(), *model.classify.parameters()], lr=2e-3)
    return full(model, classes_loss, reviews(220, 10, 24, 20), optimizer=optimizer)


@sound("vision transformer")
def _patches():
    return full(PatchNet(10), classes_loss, pictures(10, 24), rate=1e-3)


# --- recurrent --------------------------------------------------------------------------------------------------


@sound(RECURRENT)
def _lstm_rate_20_clipped():
    model = WordRNN(100, width=64, depth=2, drop=0.2)
    return full(model, word_loss, reading(100, 20, 24, fan=2), optimizer=SGD(model.parameters(), lr=20.0), clip=0.25)


@sound(RECURRENT)
def _gru_tied():
    model = WordRNN(185, width=64, kind=nn.GRU)
    nn.init.normal_(model.emb.weight, std=0.1)
    model.out.weight = model.emb.weight
    return full(model, word_loss, reading(185, 12, 22), clip=1.0)


@sound("BiLSTM")
def _two_way_tags():
    data = [(text, (text * 3 + text.roll(-1, 1)) % 5) for text, _ in reading(60, 16, 20)]
    return full(TwoWays(60, 32, 5), word_loss, data)


@sound("BiLSTM")
def _two_way_sentiment():
    data = [(text + 1, label[:, None].float()) for text, label in reviews(250, 2, 28, 20)]
    return full(TwoWays(251, 32, 1, each=False), nn.BCEWithLogitsLoss(), data)


@sound("GRU for regression")
def _waves():
    t = torch.rand(160, 1) * 6 + torch.arange(26) * (0.2 + 0.3 * torch.rand(160, 1))
    wave = torch.sin(t)[..., None] + 0.02 * torch.randn(160, 26, 1)
    return full(Forecast(40), mse, list(zip(wave[:, :-1].split(40), wave[:, -1].split(40), strict=True)))


@sound(RECURRENT, "words run along the first axis and examples along the second; nothing in the arguments says so but the model")
def _lstm_time_first():
    data = [(x.T, y.T) for x, y in reading(140, 12, 25)]
    return full(WordRNN(140, width=48, batch_first=False), word_loss, data)


@sound(RECURRENT)
def _lstm_last_word_is_padding():
    return full(WordRNN(181, width=48), masked_loss(180), ragged(181, 12, 30, pad=180))


# --- images -----------------------------------------------------------------------------------------------------


@sound(CNN)
def _cnn_momentum_decay():
    model = ConvNet(10)
    return full(model, classes_loss, pictures(10, 32), optimizer=SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4))


@sound("residual CNN")
def _resnet_hundred_classes():
    model = small_resnet(100, width=32)
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, 300)
    return full(model, classes_loss, pictures(100, 40), optimizer=optimizer, scheduler=cosine)


@sound("residual CNN")
def _resnet_zero_gamma():
    return full(small_resnet(10, zero=True), classes_loss, pictures(10, 24), rate=2e-3)


@sound(CNN)
def _cnn_two_classes_bce():
    return full(ConvNet(1), nn.BCEWithLogitsLoss(), [(x, y[:, None].float()) for x, y in pictures(2, 30)], rate=1e-3)


@sound(CNN)
def _cnn_channel_dropout_no_norm():
    parts = (nn.Conv2d(3, 24, 5, stride=2), nn.SiLU(), nn.Dropout2d(0.1), nn.Conv2d(24, 32, 3, stride=2), nn.SiLU(), nn.MaxPool2d(2))
    return full(nn.Sequential(*parts, nn.Flatten(), nn.Linear(288, 10)), classes_loss, pictures(10, 20), rate=2e-3)


@sound(CNN)
def _cnn_given_features_kept():
    model = ConvNet(10)
    model.stem.requires_grad_(False)
    optimizer = SGD([*model.body.parameters(), *model.fc.parameters()], lr=0.05, momentum=0.9)
    return full(model, classes_loss, pictures(10, 26), optimizer=optimizer)


@sound("convolutional autoencoder")
def _cnn_gives_images_back():
    down = (nn.Conv2d(3, 16, 4, stride=4), nn.GELU(), nn.Conv2d(16, 24, 2, stride=2), nn.GELU())
    up = (nn.ConvTranspose2d(24, 16, 2, stride=2), nn.GELU(), nn.ConvTranspose2d(16, 3, 4, stride=4))
    return full(nn.Sequential(*down, *up), mse, [(x, x) for x, _ in pictures(6, 24)])


@sound(CNN)
def _cnn_schedule_per_epoch():
    model = ConvNet(10, width=12)
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9)
    step = loop(classes_loss)  # the scheduler takes its step after each epoch, elsewhere
    return given(model, classes_loss, pictures(10, 30), optimizer, lr_scheduler.StepLR(optimizer, 10, 0.1), step)


@sound(CNN)
def _cnn_autocast_smoothed():
    return full(ConvNet(10), nn.CrossEntropyLoss(label_smoothing=0.1), pictures(10, 16), rate=2e-3, amp=torch.bfloat16)


# --- tables -----------------------------------------------------------------------------------------------------


@sound(MLP)
def _mlp_hundred_classes_dropout():
    parts = (nn.Linear(48, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 100))
    return full(nn.Sequential(*parts), classes_loss, clusters(100, 48, 96))


@sound(MLP)
def _mlp_log_probabilities():
    return full(Perceptron(22, 64, 64, 10, last=nn.LogSoftmax(dim=-1)), nn.NLLLoss(), clusters(10, 22, 33))


@sound(MLP)
def _mlp_weighted_slow_decay():
    model = Perceptron(18, 80, 4, act=torch.tanh)
    optimizer = SGD(model.parameters(), 0.2, momentum=0.8)
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5, 1.0]))
    return full(model, loss, clusters(4, 18, 64), optimizer=optimizer, scheduler=lr_scheduler.ExponentialLR(optimizer, 0.999))


@sound("MLP for several labels")
def _mlp_several_labels():
    x = torch.randn(200, 20)
    y = (x @ torch.randn(20, 6) > 1.0).float()
    return full(Perceptron(20, 60, 6), nn.BCEWithLogitsLoss(), list(zip(x.split(40), y.split(40), strict=True)))


@sound(MLP)
def _mlp_pieces_of_256():
    model = Perceptron(32, 96, 10)
    return full(model, classes_loss, clusters(10, 32, 256), optimizer=SGD(model.parameters(), 0.2), pieces=8)


@sound(REGRESSION)
def _regression_smooth_l1():
    model = Perceptron(14, 72, 72, 1, act=F.silu)
    return full(model, nn.SmoothL1Loss(), measurements(14, 45), optimizer=AdamW(model.parameters(), 2e-3, weight_decay=0.05))


@sound(REGRESSION)
def _regression_after_100_steps():
    return used(full(Perceptron(6, 40, 40, 1), mse, measurements(6, 64), rate=2e-3))


@sound(REGRESSION)
def _regression_starts_at_zero():
    model = Perceptron(11, 56, 56, 1, act=F.gelu)
    nn.init.zeros_(model.layers[-1].weight)
    nn.init.zeros_(model.layers[-1].bias)
    return full(model, mse, measurements(11, 50))


@sound("MLP autoencoder")
def _mlp_gives_vectors_back():
    data = [(x, x) for x, _ in clusters(5, 36, 50)]
    return full(Perceptron(36, 24, 8, 24, 36, act=torch.tanh), mse, data, rate=5e-3)


@sound("factor model for regression")
def _ratings():
    pairs = torch.stack((torch.randint(30, (256,)), torch.randint(50, (256,))), 1)
    stars = (torch.randn(30, 3)[pairs[:, 0]] * torch.randn(50, 3)[pairs[:, 1]]).sum(1, keepdim=True)
    data = list(zip(pairs.split(64), stars.split(64), strict=True))
    return full(Ratings(30, 50, 16), mse, data, rate=1e-2)


# --- larger ones: about five million parameters, 16 x 64 words ----------------------------------------------------


@sound(GPT)
def _large_gpt():
    model = PocketGPT(1100, width=256, depth=6, heads=8, drop=0.1, tie="yes")
    return full(model, word_loss, reading(1100, 16, 64, count=3), rate=5e-4, clip=1.0)


@sound(ROTARY)
def _large_rotary_autocast():
    model = RotaryLM(1500, width=256, depth=7, heads=8)
    return full(model, word_loss, reading(1500, 16, 64, count=3), rate=5e-4, amp=torch.bfloat16)


@sound(ENCODER)
def _large_encoder():
    model = SentenceEncoder(4000, 20, width=256, depth=8, heads=8)
    return full(model, classes_loss, reviews(4000, 20, 16, 64, count=3), rate=2e-4)
