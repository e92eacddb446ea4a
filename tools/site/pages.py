"""What a page of Sphinx still needs for its readers: HTML in, HTML out. With Beautiful Soup alone, and tested without Sphinx."""

import re
import unicodedata
from dataclasses import dataclass

from bs4 import BeautifulSoup, Comment, NavigableString

WIDE = 60  # characters of a printed line without a blank, which cannot be cut, from which on it is scrolled
MANY_COLUMNS, SENTENCE = 4, 40  # columns, and characters of a cell, from which on a table is stacked on a phone
NARROW = 36  # characters in one line that fit on a phone
RUN = "run-this-chapter"  # the place of the line that says how
IN_COLUMNS = re.compile(r"\S {2,}\S")  # whose lines, cut to fit, no longer stand below each other
LABEL = re.compile(r"\s*\S(?:.*?\S)? {2,}(?=\S)")  # the first of two columns, with the blanks after it
SHORT = 16  # characters of a label, beside which a phone still has room for what it labels
NAMES = {"primary-toggle": "Menu", "secondary-toggle": "Contents", "theme-switch-button": "Colours"}  # of the theme's buttons
CIRCLES = re.compile("[●○]{3}")
NOT_ATTEMPTED = re.compile(r"^(\d\d\.\d+) not attempted yet: the notebook goes on (?:with the reference|without it)\.\n?", re.MULTILINE)
SEEN = "What to see: "
DRAWN = "The numbers that were drawn:"
WIDGET = re.compile(r"^(.+) \(run this cell in JupyterLab.*$")
PANEL = "Here the notebook shows a panel{}. To use it, run the chapter."
YOURS = "Exercise {} is left for you: what you read here goes on without an answer. To hand one in, run the chapter."
# Words that are everyday English as well: a link would often be wrong, and only the book's own links are kept.
EVERYDAY = {"step", "gain", "margin", "interval", "gate", "shadow", "positions", "head", "heads", "query", "queries", "bias", "clipping"}
EVERYDAY |= {"seed", "moments", "m and v", "schedule", "prime", "tied", "padding", "pooling", "m", "v", "held out", "residual", "greedy"}
NO_LINK_IN = {"a", "code", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "summary", "math", "script", "style", "button", "details", "th"}


@dataclass(frozen=True)
class Term:
    """A word of the glossary.

    Attributes
    ----------
    name : str
        Its heading.
    forms : tuple of str
        How a text may say it, the heading among them.
    first : str
        The number of the chapter that links to it, or nothing.
    """

    name: str
    forms: tuple
    first: str


def finished(html, run="", terms=(), home="", has_bundle=False):
    """A page of Sphinx, finished.

    Parameters
    ----------
    html : str
    run : str
        How the chapter is run, in HTML; empty on pages that are no chapters.
    terms : iterable of Term
        To be linked where they are first used.
    home : str
        The way from this page to the site's folder: "../" or nothing.
    has_bundle : bool
        Whether the book for a browser stands beside.

    Returns
    -------
    str
    """
    soup = BeautifulSoup(html, "html.parser")
    for change in (say_difficulty, speak_of_panels, say_captions_once, open_large, mend_tables, make_scrollable, mend_theme):
        change(soup)
    link_first_uses(soup, terms, f"{home}docs/GLOSSARY.html")
    add_run(soup, run)
    keep_if(soup, has_bundle)
    return str(soup)


def parsed(html):
    """A piece of HTML as elements."""
    return list(BeautifulSoup(html, "html.parser").children)


# Exercises and panels


def say_difficulty(soup):
    """●○○ in words for those who hear the page: three circles are read as three circles."""
    for text in soup.find_all(string=CIRCLES):
        if text.find_parent("title"):
            text.replace_with(CIRCLES.sub(lambda found: in_words(found[0]), text))
        elif text.find_parent(["h1", "h2", "h3", "h4", "nav", "td", "p", "li"]) and not text.find_parent(["pre", "code"]):
            marked = CIRCLES.sub(
                lambda found: f'<span aria-hidden="true">{found[0]}</span><span class="only-read">, {in_words(found[0])}, </span>', text
            )
            text.replace_with(*parsed(marked))


