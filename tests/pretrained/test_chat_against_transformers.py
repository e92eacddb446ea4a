"""The real chat model beside transformers, which reads the same file: tokens, and the logits behind every one."""

import numpy as np
import pytest
from pretrained.sample_texts import sample_texts
from tokenizers import pre_tokenizers

from cllm_lib.pretrained import load_chat_model
from cllm_lib.pretrained.chat import installed_file
from cllm_lib.text.bpe import BytePairTokenizer

TEXTS = sample_texts(200)
CLOSE = 1e-5  # of the largest logit


@pytest.fixture(scope="module")
def own():
    return load_chat_model()


@pytest.fixture(scope="module")
def file():
    for package in ("torch", "transformers", "accelerate", "gguf"):
        pytest.importorskip(package, reason="a peer; `make test-all` installs it")
    path = installed_file()
    return path.parent, path.name


@pytest.fixture(scope="module")
def tokenizer(file):
    import transformers

    return transformers.AutoTokenizer.from_pretrained(file[0], gguf_file=file[1])


@pytest.mark.slow
def test_tokens_are_those_of_transformers_by_the_rule_that_the_file_names(own, tokenizer):
    """It does not take the rule from the file, so it is told."""
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    for text in TEXTS:
        assert own.encode(text).tolist() == tokenizer.encode(text, add_special_tokens=False), text


@pytest.mark.slow
def test_as_it_stands_transformers_cuts_as_for_gpt2(own, file):
    import transformers

    theirs = transformers.AutoTokenizer.from_pretrained(file[0], gguf_file=file[1])
    mine = own.tokenizer
    other = BytePairTokenizer(mine.merges, mine.special_tokens, mine.vocabulary, single_digits=False, skip_missing_bytes=True)
    for text in TEXTS:
        assert other.encode(text).tolist() == theirs.encode(text, add_special_tokens=False), text


@pytest.mark.slow
def test_the_template_is_written_as_transformers_writes_it(own, tokenizer):
    asked = {"role": "user", "content": "Why is the sky blue?"}
    told = [asked, {"role": "assistant", "content": "It scatters."}, {"role": "user", "content": "And at 5 o'clock?"}]
    for messages in ([asked], told, [{"role": "system", "content": "Be brief."}, *told]):
        theirs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        assert own.decode(own.prompt(messages)) == theirs


@pytest.mark.slow
def test_logits_are_those_of_transformers(own, file):
    import torch
    import transformers

    peer = transformers.AutoModelForCausalLM.from_pretrained(
        file[0], gguf_file=file[1], dtype=torch.float32, attn_implementation="eager"
    ).eval()
    texts = [text for text in TEXTS if text][::4][:50]
    assert len(texts) == 50
    worst = 0.0
    for text in texts:
        ids = own.encode(f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n")
        with torch.inference_mode():
            theirs = peer(input_ids=torch.from_numpy(ids)[None]).logits[0].numpy()
        ours = own.logits(ids)
        worst = max(worst, float(np.abs(ours - theirs).max() / np.abs(theirs).max()))
    assert worst < CLOSE
