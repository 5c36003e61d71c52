"""What a run's events say, gathered: which step went on when, what was said, and how it ended. Pure.

The same for a run that goes on, from its events; for one that is long over, from its records; and for one
that is only planned, from its plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from liftlock import wording
from liftlock.commands.history import Account
from liftlock.model import EMPTY
from liftlock.planning.plan import BARRIERS, Plan, StepKind
from liftlock.wording import read_moment

GUESS_S = 2.0
"""How long a step is drawn whose time nobody knows."""
REQUEST_S = 0.4
"""How long one is drawn that is a request to the ledger."""
SEEN = "as seen from here"
LONG = frozenset({"stage", "backup", "release", "verify", "undo"})
_BARRIERS = frozenset(kind.value for kind in BARRIERS)


class Progress(StrEnum):
    """How a step stands."""

    PLANNED = "planned"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Bar:
    """One step, on the run's own clock; what has not ended, or not begun, stands where it should."""

    step: str
    kind: str
    app: str
    began_s: float
    ended_s: float
    progress: Progress
    detail: str = ""
    is_guess: bool = False
    """Whether nobody knows how long it takes."""

    @property
    def took_s(self) -> float:
        return max(self.ended_s - self.began_s, 0.0)


@dataclass(frozen=True, slots=True)
class Mark:
    """A barrier: a moment that everything before it waits for."""

    kind: str
    at_s: float
    is_passed: bool


@dataclass(frozen=True, slots=True)
class Said:
    """A line of the log."""

    at: datetime
    words: str
    tone: str = "quiet"
    app: str = ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run, as pictures and pages show it."""

    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()
    log: tuple[Said, ...] = ()
    now_s: float | None = None
    """How long it has been running; None for one that does not run."""
    expected_s: float | None = None
    is_whole: bool = False
    """Whether the times of all its steps are known."""
    steps: int = 0
    done: int = 0
    promotion: str = ""
    """The id of its intent, once that is written."""
    outcome: str = ""
    message: str = ""
    elapsed_s: float | None = None
    standings: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    apps: tuple[str, ...] = ()
    commits: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """By app, the commit that it gets, where a plan told it."""

    @property
    def total_s(self) -> float:
        return max((bar.ended_s for bar in self.bars), default=0.0)

    @property
    def is_guess(self) -> bool:
        return any(bar.is_guess for bar in self.bars if bar.progress is Progress.PLANNED)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step of a plan, as its document has it."""

    id: str
    kind: str
    app: str
    needs: tuple[str, ...]
    expected_s: float | None


def steps_of(plan: Plan) -> tuple[PlannedStep, ...]:
    return tuple(PlannedStep(s.id, s.kind.value, s.app, s.needs, s.expected_s) for s in plan.steps)


def planned(plan: Plan) -> Timeline:
    """A plan as it should go."""
    bars, marks = _laid_out(steps_of(plan), {}, None)
    apps = tuple(app.app for app in plan.apps.values() if app.changes)
    return Timeline(bars, marks, steps=len(bars), apps=apps)


def recorded(account: Account) -> Timeline:
    """A run that is over, by the times that its records keep."""
    bars = tuple(
        Bar(f"{kind}:{app}", kind, app, time.began_s, time.ended_s, Progress.DONE)
        for app, record in account.records.items()
        for kind, time in record.steps.items()
    )
    switched = [bar.began_s for bar in bars if bar.kind == "release"]
    ready = max((bar.ended_s for bar in bars if bar.kind in {"stage", "backup"}), default=None)
    marks = (Mark(StepKind.READY.value, ready, is_passed=True),) if switched and ready is not None else ()
    intent = account.intent
    took = (intent.finished_at - intent.created_at).total_seconds() if intent.finished_at else None
    return Timeline(
        bars,
        marks,
        promotion=intent.id,
        elapsed_s=took,
        apps=tuple(intent.releases),
        steps=len(bars),
        done=len(bars),
    )


def heard(events: Iterable[Mapping[str, Any]], now: datetime) -> Timeline:
    """A run by its events, oldest first; what has not ended is drawn up to `now`, and where it should end."""
    story = _Story()
    for event in events:
        story.hear(event)
    return story.told(now)


