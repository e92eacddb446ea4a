r"""What goes bad by itself while nobody changes anything: links, and pages whose script has moved on. `make weekly` runs it.

    python tools/weekly.py              all of it
    python tools/weekly.py links        every link of every text; without "outside" none of another house is asked
    python tools/weekly.py outside      links to other houses
    python tools/weekly.py stale        pages of measurements that are older than the script that writes them

A broken link inside is an error. Another house may be asleep, and a younger script may say what the older one said: these are told,
and break nothing. Spelling is checked at once, in `make lint`.
"""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = re.compile(r"\]\(\s*<?([^)\s>]+)|(?:href|src|srcset)=\"([^\"]+)\"")  # links, pictures, and pictures in links
OUTSIDE = re.compile(r"https?://[^\s<>()\[\]\"'`|]+")
SHY = {401, 403, 405, 406, 418, 429, 503, 999}  # how a house answers that does not talk to programs
SECONDS = 20  # for one answer
WHO = "Mozilla/5.0 (compatible; cllm-workbook link check)"  # some answer nobody who has no name
WRITERS = {"make bench": "run", "make evidence": "evidence"}  # benchmarks that a page calls by the name of their command


def texts(root=ROOT):
    """Every text of the repository that git knows, as (path, Markdown); of a notebook its text cells.

    Not those in tools/, from which pages are made: their links are right where the page will stand.
    """
    words = ["git", "ls-files", "*.md", "*.ipynb", ":!tools"]
    names = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True).stdout
    for path in (root / name for name in names.splitlines()):
        content = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            cells = json.loads(content)["cells"]
            content = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        yield path, content


def prose(text):
    """A text without its blocks and pieces of code, where brackets are no links."""
    text = re.sub(r"^( *)(```|~~~).*?^\1\2", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]+`", "", text)


def targets(text):
    """Where the links and pictures of a text lead, in order."""
    return [next(filter(None, found)) for found in TARGET.findall(prose(text))]


def anchors(text):
    """The fragments that a text offers, as GitHub and JupyterLab make them from its headings."""
    found, seen = set(re.findall(r"(?:id|name)=\"([^\"]+)\"", text)), {}
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).strip().replace(" ", "-")
        found |= {slug if not seen.get(slug) else f"{slug}-{seen[slug]}", words.replace(" ", "-")}  # JupyterLab keeps capitals
        seen[slug] = seen.get(slug, 0) + 1
    return found


def broken_inside(root=ROOT):
    """Links to files or fragments of the repository that are not there, one sentence each."""
    found = dict(texts(root))
    for path, text in found.items():
        for target in targets(text):
            if not re.match(r"^[a-z]+:", target):
                reason = _broken(path, urllib.parse.unquote(target), found)
                if reason:
                    yield f"{path.relative_to(root).as_posix()}: {target}: {reason}"


def _broken(path, target, found):
    name, _, fragment = target.partition("#")
    badge = re.fullmatch(r"\.\./\.\./actions/workflows/([\w-]+\.yml)(/badge\.svg)?", name)
    if badge:  # GitHub reads it from the page of the file, two folders down, and so needs no name of the repository
        return None if (path.parent / ".github" / "workflows" / badge[1]).is_file() else "no such workflow"
    to = (path.parent / name).resolve() if name else path
    if not to.exists():
        return "no such file"
    if fragment and to in found and fragment not in anchors(found[to]):
        return "no heading of that name there"
    return None


def addresses(root=ROOT):
    """Every address of another house, with the first text that names it."""
    named = {}
    for path, text in texts(root):
        for target in OUTSIDE.findall(prose(text)):  # as a link, or bare
            named.setdefault(target.partition("#")[0].rstrip(".,;:!?*"), path.relative_to(root).as_posix())
    return named


def answer(address, opened=urllib.request.urlopen):
    """What another house says to an address: "" if all is well, else a few words; those that talk to no program count as well."""
    try:
        with opened(urllib.request.Request(address, headers={"User-Agent": WHO}), timeout=SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        return "" if error.code in SHY else f"answers {error.code}"
    except (OSError, ValueError) as error:  # no such house, no network, no answer in time
        return f"does not answer ({getattr(error, 'reason', error)})"


def script_of(page):
    """The script that a page of measurements names as its writer, or None."""
    by = re.search(r"Written by `([^`]+)`", page)
    if not by:
        return None
    module = re.search(r"-m benchmarks\.(\w+)", by[1])
    return f"benchmarks/{module[1] if module else WRITERS[by[1]]}.py"


def stale(root=ROOT):
    """Pages that were stored before the last change of their script, by git's history: perhaps to be written anew."""
    for path in sorted((root / "evidence" / "pages").glob("*.md")):
        page = path.relative_to(root).as_posix()
        script = script_of(path.read_text(encoding="utf-8"))
        if script is None:
            yield f"{page}: does not say what wrote it"
        elif int(_log("%ct", script, root)) > int(_log("%ct", page, root)):
            yield f"{page}: {script} is younger ({_log('%h %s', script, root)})"


def _log(form, path, root):
    """Something of the last commit that changed a file."""
    words = ["git", "log", "-1", f"--format={form}", "--", path]
    return subprocess.run(words, cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def links():
    """Say which links inside are broken; the number of them."""
    found = list(broken_inside())
    print("\n".join(found) or "Every link inside leads somewhere.")
    return len(found)


def outside():
    """Say which other houses do not answer; that breaks nothing."""
    named = addresses()
    found = [f"{place}: {address} {said}" for address, place in named.items() if (said := answer(address))]
    print("\n".join(found) or f"All {len(named)} addresses of other houses answer.")
    return 0


def old_pages():
    """Say which pages are older than their script; that breaks nothing."""
    print("\n".join(stale()) or "Every page of measurements is as young as its script.")
    return 0


PARTS = {"links": links, "outside": outside, "stale": old_pages}


def main(words):
    """Run the parts that are named, or all; 1 if something is broken inside."""
    unknown = set(words) - set(PARTS)
    if unknown:
        print(f"There is no part {', '.join(sorted(unknown))}: name some of {', '.join(PARTS)}, or none for all.", file=sys.stderr)
        return 2
    return int(sum(PARTS[name]() for name in words or PARTS) > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
