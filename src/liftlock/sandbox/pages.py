"""The few HTML pages that the sandbox shows to people: one frame, light and dark, no scripts."""

from __future__ import annotations

from html import escape

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #888; --link: #0b63c5; --good: #1a7f37; --bad: #c22; }
@media (prefers-color-scheme: dark) { :root { --link: #6cb6ff; --good: #57ab5a; --bad: #f47067; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
nav { margin-bottom: 1.5rem; color: var(--dim); } nav a { margin-right: 1rem; }
table { border-collapse: collapse; width: 100%; } .wide { overflow-x: auto; }
th { text-align: left; font-weight: 600; color: var(--dim); font-size: .85rem; }
td, th { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
code, pre { font: 13px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
article { border: 1px solid var(--line); border-left: 4px solid var(--link); border-radius: 6px;
  padding: .7rem 1rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
article h2 { margin: .2rem 0; } article p { margin: .2rem 0; white-space: pre-wrap; } .dim, small { color: var(--dim); }
.good { color: var(--good); } .bad { color: var(--bad); }
"""


def page(title: str, body: str, *, navigation: bool = False) -> str:
    """A whole document around `body`, which is HTML already."""
    links = '<nav><a href="/_sandbox/">Sandbox</a><a href="/slack">Slack</a></nav>' if navigation else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{links}{body}</body></html>"
    )


def table(headings: list[str], rows: list[list[str]], empty: str) -> str:
    """A table whose cells are HTML already, or a sentence when there are no rows."""
    if not rows:
        return f'<p class="dim">{escape(empty)}</p>'
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
