"""A last examination of the doctor: trainings with one fault each, two for every cause and three larger ones, written from the meanings."""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, Adam, AdamW, lr_scheduler

from benchmarks.torch_setups.last_exam_parts import (
    ConvNet,
    LibraryLM,
    Perceptron,
    PocketGPT,
    RotaryLM,
    SentenceEncoder,
    WordRNN,
    clusters,
    enter,
    full,
    given,
    loop,
    measurements,
    pictures,
    prose,
    ragged,
    reading,
    reviews,
    word_loss,
)

FAULTS = []
classes_loss = nn.CrossEntropyLoss()
mse = nn.MSELoss()
GPT, ROTARY, LIBRARY = "decoder, learned positions", "decoder, rotary", "decoder from nn.TransformerEncoder"
ENCODER, RECURRENT, CNN, MLP, REGRESSION = "encoder", "recurrent", "CNN", "MLP for classes", "MLP for regression"


def fault(architecture, cause, why=""):
    """Put a builder among the faults."""
    return enter(FAULTS, architecture, cause, why)


@fault(GPT, "no_causal_mask")
def _gpt_sees_all():
    return full(PocketGPT(310, width=48, sees="all"), word_loss, reading(310, 12, 29))


@fault(LIBRARY, "no_causal_mask")
def _library_lm_without_mask():
    model = LibraryLM(150, width=64, heads=4, mask="none")
    return given(model, word_loss, reading(150, 10, 21), Adam(model.parameters(), 1e-3), keep=False)


@fault(ROTARY, "transposed_mask")
def _rotary_flipped():
    return full(RotaryLM(420, flipped=True), word_loss, reading(420, 9, 26), clip=1.0)


@fault(LIBRARY, "transposed_mask")
def _library_lm_mask_turned():
    model = LibraryLM(88, width=48, heads=3, mask="wrong", pre=True)
    return given(model, word_loss, reading(88, 14, 18))


@fault(RECURRENT, "batch_mixed")
def _gru_without_batch_first():
    return full(WordRNN(260, width=40, kind=nn.GRU, batch_first=False), word_loss, reading(260, 11, 23))


@fault(CNN, "batch_mixed")
def _cnn_view_across_images():
    return full(ConvNet(10, mixup=True), classes_loss, pictures(10, 24), rate=1e-3)


@fault(GPT, "detached")
def _gpt_attention_detached():
    return full(PocketGPT(190, width=32, depth=3, cut=True), word_loss, reading(190, 13, 24))


@fault(REGRESSION, "detached")
def _regression_through_numpy():
    return full(Perceptron(9, 50, 50, 1, numpy=True), mse, measurements(9, 48))


@fault(MLP, "zero_weights")
def _mlp_all_zero():
    model = Perceptron(30, 64, 64, 7)
    for p in model.parameters():
        nn.init.zeros_(p)
    return full(model, classes_loss, clusters(7, 30, 40), optimizer=SGD(model.parameters(), 0.1, momentum=0.9))


@fault(GPT, "zero_weights")
def _gpt_zero_blocks():
    model = PocketGPT(230, width=40, depth=2)
    for part in model.blocks.modules():
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
    return full(model, word_loss, reading(230, 10, 28))


@fault(MLP, "dead_units")
def _mlp_relu_biases_far_down():
    model = Perceptron(24, 96, 48, 5)
    nn.init.constant_(model.layers[1].bias, -15.0)
    return full(model, classes_loss, clusters(5, 24, 36), rate=1e-3)


@fault(ENCODER, "dead_units")
def _encoder_relu_dead():
    model = SentenceEncoder(140, 4)
    for block in model.blocks:
        nn.init.constant_(block.ff[0].bias, -12.0)
    return full(model, classes_loss, reviews(140, 4, 18, 20), rate=1e-3)


@fault(RECURRENT, "saturated")
def _lstm_huge_weights():
    model = WordRNN(170, width=36)
    for p in model.rnn.parameters():
        nn.init.normal_(p, std=12.0)
    return full(model, word_loss, reading(170, 12, 22), clip=1.0)


@fault(MLP, "saturated")
def _tanh_on_raw_pixels():
    model = Perceptron(64, 80, 40, 6, act=torch.tanh)
    for layer in model.layers[:-1]:
        nn.init.normal_(layer.weight)
    raw = [((x * 40 + 128).clamp(0, 255), y) for x, y in clusters(6, 64, 30)]
    return full(model, classes_loss, raw, rate=1e-3)


@fault(GPT, "frozen")
def _gpt_blocks_frozen():
    model = PocketGPT(205, width=44)
    for p in model.blocks.parameters():
        p.requires_grad_(False)
    return full(model, word_loss, reading(205, 9, 31), rate=2e-3)


@fault(CNN, "frozen")
def _cnn_body_frozen():
    model = ConvNet(10)
    for p in (*model.stem.parameters(), *model.body.parameters()):
        p.requires_grad = False
    return full(model, classes_loss, pictures(10, 20), optimizer=SGD(model.parameters(), 0.05, momentum=0.9))