def sighted(
    steps: Sequence[PlannedStep],
    begins: Mapping[str, float],
    ends: Mapping[str, float],
    now_s: float | None,
) -> Timeline:
    """A run by what was seen of it from outside: by step, when it ended, and where it is known when it began.

    `steps` come after those that they need. What has all that it needs goes on, unless nothing does: without `now_s`.
    """
    heard: dict[str, _Heard] = {}
    passed: dict[str, float] = {}
    for step in steps:
        needs = [passed.get(need) for need in step.needs]
        known = [need for need in needs if need is not None]
        is_due = len(known) == len(needs)
        began_s = begins.get(step.id, max(known, default=0.0))
        ended_s = ends.get(step.id)
        if step.kind in _BARRIERS:
            if is_due:
                passed[step.id] = began_s
        elif ended_s is not None:
            passed[step.id] = ended_s
            began_s = min(began_s, ended_s)
            heard[step.id] = _Heard(
                step.kind, step.app, began_s, None, ended_s, Progress.DONE, "" if step.id in begins else SEEN
            )
        elif is_due and now_s is not None:
            heard[step.id] = _Heard(step.kind, step.app, began_s, step.expected_s)
    bars, marks = _laid_out(steps, heard, now_s)
    return Timeline(
        bars=bars,
        marks=marks,
        now_s=now_s,
        steps=len(bars),
        done=sum(bar.progress is Progress.DONE for bar in bars),
    )


@dataclass(slots=True)
class _Heard:
    """A step that began."""

    kind: str
    app: str
    began_s: float
    expected_s: float | None
    ended_s: float | None = None
    progress: Progress = Progress.RUNNING
    detail: str = ""


class _Story:
    def __init__(self) -> None:
        self.began: datetime | None = None
        self.steps: tuple[PlannedStep, ...] = ()
        self.heard: dict[str, _Heard] = {}
        self.log: list[Said] = []
        self.end: Mapping[str, Any] | None = None
        self.start: Mapping[str, Any] = {}
        self.is_going_back = False
        self.promotion = ""
        self.commits: dict[str, str] = {}

    def hear(self, event: Mapping[str, Any]) -> None:
        at = read_moment(event.get("at"))
        match event.get("event"):
            case "plan":
                self.steps = tuple(_planned_steps(event["plan"]))
                apps = event["plan"]["apps"]
                self.commits = {app: one["release"]["commit"] for app, one in apps.items() if one["release"]}
            case "run-started":
                self.began, self.start = at, event
            case "step-started":
                self.began = self.began or at
                self.heard[event["step"]] = _Heard(
                    event["kind"], event.get("app", ""), self._since(at), event.get("expected_s")
                )
            case "step-progress":
                if (step := self.heard.get(event["step"])) is not None:
                    step.detail = event["text"]
            case "step-finished":
                self._finished(event, at)
            case "waiting":
                self.say(
                    at, f"waiting {event['seconds']:.0f} s for {event['vendor']}: {event['why']}", "doubt"
                )
            case "stopping":
                self.is_going_back = True
                self.say(at, f"Stopping: {event['reason']}. Nothing new is begun.", "alarm")
            case "undo-started":
                self.is_going_back = True
                self.say(at, f"Putting back, last switched first: {', '.join(event['apps'])}", "doubt")
            case "notice":
                self.say(at, event["text"], "doubt")
            case "run-finished":
                self.end = event

    def _finished(self, event: Mapping[str, Any], at: datetime) -> None:
        step = self.heard.get(event["step"])
        if step is None:
            return
        step.ended_s = step.began_s + float(event["elapsed_s"])
        step.progress = Progress(event["outcome"])
        step.detail = event.get("detail", "")
        if step.kind == StepKind.INTENT and step.progress is Progress.DONE:
            self.promotion = step.detail
        if step.kind in LONG or step.progress is Progress.FAILED:
            words = f"{WORDS.get(step.kind, step.kind)} {PAST[step.progress]}"
            took = f" in {wording.duration(event['elapsed_s'])}" if step.progress is Progress.DONE else ""
            detail = f": {step.detail}" if step.detail else ""
            tone = "alarm" if step.progress is Progress.FAILED else "quiet"
            self.say(at, f"{words}{took}{detail}", tone, step.app)

    def say(self, at: datetime, words: str, tone: str = "quiet", app: str = "") -> None:
        self.log.append(Said(at, words, tone, app))

    def _since(self, at: datetime) -> float:
        return (at - self.began).total_seconds() if self.began else 0.0

    def told(self, now: datetime) -> Timeline:
        now_s = max(self._since(now), 0.0) if self.began and self.end is None else None
        steps = () if self.is_going_back or self.end else self.steps
        bars, marks = _laid_out(steps, self.heard, now_s)
        if not steps:
            marks = _passed(self.steps, self.heard)
        end = self.end or {}
        working = [step for step in self.heard.values() if step.kind not in _BARRIERS]
        return Timeline(
            bars=bars,
            marks=marks,
            log=tuple(self.log),
            now_s=now_s,
            expected_s=self.start.get("expected_s"),
            is_whole=bool(self.start.get("expected_is_whole")),
            steps=int(self.start.get("steps", 0)),
            done=sum(step.progress is Progress.DONE for step in working),
            promotion=self.promotion,
            outcome=str(end.get("outcome", "")),
            message=str(end.get("message", "")),
            elapsed_s=end.get("elapsed_s"),
            standings=dict(end.get("apps", {})),
            apps=tuple(self.start.get("apps", ())),
            commits=self.commits,
        )


