"""What a file is, by its first bytes: whoever is handed one of another kind is told which, and what to do about it."""

import json
import re

FIRST = 4_096  # bytes that are enough to tell
ANEW = "download or copy it again"
UNPACK = "unpack it first"
SAFETENSORS = "take the same weights as a safetensors file"
GGUF = (
    "cllm_lib.pretrained.load_chat_model(path) makes a model of it that chats, as `cllm chat --model` does, if it is of Llama's form, and "
    "read_gguf(path) gives its arrays"
)
CHECKPOINT = (  # where a GGUF file is expected
    "cllm_lib.training.load_checkpoint(path) reads a checkpoint of this library, and cllm_lib.pretrained.load_encoder(folder) the folder "
    "of an encoder"
)
OLD_PYTORCH = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # a number that PyTorch put first before 2020
PYTORCH = (
    "opening one can run code that it brings along, so it is not read here: take the same weights as a safetensors file, or make one "
    "with PyTorch's torch.load(path, weights_only=True) and safetensors.torch.save_file"
)
BEGINNINGS = {  # of files that cannot be mistaken
    b"GGUF": ("a GGUF file, made for llama.cpp", GGUF),
    b"\x93NUMPY": ("a NumPy array (.npy)", "numpy.load reads it; it holds one array without a name, so a model is not in it"),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file, as Keras writes them", SAFETENSORS),
    b"\x1f\x8b": ("compressed by gzip", UNPACK),
    b"BZh": ("compressed by bzip2", UNPACK),
    b"\xfd7zXZ\0": ("compressed by xz", UNPACK),
    b"\x28\xb5\x2f\xfd": ("compressed by Zstandard", UNPACK),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", UNPACK),
    OLD_PYTORCH: ("a PyTorch file of the older form, a pickle", PYTORCH),
}


def other_kind(first, expected="safetensors"):
    """What a file is that begins with these bytes, and what to do, for the rest of a sentence; None if it may be what is expected.

    Parameters
    ----------
    first : bytes
        Its beginning, :data:`FIRST` of them or all there are.
    expected : {"safetensors", "GGUF", "JSON"}

    Returns
    -------
    str or None

    Examples
    --------
    >>> other_kind(b"GGUF" + bytes(8)).partition(":")[0]
    'a GGUF file, made for llama.cpp'
    """
    if expected != "JSON" and _may_be_safetensors(first):
        found = ("a safetensors file", CHECKPOINT) if expected == "GGUF" else None
    elif expected == "GGUF" and first.startswith(b"GGUF"):
        found = None
    else:
        found = _what(first) or (_text(first) if expected != "JSON" else None)
    return None if found is None else ": ".join(found)


def _may_be_safetensors(first):
    """Whether a length of less than 4 GB and an opening brace stand where safetensors has them."""
    return first[4:9] == b"\0\0\0\0{"


def _what(first):
    if not first:
        return "empty", f"it broke off before the first byte; {ANEW}"
    if first.startswith(b"version https://git-lfs."):
        size = re.search(rb"^size (\d{1,15})\s*$", first, re.MULTILINE)
        whole = f" of {int(size[1]):,} bytes" if size else ""
        return f"a pointer of git LFS to the file{whole}, not the file itself", "`git lfs pull` in its folder fetches it"
    if first.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<error")):
        return (
            "a page for a browser (HTML or XML)",
            "the address led to a page, perhaps an error or a login; see what it says, and download the file itself",
        )
    if first.startswith(b"PK\x03\x04"):
        return _zip(first)
    for beginning, kind in BEGINNINGS.items():
        if first.startswith(beginning):
            return kind
    if re.match(rb"\x80[\x02-\x05]", first):
        return "a Python pickle, as older PyTorch files are", PYTORCH
    if first[257:262] == b"ustar":
        return "a tar archive", UNPACK
    return None


def _zip(first):
    """A zip archive, told by the name of its first member."""
    name = first[30 : 30 + int.from_bytes(first[26:28], "little")]
    if name.endswith(b".npy"):
        return "a NumPy archive (.npz)", "numpy.load reads it; " + SAFETENSORS
    if name.endswith((b"data.pkl", b"byteorder", b".format_version", b"serialization_id", b"version")) or b"data.pkl" in first:
        return "a PyTorch file (.pt, .pth or .bin)", PYTORCH
    return "a zip archive, as PyTorch files (.pt, .pth, .bin) are", PYTORCH


def _text(first):
    """Text where weights should be; the index of a model in parts is the usual one."""
    if b"\0" in first:
        return None
    try:
        text = first.decode("utf-8-sig") if len(first) < FIRST else first[:-3].decode("utf-8-sig", "ignore")
    except UnicodeDecodeError:
        return None
    if any(ord(sign) < 32 and sign not in "\t\n\r\f" for sign in text):
        return None
    if text.lstrip().startswith("{"):
        if '"weight_map"' in text or '"total_size"' in text:
            parts = ", ".join(dict.fromkeys(re.findall(r'"([\w.-]+\.safetensors)"', text)[:2]))
            named = f" ({json.dumps(parts)[1:-1]})" if parts else ""
            return (
                f"the index of a model in several files{named}: names, no weights",
                "models in parts are not read here; take one in a single file",
            )
        return "a JSON text without weights", "name the file that holds them"
    return "a text", "name the file that holds the weights"
