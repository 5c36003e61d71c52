"""In a job of GitHub Actions: annotations of failures, a summary of what went where, and outputs.

An observer beside the others: it hears the same events and the same outcome, and says nothing where
no runner listens. Source: GitHub Actions, "Workflow commands" (and `@actions/core`, `command.ts` and
`file-command.ts`, for how values are escaped).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from liftlock.cli.steps import in_words
from liftlock.engine.events import Emit, Event, RunStarted, StepFinished
from liftlock.engine.outcome import Ending, Result
from liftlock.errors import LiftlockError, ungrouped
from liftlock.model import Intent, Project
from liftlock.planning.plan import Plan, StepKind

STATES = {2: "invalid", 3: "refused", 4: "busy", 6: "mixed", 130: "interrupted", 143: "interrupted"}
"""By exit code of an error: the output `state`; any other is "failed"."""
ENDINGS = {
    Ending.SUCCEEDED: "succeeded",
    Ending.FAILED: "failed",
    Ending.MIXED: "mixed",
    Ending.UNRECORDED: "unrecorded",
}
TITLE_LENGTH = 120


class Report:
    """What one command tells the runner. Without a runner, nothing."""

    def __init__(self, verb: str, environment: str, environ: Mapping[str, str] = os.environ) -> None:
        way = "to" if verb.startswith(("promotion", "deploy")) else "in"
        self._title = f"{verb} {way} {environment}"
        self._environment = environment
        self._listened = environ.get("GITHUB_ACTIONS") == "true"
        self._environ = environ
        self._plan: tuple[Project, Plan] | None = None
        self._state = ""
        self.failure: tuple[str, str] | None = None
        """What is to be annotated of a run that ended badly, and its title."""

    def shows(self, project: Project, plan: Plan) -> None:
        """The plan, as it is shown; the last one that is shown is the one that counts."""
        self._plan = project, plan
        self._output(plan=plan.digest)

    def hears(self, emit: Emit) -> Emit:
        """`emit`, with what a later step of the job has to know even if this one is killed."""

        def tell(event: Event) -> None:
            match event:
                case RunStarted():
                    self._output(began="true", plan=event.plan_digest)
                case StepFinished(kind=StepKind.INTENT, outcome="done", detail=promotion) if promotion:
                    self._output(promotion=promotion)
                case _:
                    pass
            emit(event)

        return tell if self._listened else emit

    def planned(self, plan: Plan) -> None:
        """Only shown, as `--dry-run` does."""
        self._state = "blocked" if plan.blocked else "planned"

    def ended(self, result: Result, plan: Plan | None = None, intent: Intent | None = None) -> None:
        """How the run ended: that of `plan`, or the undo of `intent`."""
        if not self._listened:
            return
        self._state = ENDINGS[result.ending]
        if intent is not None and result.ending is Ending.FAILED:
            self._state = "undone"
        elif plan is not None and not plan.changes:
            self._state = "unchanged"
        elif result.interrupted and result.ending is Ending.FAILED:
            self._state = "interrupted"
        promotion = result.intent or intent
        self._output(
            promotion=promotion.id if promotion else "",
            plan=plan.digest if plan else "",
            apps=json.dumps({app: standing.value for app, standing in result.apps.items()}),
        )
        from liftlock.cli import runner_summary

        if intent is not None:
            self._summarize(runner_summary.undone(intent, result))
        elif plan is not None and self._plan is not None:
            self._summarize(runner_summary.ended(self._plan[0], plan, result, self._environ))
        if self._state not in {"succeeded", "unchanged", "undone"}:
            cause = result.cause.message if result.cause else result.interrupted
            hint = result.cause.hint if result.cause else ""
            where = f"{in_words(result.failed_step)}: " if result.failed_step else ""
            self.failure = f"{where}{cause}\n{hint}".strip(), f"{self._title}: {self._state}"

    def finished(self, code: int) -> None:
        """The command ends with this exit code."""
        state = self._state or ("unchanged" if code == 0 else STATES.get(code, "failed"))
        if self._state in {"failed", "interrupted"} and code in STATES:
            state = STATES[code]
        self._output(**{"state": state, "exit-code": str(code), "environment": self._environment})

    def failed(self, error: LiftlockError) -> None:
        """The command ends with this error."""
        if not self._listened:
            return
        self._state = "superseded" if error.exit_code == 0 else STATES.get(error.exit_code, "failed")
        from liftlock.cli import runner_summary

        self._summarize(runner_summary.refused(self._title, self._plan, error, self._environ))
        self.finished(error.exit_code)

    def _output(self, **values: str) -> None:
        text = "".join(output(name, value) for name, value in values.items() if value)
        self._append(self._environ.get("GITHUB_OUTPUT", ""), text)

    def _summarize(self, text: str) -> None:
        self._append(self._environ.get("GITHUB_STEP_SUMMARY", ""), text)

    def _append(self, path: str, text: str) -> None:
        """A runner that cannot be told must not cut a promotion off."""
        if not (path and self._listened):
            return
        try:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            annotate(f"{path} cannot be written: {error.strerror}.", "liftlock", self._environ, "warning")


@contextmanager
def reported(verb: str, environment: str, environ: Mapping[str, str] = os.environ) -> Iterator[Report]:
    """The report of one command. An error that leaves is summarized; `app.run` annotates it, as every one."""
    report = Report(verb, environment, environ)
    try:
        with unheeded(environ), ungrouped():
            yield report
    except LiftlockError as error:
        report.failed(error)
        raise
    finally:
        if report.failure is not None:
            annotate(*report.failure, environ)


@contextmanager
def unheeded(environ: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Lines that are printed in here are no commands to the runner: an app's log, a program's output.

    Source: GitHub Actions, "Workflow commands", "Stopping and starting workflow commands".
    """
    if environ.get("GITHUB_ACTIONS") != "true":
        yield
        return
    token = f"end-{uuid4().hex}"
    _command(f"::stop-commands::{token}")
    try:
        yield
    finally:
        _command(f"::{token}::")


def _command(line: str) -> None:
    """On standard error: standard output may be a document's."""
    with suppress(OSError):  # nobody reads any more
        sys.stdout.flush()
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def annotate(message: str, title: str, environ: Mapping[str, str] = os.environ, level: str = "error") -> None:
    """Show `message` at the run's page."""
    if environ.get("GITHUB_ACTIONS") == "true":
        _command(annotation(message, title, level))


def annotation(message: str, title: str, level: str) -> str:
    """A workflow command that shows `message` at the run's page, however many lines it has."""
    return f"::{level} title={_property(title[:TITLE_LENGTH])}::{_data(message)}"


def output(name: str, value: str) -> str:
    """A line block of `GITHUB_OUTPUT`. The delimiter is nobody's to guess, so no value can end it early."""
    delimiter = f"end-{uuid4().hex}"
    return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