WORDS = {
    "stage": "stage",
    "backup": "backup",
    "release": "switch",
    "verify": "verify",
    "undo": "put back",
    "intent": "promotion's record",
    "journal": "journal",
    "record": "record",
    "mark": "record's state",
    "close": "promotion's end",
    "free": "lease",
    "retire": "older records",
    "notify": "message",
}
PAST = {
    Progress.DONE: "done",
    Progress.FAILED: "failed",
    Progress.CANCELLED: "given up",
    Progress.RUNNING: "goes on",
    Progress.PLANNED: "to come",
}


def _planned_steps(document: Mapping[str, Any]) -> Iterable[PlannedStep]:
    for step in document["steps"]:
        yield PlannedStep(
            step["id"], step["kind"], step["app"] or "", tuple(step["needs"]), step["expected_s"]
        )


def _laid_out(
    steps: Sequence[PlannedStep], heard: Mapping[str, _Heard], now_s: float | None
) -> tuple[tuple[Bar, ...], tuple[Mark, ...]]:
    """Every step where it was, is, or should come to be: as soon as all that it needs has ended."""
    bars = {id_: _bar(id_, step, now_s) for id_, step in heard.items() if step.kind not in _BARRIERS}
    ends = {id_: bar.ended_s for id_, bar in bars.items()}
    marks: list[Mark] = []
    known = {step.id for step in steps}
    switched = {step.app for step in steps if step.kind == StepKind.RELEASE}
    left = list(steps)
    while left:
        later = []
        for step in left:
            needs = [need for need in step.needs if need in known]
            if any(need not in ends for need in needs):
                later.append(step)
                continue
            begins = max([ends[need] for need in needs], default=0.0)
            if step.kind in _BARRIERS:
                ends[step.id] = begins
                passed = bool(needs) and all(
                    bars[need].progress is Progress.DONE for need in needs if need in bars
                )
                marks.append(Mark(step.kind, begins, passed))
            elif step.id not in ends:
                begins = max(begins, now_s or 0.0)
                takes = step.expected_s
                # Where only the record moves, verifying is one look.
                is_guess = takes is None and step.kind in LONG and step.app in switched
                if takes is None:
                    takes = GUESS_S if is_guess else REQUEST_S
                ends[step.id] = begins + takes
                bars[step.id] = Bar(
                    step.id, step.kind, step.app, begins, begins + takes, Progress.PLANNED, is_guess=is_guess
                )
        if len(later) == len(left):  # a need that nobody knows: what is left has no place
            break
        left = later
    return tuple(bars.values()), tuple(marks)


def _bar(id_: str, step: _Heard, now_s: float | None) -> Bar:
    ended = step.ended_s
    if ended is None:
        ended = max(now_s or 0.0, step.began_s + (step.expected_s or 0.0))
    return Bar(id_, step.kind, step.app, step.began_s, ended, step.progress, step.detail)


def _passed(steps: Sequence[PlannedStep], heard: Mapping[str, _Heard]) -> tuple[Mark, ...]:
    """The barriers that a run that is over, or going back, came past."""
    found = []
    for step in steps:
        if step.kind not in _BARRIERS:
            continue
        needs = [heard.get(need) for need in step.needs]
        ends = [need.ended_s for need in needs if need is not None and need.progress is Progress.DONE]
        if needs and len(ends) == len(needs):
            found.append(Mark(step.kind, max(end for end in ends if end is not None), is_passed=True))
    return tuple(found)