def in_words(circles):
    """Three circles in words."""
    return f"difficulty {circles.count('●')} of 3"


def speak_of_panels(soup):
    """Sentences of the notebook that a reader of the site can do nothing with, in a form for them."""
    for pre in soup.select(".cell_output pre"):
        widget = WIDGET.match(pre.get_text().strip())
        if widget:
            (pre.find_parent("div", class_="output") or pre).replace_with(told(PANEL.format(f": {in_a_sentence(widget[1])}")))
    for sleeping in soup.select("p.cllm-sleeping"):
        block = sleeping.find_parent("div", class_="output") or sleeping.parent  # its style with it
        if block.find_previous_sibling("p", class_="for-readers"):
            block.decompose()
        else:
            block.replace_with(told(PANEL.format("")))
    for pre in soup.select(".cell_output pre"):
        text = pre.get_text()
        numbers = NOT_ATTEMPTED.findall(text)
        if not numbers:
            continue
        said = [told(YOURS.format(number)) for number in numbers]
        block = pre.find_parent("div", class_="output") or pre
        block.insert_before(*said)
        left = NOT_ATTEMPTED.sub("", text)
        if left.strip():
            pre.clear()
            pre.append(NavigableString(left))
        else:
            block.decompose()


def told(sentence):
    """A sentence for readers of the site; how a chapter is run stands below its title."""
    linked = escaped(sentence).replace("run the chapter", f'<a href="#{RUN}">run the chapter</a>')
    return parsed(f'<p class="for-readers">{linked}</p>')[0]


def in_a_sentence(text):
    """A text that began with a capital letter, as it stands behind a colon."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


# Figures


def say_captions_once(soup):
    """The sentence below a figure is its alternative text, too: whoever hears the page hears it once."""
    texts = {image.get("alt", "") for image in soup.select(".cell_output img")}
    for pre in soup.select(".cell_output pre"):
        line, _, rest = pre.get_text().partition("\n")
        if line.removeprefix(SEEN) in texts and line.startswith(SEEN):
            block = pre.find_parent("div", class_="output") or pre
            caption = soup.new_tag("p", attrs={"class": "what-to-see", "aria-hidden": "true"})
            caption.string = line
            block.insert_before(caption)
            pre.clear()
            pre.append(NavigableString(rest))
            if rest.strip():
                caption.insert_after(*parsed(f'<p class="what-to-see">{DRAWN}</p>'))
            else:
                block.decompose()


def open_large(soup):
    """A link from each picture to its file, which a browser shows as large as it is."""
    for image in soup.select("article img"):
        if not image.find_parent("a"):
            image.wrap(soup.new_tag("a", attrs={"class": "larger", "href": image["src"]}))
        image["loading"] = "lazy"
        image["decoding"] = "async"


# Tables, wide lines, and the theme


def mend_tables(soup):
    """A cell at the head of a table that is empty heads nothing."""
    for cell in soup.find_all("th"):
        if not cell.get_text(strip=True) and not cell.find("img"):
            cell.name = "td"


def make_scrollable(soup):
    """What is wider than a phone is scrolled in its own place, also from the keyboard."""
    for table in soup.select("article table"):
        table.wrap(soup.new_tag("div", attrs={"class": "wide"} | scrolled("Table")))
        make_stackable(table)
    for formula in soup.select("article .math-block"):
        formula.attrs |= scrolled("Formula")
    for pre in soup.select(".cell_output pre"):
        runs = runs_of(pre.get_text())
        parts = [pre] + [soup.new_tag("pre") for _ in runs[1:]]
        for part, before in zip(parts[1:], parts, strict=False):
            before.insert_after(part)
        for part, (lines, in_columns) in zip(parts, runs, strict=True):
            if len(runs) > 1:
                part.string = "\n".join(lines)
            if in_columns:
                scroll(part, "Printed by the cell")
            elif any(len(line) > NARROW and before_sentence(line) for line in lines):
                hang(soup, part, lines)
    for pre in soup.select("div.highlight pre"):
        if not pre.find_parent(class_="cell_output") and max(map(len, pre.get_text().split("\n"))) > NARROW:
            scroll(pre, "Code")


def runs_of(text):
    """What a cell printed, in runs of lines: those that stand in columns, which are scrolled, and sentences, which are cut to fit.

    Sentences that each have a short label before them are no columns.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of (list of str, bool)
        Lines, and whether they are to be scrolled.
    """
    found = []
    for line in text.split("\n"):
        in_columns = bool(IN_COLUMNS.search(line.strip())) or (len(line) > WIDE and " " not in line.strip())
        if found and (found[-1][1] == in_columns or not line.strip()):
            found[-1][0].append(line)
        else:
            found.append(([line], in_columns))
    return [(lines, in_columns and not are_labelled(lines)) for lines, in_columns in found]


def are_labelled(lines):
    """Whether lines in two columns, too wide for a phone, are sentences, each with a short label before it."""
    if max(map(len, lines)) <= NARROW:
        return False
    labels = [(LABEL.match(line), len(IN_COLUMNS.findall(line.strip()))) for line in lines if line.strip()]
    return all(label and len(label.group()) <= SHORT and gaps == 1 for label, gaps in labels)


def before_sentence(line):
    """How many characters stand before the sentence of a line: its label, or what it is indented by."""
    label = LABEL.match(line)
    return min(SHORT, len(label.group()) if label else len(line) - len(line.lstrip()))


def hang(soup, pre, lines):
    """Cut each line to fit, and let what is cut off go on below its sentence's beginning."""
    pre.clear()
    for line, end in zip(lines, ["\n"] * (len(lines) - 1) + [""], strict=True):
        part = soup.new_tag("span", attrs={"class": "hung", "style": f"--before: {before_sentence(line)}ch"})
        part.string = line + end
        pre.append(part)


