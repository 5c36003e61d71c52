"""How the pages become a site: `make site`. The pages are plain Markdown, and read as well without it.

What stands in the navigation is read from the lists of links in `index.md` and `adr/README.md`, so
that no page needs words that only this program understands.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

project = "liftlock"
author = "the liftlock authors"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["pictures"]
suppress_warnings = ["myst.header"]  # a page's first heading may be followed by one two levels below
nitpicky = True
myst_heading_anchors = 4
myst_links_external_new_tab = False

html_theme = "furo"
html_title = "liftlock"
html_static_path = ["style"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options: dict[str, object] = {"top_of_page_buttons": []}
pygments_style = "default"
pygments_dark_style = "github-dark"
highlight_language = "none"

# `make links` asks every address outside; the build itself asks none.
linkcheck_ignore = [r"https?://(127\.0\.0\.1|localhost)", r"https://example\."]
linkcheck_timeout = 15

_PAGE_LINK = re.compile(r"\]\((?!https?:)([\w./-]+)\.md\)")
_OUTSIDE = re.compile(r"\[([^]]+)\]\((?:\.\./)+((?:[A-Z]+|examples/[\w/]+)\.md)(?:#[\w-]+)?\)")


def _navigation(text: str) -> str:
    """The tables of contents for the links in a page's lists, one for each of its headings."""
    first, *others = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    sections = [("", first), *zip(others[::2], others[1::2], strict=True)]
    seen: set[str] = set()
    tables: list[str] = []
    for caption, body in sections:
        found = dict.fromkeys(_PAGE_LINK.findall(body))
        pages = [page for page in found if page not in seen and not page.startswith("..")]
        seen.update(pages)
        if pages:
            titled = f":caption: {caption}\n" if caption else ""
            tables.append(f"```{{toctree}}\n:hidden:\n{titled}\n" + "\n".join(pages) + "\n```\n")
    return "\n".join(tables)


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    """Add the navigation, and name the files of the repository that are no pages of the site."""
    source[0] = _OUTSIDE.sub(r"\1 (`\2` in the repository)", source[0])
    if page in {"index", "adr/README"}:
        source[0] += "\n\n" + _navigation(source[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _read)