@fault(RECURRENT, "not_in_optimizer")
def _lstm_embedding_forgotten():
    model = WordRNN(330, width=52)
    optimizer = Adam([*model.rnn.parameters(), *model.out.parameters()], lr=4e-3)
    return full(model, word_loss, reading(330, 15, 20), optimizer=optimizer)


@fault(ROTARY, "not_in_optimizer")
def _rotary_layers_in_a_list():
    return full(RotaryLM(240, width=48, listed=True), word_loss, reading(240, 10, 27))


@fault(CNN, "double_softmax")
def _cnn_softmax_then_cross_entropy():
    return full(ConvNet(10, probs=nn.Softmax(dim=1)), classes_loss, pictures(10, 32), rate=1e-3)


@fault(MLP, "double_softmax")
def _sigmoid_then_bce_with_logits():
    data = [(x, y[:, None].float()) for x, y in clusters(2, 16, 44)]
    return full(Perceptron(16, 40, 40, 1, last=torch.sigmoid), nn.BCEWithLogitsLoss(), data)


@fault(GPT, "softmax_axis")
def _gpt_attention_softmax_over_queries():
    return full(PocketGPT(275, width=64, axis=-2), word_loss, reading(275, 8, 25))


@fault(CNN, "softmax_axis", "a softmax over the examples makes each depend on the others, so batch_mixed is true as well")
def _cnn_log_softmax_over_batch():
    return full(ConvNet(10, probs=nn.LogSoftmax(dim=0)), nn.NLLLoss(), pictures(10, 28), rate=2e-3)


@fault(GPT, "no_residual")
def _gpt_without_skips():
    return full(PocketGPT(350, width=48, depth=6, skip=False), word_loss, reading(350, 10, 24))


@fault(ENCODER, "no_residual")
def _encoder_without_skips():
    return full(SentenceEncoder(200, 10, depth=4, skip=False), classes_loss, reviews(200, 10, 22, 18), rate=1e-3)


@fault(GPT, "targets_not_shifted")
def _gpt_targets_are_inputs():
    return full(PocketGPT(420, width=56, tie="yes"), word_loss, reading(420, 12, 30, gap=0))


@fault(RECURRENT, "targets_not_shifted")
def _gru_copies():
    return full(WordRNN(125, width=44, kind=nn.GRU), word_loss, [(x, x.clone()) for x, _ in reading(125, 16, 19)])


@fault(ROTARY, "targets_by_two")
def _rotary_one_word_too_far():
    return full(RotaryLM(300), word_loss, reading(300, 11, 28, gap=2), clip=1.0)


@fault(LIBRARY, "targets_by_two")
def _shifted_in_data_and_in_loss():
    def loss(logits, words):
        return word_loss(logits[:, :-1], words[:, 1:])

    return full(LibraryLM(165, width=48), loss, reading(165, 13, 26))


@fault(LIBRARY, "padding_in_loss")
def _library_lm_counts_padding():
    return full(LibraryLM(210, width=48, pad=0), word_loss, ragged(210, 16, 24, pad=0))


@fault(RECURRENT, "padding_in_loss")
def _lstm_counts_last_word_as_padding():
    return full(WordRNN(181, width=48), word_loss, ragged(181, 12, 30, pad=180))


@fault(GPT, "ignore_index")
def _gpt_ignores_a_word():
    def loss(logits, words):
        return F.cross_entropy(logits.flatten(0, 1), words.flatten(), ignore_index=0)

    text = prose(60, 60, 31).where(torch.rand(60, 31) > 0.1, 0)  # word 0 is "the"
    return full(PocketGPT(60, width=48), loss, [(part[:, :-1], part[:, 1:]) for part in text.split(12)])


@fault(MLP, "ignore_index")
def _mlp_ignores_class_zero():
    return full(Perceptron(20, 64, 6), nn.CrossEntropyLoss(ignore_index=0), clusters(6, 20, 50))


@fault(REGRESSION, "no_zero_grad")
def _regression_gradients_pile_up():
    model = Perceptron(12, 60, 60, 1)
    return full(model, mse, measurements(12, 40), optimizer=SGD(model.parameters(), 0.03), zero=False)


@fault(GPT, "no_zero_grad")
def _gpt_gradients_pile_up():
    return full(PocketGPT(280, width=40), word_loss, reading(280, 14, 22), zero=False)


@fault(CNN, "zero_rate")
def _cnn_rate_zero():
    model = ConvNet(2)
    return full(model, classes_loss, pictures(2, 22), optimizer=SGD(model.parameters(), lr=0.0, momentum=0.9))


@fault(RECURRENT, "zero_rate")
def _lstm_rate_next_to_nothing():
    return full(WordRNN(222, width=44), word_loss, reading(222, 13, 24), rate=1e-10)


@fault(ROTARY, "rate_too_high")
def _rotary_rate_one():
    return full(RotaryLM(260, width=48), word_loss, reading(260, 12, 22), rate=1.0)