def make_stackable(table):
    """On a phone the rows of a table of many columns of words stand below each other, each cell with its column's name."""
    heads = [cell.get_text(" ", strip=True) for cell in table.select("thead tr:first-child > *")]
    rows = table.select("tbody tr")
    if len(heads) < MANY_COLUMNS or not any(len(cell.get_text()) > SENTENCE for cell in table.select("tbody td")):
        return
    table["class"] = [*table.get("class", []), "stackable"]
    for part, role in ((table.select("tr"), "row"), (table.select("td"), "cell"), (table.select("th"), "columnheader")):
        for one in part:
            one["role"] = role  # which a browser forgets of what is no longer laid out as a table
    table["role"] = "table"
    for row in rows:
        for cell, head in zip(row.find_all(["td", "th"], recursive=False), heads, strict=False):
            cell["data-head"] = head


def scroll(pre, what):
    """Let a block of lines be scrolled, and show that it is."""
    pre["class"] = [*pre.get("class", []), "scrolled"]
    pre.attrs |= scrolled(what)


def scrolled(what):
    """The attributes of what is scrolled in its own place: the keyboard gets there, and hears what it is."""
    return {"tabindex": "0", "role": "group", "aria-label": what}


def mend_theme(soup):
    """What the theme has that fails a reader: a button whose name is not what it shows, icons by a program of 1.6 MB."""
    for script in soup.find_all("script", src=re.compile("fontawesome")):
        script.decompose()
    for link in soup.find_all("link", href=re.compile("fontawesome")):
        link.decompose()
    for button in soup.select("button.search-button-field, button.search-button__button"):
        if button.get_text(strip=True):
            button.attrs.pop("aria-label", None)
    for part in soup.select('[data-bs-toggle="tooltip"]'):  # they stay on a touch screen, over what is below
        for name in ("data-bs-toggle", "data-bs-placement"):
            part.attrs.pop(name, None)
    for name, said in NAMES.items():
        for button in soup.select(f"button.{name}"):
            button["title"] = button["aria-label"] = said
    for summary in soup.select("nav details > summary"):
        if not summary.get_text(strip=True):
            summary["aria-label"] = f"Pages of {summary.find_parent('li').find('a').get_text(strip=True)}"
    for part in soup.select("#jb-print-docs-body"):  # for a print of its own
        part.decompose()
    for bar in soup.select("header.bd-header"):  # without anything in it, but the theme's program measures it
        bar["style"] = "display: none"
    for link in soup.find_all("a", href=re.compile("^(?!https?:|mailto:)[a-z]+:")):
        link.unwrap()  # an example of an address, which Sphinx took for one
    for comment in soup.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()


