"""What PyTorch makes of a hundred sentences: `python -m benchmarks.encoder_reference` writes evidence/measured/encoder_reference.npz.

BertModel of transformers, in float64 and one sentence at a time, so without padding; the mean over the tokens; length 1. The
tokenizer is the library's, too, and gets the limit that sentence-transformers takes from the folder: 256 tokens.
"""

import io

import numpy as np

from cllm_lib.files import shipped, write_atomically
from cllm_lib.pretrained.folders import installed_folder
from cllm_lib.text.corpora import data_file

STORED = shipped("evidence", "measured/encoder_reference.npz")
MAX_TOKENS = 256
ODD = [
    "",
    " ",
    "a",
    "🙂🚀",
    "Zażółć gęślą jaźń, ΑΒΓ и 中文 مرحبا",
    "\x00\x07 tab\tand\nline",
    "don't   SHOUT!!! [MASK] [SEP] ...",
    "Donaudampfschifffahrtsgesellschaftskapitän " * 3,
]


def sentences():
    """A hundred: odd ones, pieces of prose of 1 to 200 tokens and, last, one that is too long."""
    words = data_file("prose.txt").read_text(encoding="utf-8").split()
    rising = [" ".join(words[40 * i : 40 * i + 1 + 19 * i // 10]) for i in range(99 - len(ODD))]
    return [*ODD, *rising, " ".join(words[:400])]


def reference(texts):
    """Rows of length 1, and the number of tokens behind each."""
    import torch
    from transformers import AutoTokenizer, BertModel

    folder = installed_folder()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), BertModel.from_pretrained(folder).double().eval()
    rows, counts = [], []
    with torch.inference_mode():
        for text in texts:
            tokens = tokenizer(text, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
            hidden = model(**tokens).last_hidden_state[0]
            rows.append(torch.nn.functional.normalize(hidden.mean(dim=0), dim=0).numpy())
            counts.append(len(hidden))
    return np.stack(rows), np.array(counts)


def main():
    """Write the rows in float32, which is enough for 1e-5, with the sentences they belong to."""
    texts = sentences()
    rows, counts = reference(texts)
    content, kept = io.BytesIO(), [text.encode("utf-8") for text in texts]
    np.savez_compressed(content, sentences=np.array(kept), rows=rows.astype(np.float32), counts=counts)
    write_atomically(STORED, content.getvalue())
    print(f"{len(texts)} sentences of {counts.min()} to {counts.max()} tokens, in {STORED.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