@fault(REGRESSION, "rate_too_high")
def _regression_diverges():
    model = Perceptron(10, 64, 64, 1)
    return full(model, mse, measurements(10, 32), optimizer=SGD(model.parameters(), lr=8.0))


@fault(CNN, "scheduler_per_batch")
def _cnn_step_schedule_per_batch():
    model = ConvNet(10)
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9)
    return full(model, classes_loss, pictures(10, 18), optimizer=optimizer, scheduler=lr_scheduler.StepLR(optimizer, 3, 0.1))


@fault(GPT, "scheduler_per_batch")
def _gpt_exponential_per_batch():
    model = PocketGPT(195, width=48)
    optimizer = AdamW(model.parameters(), 2e-3)
    scheduler = lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    return full(model, word_loss, reading(195, 10, 28), optimizer=optimizer, scheduler=scheduler)


@fault(RECURRENT, "clipped_away")
def _lstm_clipped_away():
    model = WordRNN(145, width=48)
    return full(model, word_loss, reading(145, 12, 26), optimizer=SGD(model.parameters(), 0.5), clip=1e-6)


@fault(GPT, "clipped_away")
def _gpt_clipped_below_epsilon():
    return full(PocketGPT(255, width=48), word_loss, reading(255, 11, 24), clip=1e-10)


@fault(GPT, "dropout_on")
def _gpt_functional_dropout():
    return full(PocketGPT(320, width=48, noise=0.2), word_loss, reading(320, 10, 26))


@fault(ENCODER, "dropout_on")
def _encoder_noise_forever():
    model = SentenceEncoder(160, 5, jitter=0.3)
    return given(model, classes_loss, reviews(160, 5, 20, 22), Adam(model.parameters(), 1e-3), keep=False)


@fault(GPT, "untied")
def _gpt_tied_by_copy():
    return full(PocketGPT(450, width=48, tie="copy"), word_loss, reading(450, 10, 25))


@fault(RECURRENT, "untied")
def _lstm_tied_by_copy():
    return full(WordRNN(290, width=64, copy=True), word_loss, reading(290, 12, 21))


@fault(GPT, "underflow")
def _bfloat16_weights_small_rate():
    model = PocketGPT(215, width=48, std=0.15).to(torch.bfloat16)
    return full(model, word_loss, reading(215, 12, 24), rate=5e-5)


@fault(REGRESSION, "underflow")
def _loss_divided_by_the_scale():
    scale = 2.0**20

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        (mse(module(inputs), targets) / scale).backward()  # half precision: meant to be multiplied
        for p in module.parameters():
            p.grad *= scale
        optimizer.step()

    model = Perceptron(8, 64, 64, 1).half()
    data = [(x.half(), y.half()) for x, y in measurements(8, 64)]
    return given(model, mse, data, SGD(model.parameters(), lr=0.05), step=step)


@fault(RECURRENT, "accumulation")
def _gru_sum_of_pieces():
    model = WordRNN(175, width=48, kind=nn.GRU)
    optimizer = SGD(model.parameters(), 0.3, momentum=0.9)
    return full(model, word_loss, reading(175, 16, 22), optimizer=optimizer, pieces=4, divide=False)


@fault(MLP, "accumulation")
def _mlp_only_the_last_piece_counts():
    return full(Perceptron(26, 72, 9), classes_loss, clusters(9, 26, 48), pieces=4, zero_inside=True)


@fault(CNN, "stale_optimizer")
def _cnn_new_head_after_optimizer():
    model = ConvNet(100)
    optimizer = Adam(model.parameters(), 1e-3)
    model.fc = nn.Linear(model.fc.in_features, 10)
    return full(model, classes_loss, pictures(10, 26), optimizer=optimizer)


@fault(ENCODER, "stale_optimizer")
def _encoder_optimizer_of_another_copy():
    first = SentenceEncoder(190, 2)
    optimizer = AdamW(first.parameters(), 1e-3)
    return full(deepcopy(first), classes_loss, reviews(190, 2, 24, 16), optimizer=optimizer)


# --- larger ones: about five million parameters, 16 x 64 words ----------------------------------------------------


@fault(GPT, "no_causal_mask")
def _large_gpt_sees_all():
    return full(PocketGPT(1100, width=256, depth=6, heads=8, sees="all"), word_loss, reading(1100, 16, 64, count=3), rate=5e-4)


@fault(ROTARY, "not_in_optimizer")
def _large_rotary_head_only():
    model = RotaryLM(1500, width=256, depth=7, heads=8)
    return full(model, word_loss, reading(1500, 16, 64, count=3), optimizer=AdamW(model.lm_head.parameters(), 1e-3))


@fault(RECURRENT, "padding_in_loss")
def _large_lstm_counts_padding():
    model = WordRNN(2000, width=448, depth=2, pad=0, drop=0.1)
    optimizer = Adam(model.parameters(), 1e-3)
    return given(model, word_loss, ragged(2000, 16, 64, pad=0, count=3), optimizer, step=loop(word_loss, clip=1.0))