# Chapters


def add_run(soup, run):
    """The line that says how a chapter is run, below its title."""
    title = soup.select_one("article h1")
    if run and title:
        title.insert_after(*parsed(run))
        line = title.find_next_sibling()
        line["id"] = RUN
        button = line.select_one("a.run-button")
        for link in soup.select(f'a[href="#{RUN}"]') if button else []:
            link["href"] = button["href"]


def keep_if(soup, has_bundle):
    """Of what is said for either case, with the book for a browser beside and without, keep what is so."""
    for part in soup.select(".if-bundle" if not has_bundle else ".if-no-bundle"):
        part.decompose()


# The glossary


def slug(term):
    """The end of a link to a word, as the chapters write it."""
    return re.sub(r"[^\w\- ]", "", term.lower()).replace(" ", "-")


def identifier(term):
    """The name of a word's place in the page that Sphinx makes of the glossary."""
    plain = unicodedata.normalize("NFKD", term.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def terms_of(glossary):
    """The words of the glossary, each with its other forms.

    Parameters
    ----------
    glossary : str
        Of docs/GLOSSARY.md.

    Returns
    -------
    list of (str, tuple of str)
    """
    found = []
    for entry in re.split(r"^### ", glossary, flags=re.MULTILINE)[1:]:
        name, _, told = entry.partition("\n")
        also = re.match(r"Also: ([^.]+)\.", told)
        found.append((name, (name, *(also[1].split(", ") if also else ()))))
    return found


def link_first_uses(soup, terms, target):
    """Link the first use of each word in a page's text to the glossary; never in code, headings, links or folds.

    Parameters
    ----------
    soup : BeautifulSoup
        Is changed.
    terms : iterable of Term
    target : str
        The glossary's address.
    """
    article = soup.select_one("article")
    linked = {link["href"].partition("#")[2] for link in soup.select('article a[href*="GLOSSARY.html#"]')}
    wanted = {form: term for term in terms if identifier(term.name) not in linked for form in term.forms if form not in EVERYDAY}
    for block in article.find_all(["p", "li", "td"]) if article and wanted else []:
        for text in list(block.find_all(string=True)):
            if text.find_parent(["p", "li", "td"]) is block and is_plain(text):
                pieces = link_in(str(text), wanted, target)
                if pieces:
                    text.replace_with(*parsed(pieces))


def is_plain(text):
    """Whether a piece of a page is text that may be linked, and not code, a heading, a link, or what is hidden from some readers."""
    return not isinstance(text, Comment) and not text.find_parent(NO_LINK_IN) and not text.find_parent(attrs={"aria-hidden": True})


def link_in(text, wanted, target):
    """A text with the words that are wanted linked, in HTML; nothing if none occurs. What was linked is wanted no more.

    Parameters
    ----------
    text : str
    wanted : dict of str to Term
        By form; is changed.
    target : str

    Returns
    -------
    str
    """
    made = ""
    while wanted:
        forms = "|".join(re.escape(form) for form in sorted(wanted, key=len, reverse=True))
        found = re.search(rf"(?<![\w-])({forms})(s?)(?![\w-])", text)
        if not found:
            break
        term = wanted[found[1]]
        made += escaped(text[: found.start()]) + f'<a class="term" href="{target}#{identifier(term.name)}">{escaped(found[0])}</a>'
        text = text[found.end() :]
        for form in term.forms:
            wanted.pop(form, None)
    return made + escaped(text) if made else ""


def escaped(text):
    """Text as HTML has it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
