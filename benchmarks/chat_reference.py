"""What transformers makes of one text: `python -m benchmarks.chat_reference` writes evidence/measured/chat_reference.npz.

LlamaForCausalLM reads the same GGUF file as the book, by a reader and with columns of its own, in float32. Kept are the ids, what
the first layer and the last one pass on, and at each place the scores of every 512th token. It needs transformers, accelerate, gguf.
"""

import io

import numpy as np

from cllm_lib.files import shipped, write_atomically
from cllm_lib.pretrained.chat import installed_file, load_chat_model

STORED = shipped("evidence", "measured/chat_reference.npz")
TEXT = "Nora keeps the light. She walks up the stairs every night, and when the sun goes down, the light goes round and round."
EVERY = 512  # of the vocabulary


def reference(ids):
    """Hidden states behind the first and the last layer, and logits, of ids that go through together."""
    import torch
    from transformers import AutoModelForCausalLM

    path = installed_file()
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager").eval()
    passed = {}
    for name, place in (("first", 0), ("last", -1)):
        model.model.layers[place].register_forward_hook(
            lambda layer, given, out, name=name: passed.update({name: (out[0] if isinstance(out, tuple) else out).reshape(len(ids), -1)})
        )
    with torch.inference_mode():
        logits = model(torch.tensor(ids.tolist())[None]).logits[0]
    return passed["first"].numpy(), passed["last"].numpy(), logits.numpy()


def main():
    """Write them, with the text's ids."""
    ids = load_chat_model().encode(TEXT)
    first, last, logits = reference(ids)
    content = io.BytesIO()
    np.savez_compressed(content, text=np.array(TEXT.encode()), ids=ids, first=first, last=last, logits=logits[:, ::EVERY])
    write_atomically(STORED, content.getvalue())
    print(f"{len(ids)} tokens, in {STORED.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
