"""Texts of all kinds for tokenizers: seeded, so that every test and every machine has the same."""

import numpy as np

PIECES = {
    "words": [
        "The sky is blue",
        "why",
        "Rayleigh scattering",
        "she'll",
        "it's",
        "DON'T",
        "antidisestablishmentarianism",
        "x" * 60,
        "naïve café",
    ],
    "scripts": ["größer", "Ångström", "天空是蓝色的。", "空は青い", "السماء زرقاء", "नमस्ते", "Привет", "한국어", "กาแฟ", "e\u0301\u0323"],
    "emoji": ["🙂", "👩‍💻", "🏳️‍🌈", "❤️", "🤷🏽‍♂️"],
    "digits": ["0", "42", "3.14159", "1,000,000", "2026-11-29", "९", "½", "Ⅷ", "²", "0x1f", "1st", "a1b2"],
    "white space": [" ", "  ", "    ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2003", "\u2028", "\x0b", "\x0c", " \n "],
    "control": ["\0", "\x01", "\x1b[31m", "\x7f", "\x85", "\u200b", "\u200d", "\u202e", "\ufeff", "\x1c"],
    "special": ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_start|", "<repo_name>", "<jupyter_code>", "|>"],
    "signs": ["...", "!?", "—", "“quoted”", "$%&", "=>", "__init__", "\\n", "'", "''", "#", "•"],
    "code": [
        "def f(x):\n    return x  # 2",
        "\tif (i < 10) {\n\t\ti += 1;\n\t}",
        "for i in range(10):\n        a[i]  = 1",
        '{"a": [1, 2]}',
    ],
    "lists": ["\n\n1. One\n2. Two\n\n10. Ten", "\n  1. a\n  2. b", "| 1 |  22 |\n", "Total:   7", "\n\n\n3"],
}


def sample_texts(count, seed=0):
    """As many different texts: one of each piece, nothing at all, and pieces drawn at random one after the other."""
    every = [piece for pieces in PIECES.values() for piece in pieces]
    generator, found = np.random.default_rng(seed), dict.fromkeys(["", *every])
    while len(found) < count:
        drawn = generator.choice(len(every), generator.integers(2, 25)).tolist()
        joint = " " if generator.random() < 0.5 else ""
        found.setdefault(joint.join(every[i] for i in drawn))
    return list(found)[:count]
