"""Templates into pages: what every page has around it, and how moments, sizes and commits are said."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from liftlock import __version__, wording
from liftlock.errors import LiftlockError
from liftlock.model import Commit
from liftlock.web.access.forms import form_token
from liftlock.web.access.people import PERSON
from liftlock.web.live import PROJECT
from liftlock.web.reading import View
from liftlock.web.site import site_of

TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"


@cache
def assets() -> Mapping[str, tuple[bytes, str]]:
    """The stylesheet, the script and the icon: their content, and what of it stands in their address."""
    found = {}
    for file in files("liftlock.web").joinpath("static").iterdir():
        if file.name.rpartition(".")[2] in TYPES:
            content = file.read_bytes()
            found[file.name] = content, hashlib.sha256(content).hexdigest()[:12]
    return found


def asset(name: str) -> str:
    """The address of an asset. It changes with the content, so browsers may keep it for ever."""
    return f"/static/{assets()[name][1]}/{name}"


async def static(request: Request) -> Response:
    """`GET /static/…`: one of our own files."""
    name = request.path_params["name"]
    if name not in assets():
        return Response("There is no such file.\n", 404, media_type="text/plain")
    content, digest = assets()[name]
    kept = FOREVER if request.path_params["digest"] == digest else "no-cache"
    return Response(content, media_type=TYPES[name.rpartition(".")[2]], headers={"cache-control": kept})


@pass_context
def ago(context: Context, moment: datetime | None) -> Markup:
    """How long ago, with the moment itself for whoever points at it."""
    if moment is None:
        return Markup("")
    now: datetime = context["now"]
    return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(
        moment.isoformat(timespec="seconds"), wording.moment(moment), age((now - moment).total_seconds())
    )


def age(seconds: float) -> str:
    """In one unit: 5 s, 12 min, 3 h, 4 d. The script says it in the same words."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} s"


def long(seconds: float | None) -> str:
    """A length of time that may be days; "-" where it is not known."""
    if seconds is None:
        return "-"
    return f"{seconds / 86400:.1f} d" if seconds >= 172800 else wording.duration(seconds)


def moment(time: datetime) -> Markup:
    """A moment to the minute, in UTC."""
    return Markup('<time datetime="{}">{}</time>').format(
        time.isoformat(timespec="seconds"), wording.moment(time)[:16]
    )


def subject(commit: Commit | None) -> str:
    """A commit's subject, without the number of its pull request at the end, which is shown beside it."""
    if commit is None:
        return ""
    number = commit.pull_request
    return commit.subject.removesuffix(f"(#{number})").rstrip() if number else commit.subject


def address(path: str, *parts: str, **query: str | Sequence[str] | None) -> str:
    """A path of ours: `address("/plan", source, target, app=apps)`; what is empty is left out."""
    whole = "/".join([path.rstrip("/"), *(quote(part, safe="") for part in parts)]) or "/"
    asked = urlencode({key: value for key, value in query.items() if value}, doseq=True)
    return f"{whole}?{asked}" if asked else whole


def lines(text: str) -> Markup:
    """A text of several lines, as it stands."""
    return Markup("<br>").join(escape(line) for line in text.splitlines())


@cache
def templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("liftlock.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"address": address, "asset": asset, "version": __version__}
    environment.filters |= {
        "ago": ago,
        "age": age,
        "moment": moment,
        "subject": subject,
        "size": wording.size,
        "duration": wording.duration,
        "listed": wording.listed,
        "clipped": wording.clipped,
        "lines": lines,
        "long": long,
    }
    return environment


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    topics: Sequence[str] = (PROJECT,),
    version: int | None = None,
    reload_s: int = 0,
    **context: Any,
) -> HTMLResponse:
    """A page. It is live for `topics`, as they were at `version`: before what it shows was read.

    Without topics it stands as it is, and so it does for whoever is not signed in: nobody tells them anything.
    With `reload_s` it loads itself again after so many seconds where there are no scripts.
    """
    site, known = site_of(request), request.scope.get(PERSON)
    seen = site.changes.version(topics) if version is None else version
    html = (
        templates()
        .get_template(template)
        .render(
            site=site,
            project=site.project,
            path=request.url.path,
            token=partial(form_token, request),
            me=known,
            now=site.reading.now(),
            live=address("/live", topic=list(topics), version=str(seen)) if topics and known else "",
            reload_s=reload_s,
            **context,
        )
    )
    return HTMLResponse(html, status, headers={"cache-control": "no-store"})


MOST_FRAGMENTS = 64
AGES_S = 5
"""Ages in a fragment are at most so many seconds behind; the script counts on from there."""


def fragment(
    request: Request, template: str, key: Hashable, *of: object, **make: Callable[[], Any]
) -> Markup:
    """The large part of a page, drawn once for all who are shown the same.

    `key` says what is shown, and `of` are the values that it is made of: as long as they are the very same
    ones, it is drawn again only for the ages in it. `make` gives what the template needs, when it is drawn.
    """
    site = site_of(request)
    now = site.reading.now()
    tick = int(now.timestamp()) // AGES_S
    whole = (template, key)
    kept = site.fragments.get(whole)
    if kept is not None and kept[0] == tick and all(a is b for a, b in zip(kept[1], of, strict=True)):
        site.fragments.move_to_end(whole)
        return kept[2]
    values = {name: value() for name, value in make.items()}
    drawn = Markup(templates().get_template(template).render(project=site.project, now=now, **values))  # noqa: S704 - a template's, escaped by it
    site.fragments[whole] = tick, of, drawn
    if len(site.fragments) > MOST_FRAGMENTS:
        site.fragments.popitem(last=False)
    return drawn


def troubled(request: Request, error: LiftlockError, status: int) -> HTMLResponse:
    """A page that says what went wrong, why, and what to do next."""
    return page(request, "trouble.html", status=status, error=error, title=_TITLES.get(status, "That failed"))


_TITLES = {
    404: "Not here",
    403: "Not yours to do",
    409: "It has moved",
    421: "Not here",
    429: "Too often",
    503: "Not now",
}


def stale(*views: View[Any]) -> View[Any] | None:
    """The first view that is not as new as it should be, to be said on the page."""
    return next((view for view in views if view.trouble is not None and view.value is not None), None)
