"""The four numbers: a page, a JSON document, and metrics for Prometheus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from liftlock import __version__
from liftlock.commands.status import Cell
from liftlock.errors import LiftlockError
from liftlock.model import Known
from liftlock.planning.observation import Drift
from liftlock.web.access.people import Right, person_of
from liftlock.web.live import PROJECT
from liftlock.web.numbers import MEANINGS, Numbers, Report
from liftlock.web.pages.render import fragment, long, page
from liftlock.web.pictures.columns import HEIGHT, Columns, columns
from liftlock.web.site import site_of

DAYS = (30, 90, 365)
METRIC_DAYS = 30
METRICS = "text/plain; version=0.0.4"


def days_of(request: Request) -> int:
    """Over how many days; 90 for anything that cannot be chosen."""
    said = request.query_params.get("days", "")
    return int(said) if said in {str(days) for days in DAYS} else 90


def said(numbers: Numbers) -> Mapping[str, str]:
    """The four numbers in words; "-" for what is not known."""
    rate = numbers.failure_rate
    return {
        "frequency": frequency(numbers.per_day),
        "lead_time": long(numbers.lead_time_s),
        "failure_rate": "-" if rate is None else f"{rate * 100:.0f} %",
        "restore": long(numbers.restore_s),
    }


def frequency(per_day: float) -> str:
    """How often, in the unit that is at least one."""
    if per_day <= 0:
        return "none"
    for times, unit in ((1, "a day"), (7, "a week"), (30.44, "a month")):
        if per_day * times >= 1:
            return f"{per_day * times:.1f} {unit}"
    return f"every {1 / per_day:.0f} d"


async def numbers(request: Request) -> Response:
    """`GET /numbers`: the four numbers of every environment, and of every app in one of them."""
    site = site_of(request)
    days = days_of(request)
    seen = person_of(request).where(Right.SEE)
    version = site.changes.version((PROJECT,))
    view = await site.reading.numbers(days)
    chosen = request.query_params.get("environment", "")
    chosen = chosen if chosen in seen else next(reversed(seen), "")
    found = view.value
    drawn = Markup("")
    if found is not None:
        shown = found
        drawn = fragment(
            request,
            "numbers_report.html",
            (days, chosen, tuple(seen)),
            found,
            report=lambda: shown,
            environments=lambda: [_card(shown.environments[name]) for name in seen],
            apps=lambda: [
                (shown.apps[chosen, app], said(shown.apps[chosen, app]))
                for app in site.project.apps
                if (chosen, app) in shown.apps
            ],
            chosen=lambda: chosen,
            days=lambda: days,
            seen=lambda: seen,
            meanings=lambda: MEANINGS,
            height=lambda: HEIGHT,
        )
    return page(
        request,
        "numbers.html",
        version=version,
        reload_s=2 if view.is_first_look else 0,
        view=view,
        days=days,
        choices=DAYS,
        chosen=chosen,
        drawn=drawn,
    )


def _card(numbers: Numbers) -> tuple[Numbers, Mapping[str, str], Columns]:
    return numbers, said(numbers), columns(numbers.weeks)


async def numbers_document(request: Request) -> Response:
    """`GET /numbers.json`: the same, for machines. 503 while nothing is known yet."""
    site = site_of(request)
    view = await site.reading.numbers(days_of(request))
    if view.value is None:
        error = view.trouble or LiftlockError(
            "The records are being looked at.", hint="Ask again in a moment."
        )
        return JSONResponse({"error": {"message": error.message, "hint": error.hint or None}}, 503)
    return JSONResponse(report_document(view.value, person_of(request).where(Right.SEE)))


def report_document(report: Report, environments: list[str]) -> dict[str, Any]:
    """A report; what is not known is null. Times are in seconds."""
    return {
        "since": report.since.isoformat(timespec="seconds"),
        "until": report.until.isoformat(timespec="seconds"),
        "days": report.days,
        "is_cut": report.is_cut,
        "environments": {
            name: {
                **_document(report.environments[name]),
                "weeks": [
                    {
                        "since": week.since.isoformat(timespec="seconds"),
                        "succeeded": week.succeeded,
                        "failed": week.failed,
                    }
                    for week in report.environments[name].weeks
                ],
                "apps": {
                    app: _document(found) for (place, app), found in report.apps.items() if place == name
                },
            }
            for name in environments
        },
        "meanings": {key: {"name": one.name, "how": one.how} for key, one in MEANINGS.items()},
    }


def _document(numbers: Numbers) -> dict[str, Any]:
    return {
        "deployments": numbers.deployments,
        "deployments_per_day": round(numbers.per_day, 4),
        "lead_time_s": numbers.lead_time_s,
        "lead_time_p90_s": numbers.lead_time_p90_s,
        "lead_times": numbers.lead_times,
        "changes": numbers.changes,
        "failures": numbers.failures,
        "failure_rate": numbers.failure_rate,
        "restore_s": numbers.restore_s,
        "restored": numbers.restored,
    }


async def metrics(request: Request) -> Response:
    """`GET /metrics`: what runs and the four numbers of the last 30 days, as Prometheus reads them."""
    seen = person_of(request).where(Right.SEE)
    return PlainTextResponse(
        "\n".join([*[line async for line in _metrics(request, seen)], ""]), media_type=METRICS
    )


async def _metrics(request: Request, seen: list[str]) -> AsyncIterator[str]:
    site = site_of(request)
    board = await site.reading.board()
    for line in _family("info", "The version that is served.", [({"version": __version__}, 1.0)]):
        yield line
    streams = float(max(site.changes.watchers[PROJECT], 0))
    for line in _family("live_streams", "Browsers that follow the board now.", [({}, streams)]):
        yield line
    if board.at is not None:
        age = (site.reading.now() - board.at).total_seconds()
        for line in _family("observation_age_seconds", "How old what is known of the board is.", [({}, age)]):
            yield line
    if board.value is not None:
        status = board.value
        counted: tuple[tuple[str, str, Callable[[Cell], bool]], ...] = (
            ("waiting_apps", "Apps that wait to be lifted to an environment.", lambda c: bool(c.behind)),
            ("drifted_apps", "Apps whose running differs from recorded.", lambda c: c.drift is Drift.DRIFT),
            (
                "unknown_apps",
                "Apps of which it cannot be told what runs.",
                lambda c: c.drift is Drift.UNKNOWN,
            ),
            (
                "unhealthy_apps",
                "Apps that their platform says are not healthy.",
                lambda c: isinstance(c.running, Known) and c.running.healthy is False,
            ),
        )
        for name, what, test in counted:
            cells = {e: [c for c in status.cells.values() if c.environment == e] for e in seen}
            counts = [({"environment": e}, float(sum(map(test, cells[e])))) for e in seen]
            for line in _family(name, what, counts):
                yield line
        open_ = [({"environment": e}, float(len(status.open_intents.get(e, ())))) for e in seen]
        for line in _family("open_promotions", "Promotions that stand open.", open_):
            yield line
    report = await site.reading.numbers(METRIC_DAYS)
    if report.value is not None:
        for line in _numbers(report.value, seen):
            yield line


def _numbers(report: Report, seen: list[str]) -> Iterator[str]:
    every = [found for found in report.environments.values() if found.environment in seen]
    every += [found for (place, _), found in report.apps.items() if place in seen and found.changes]
    families: tuple[tuple[str, str, Callable[[Numbers], float | None]], ...] = (
        ("deployments_per_day", MEANINGS["frequency"].how, lambda n: n.per_day),
        ("lead_time_seconds", MEANINGS["lead_time"].how, lambda n: n.lead_time_s),
        ("change_failure_ratio", MEANINGS["failure_rate"].how, lambda n: n.failure_rate),
        ("time_to_restore_seconds", MEANINGS["restore"].how, lambda n: n.restore_s),
    )
    for name, how, value in families:
        samples = [
            ({"environment": found.environment, "app": found.app}, number)
            for found in every
            if (number := value(found)) is not None
        ]
        yield from _family(name, how, samples)


def _family(name: str, what: str, samples: Sequence[tuple[Mapping[str, str], float]]) -> Iterator[str]:
    """One metric with its samples, in Prometheus' text format 0.0.4."""
    yield f"# HELP liftlock_{name} {_escaped(what)}"
    yield f"# TYPE liftlock_{name} gauge"
    for labels, value in samples:
        named = ",".join(f'{key}="{_quoted(text)}"' for key, text in labels.items())
        yield f"liftlock_{name}{'{' + named + '}' if named else ''} {value:.6g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
