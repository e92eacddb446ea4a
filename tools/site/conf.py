"""Sphinx's settings for the site. Sources are put together, and pages finished, by tools/site.py."""

import re
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from myst_nb.core.render import NbElementRenderer
from pages import terms_of
from sphinx import addnodes

import cllm_lib

project = "The CLLM Workbook"
author = "The CLLM Workbook's authors"
project_copyright = "The CLLM Workbook's authors. Text and figures CC BY 4.0, code MIT"
version = release = cllm_lib.__version__
html_title = "The CLLM Workbook"
html_short_title = "CLLM Workbook"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # nothing from another host
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]  # a panel's own sentence in its place
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
html_theme = "sphinx_book_theme"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_search_scorer = str(Path(__file__).with_name("scorer.js"))
html_copy_source = False
html_show_sourcelink = False
html_domain_indices = False
html_use_index = False
html_math_renderer = "mathml"
html_favicon = "static/favicon.svg"
html_context = {"default_mode": "auto"}  # light or dark as the system has it, until a reader chooses
html_theme_options = {
    "navbar_start": [],
    "navbar_center": [],
    "navbar_end": [],
    "navbar_persistent": [],
    "show_toc_level": 2,
    "show_navbar_depth": 1,
    "collapse_navbar": False,
    "navigation_with_keys": False,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "back_to_top_button": False,  # it would lie over what one reads, and the title stays in sight
    "home_page_in_toc": True,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
autodoc_default_options = {"member-order": "bysource"}
autodoc_typehints = "none"
autodoc_mock_imports = ["lightning", "scipy", "sympy", "tokenizers", "torch", "transformers", "joblib"]
add_module_names = False
toc_object_entries_show_parents = "hide"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False
napoleon_custom_sections = [
    ("Attributes", "params_style"),  # several names may share a line
    *("What it did", "Symptom", "Exposed by", "In the documents", "Source", "Repair"),
]


# Alternative texts: myst-nb keeps width and height of an image alone, so that each would get its file's name.


def with_alternative_text(render):
    """A renderer of images that also takes the alternative text that a notebook has for its picture."""

    def render_image(self, data):
        found = render(self, data)
        text = data.output_metadata.get(data.mime_type, {}).get("alt")
        for image in [image for element in found for image in element.findall(nodes.image)] if text else []:
            image["alt"] = text
        return found

    return render_image


NbElementRenderer.render_image = with_alternative_text(NbElementRenderer.render_image)


# Formulas: MathML, which browsers draw and screen readers read, without a program in the page.


def mathml(text, display):
    """A formula of TeX as MathML."""
    return convert(text.replace(r"\mathrm{lcm}", r"\operatorname{lcm}").strip(), display="block" if display else "inline")


def visit_math(self, node):
    """Write a formula that stands in a line."""
    self.body.append(mathml(node.astext(), display=False))
    raise nodes.SkipNode


def visit_math_block(self, node):
    """Write a formula that stands alone."""
    self.body.append(f'<div class="math-block">{mathml(node.astext(), display=True)}</div>')
    raise nodes.SkipNode


# Docstrings: plain English with names in backquotes, which need not be valid reStructuredText.


COLON = "\ue000"  # a colon in the first line of a property, before which Napoleon would look for a type


def as_text(app, what, name, obj, options, lines):
    """Keep from docstrings all meaning that stars and bars would have in markup; names in backquotes are code."""
    if what in ("attribute", "property") and lines:
        lines[0] = lines[0].replace(": ", f"{COLON} ")
    lines[:] = with_examples([line if line.lstrip().startswith(">>>") else plain(line) for line in lines])


def with_colons(app, what, name, obj, options, lines):
    """Give the colons back once sections were read."""
    lines[:] = [line.replace(COLON, ":") for line in lines]


def with_examples(lines):
    """A docstring in which an example that stands below its last section has a section of its own."""
    first = next((i for i, line in enumerate(lines) if line.startswith(">>>")), None)
    if first is None or "Examples" in lines[:first] or not any(re.fullmatch("-{3,}", line) for line in lines[:first]):
        return lines
    return [*lines[:first], "Examples", "--------", *lines[first:]]


EMPHASIS = r"(?<![\w*])\*{1,2}[A-Za-z][^*`]*[A-Za-z.]\*{1,2}(?![\w*])"  # of *words*, which a pointer of arguments is not


def plain(line):
    """A line in which single backquotes make code and stars stress words, and other stars, bars and closing underscores are themselves."""
    parts = re.split(rf"(:\w+:`[^`]*`|``[^`]+``|`[^`]+`|{EMPHASIS})", line)
    return "".join(part if part.startswith((":", "*")) else coded(part) if part.startswith("`") else escaped(part) for part in parts)


def coded(part):
    """A name in backquotes, as code."""
    return "``" + part.strip("`") + "``"


def escaped(part):
    """Text in which nothing is markup but the markup of sections and lists."""
    return re.sub(r"([*|])", r"\\\1", re.sub(r"(\w)_(?=\W|$)", r"\1\\_", part))


# Search: who looks for another form of a term ("residual") is led to its place in the glossary, too.


def index_glossary(app, doctree):
    """Give each form of a term an entry of the index, which the search reads."""
    if app.env.docname != "docs/GLOSSARY":
        return
    sections = {section[0].astext(): section["ids"][0] for section in doctree.findall(nodes.section)}
    text = app.env.doc2path(app.env.docname).read_text(encoding="utf-8")
    entries = [("single", form, sections[term], "main", None) for term, forms in terms_of(text) for form in forms if form != term]
    doctree.insert(0, addnodes.index(entries=entries))


def setup(app):
    """Tell Sphinx of all this."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("doctree-read", index_glossary)
    app.connect("autodoc-process-docstring", as_text, priority=100)  # before sections are read
    app.connect("autodoc-process-docstring", with_colons, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
