"""How a run ended, as the JSON documents that `--json` prints and that the server keeps."""

from __future__ import annotations

from liftlock.documents.error import error_document
from liftlock.engine.outcome import Result
from liftlock.model import Intent
from liftlock.planning.plan import Plan


def result_document(plan: Plan, result: Result) -> dict[str, object]:
    """How a run ended, for `--json`."""
    return {
        "kind": plan.kind.value,
        "source": plan.source or None,
        "environment": plan.environment,
        "plan": plan.digest,
        "ending": result.ending.value,
        "exit_code": result.exit_code,
        "elapsed_s": round(result.elapsed_s, 3),
        "promotion": result.intent.id if result.intent else None,
        "apps": {app: standing.value for app, standing in result.apps.items()},
        "records": {app: d.id for app, d in (result.deployments or {}).items()},
        "backups": [{"app": b.app, "id": b.id, "size_bytes": b.size_bytes} for b in result.backups],
        "put_back": list(result.put_back),
        "error": error_document(result.cause),
        "failed_step": result.failed_step or None,
        "cause": result.cause.message if result.cause else result.interrupted or None,
        "hint": result.cause.hint if result.cause else None,
        "notes": list(result.notes),
    }


def resume_document(
    environment: str, intent: Intent | None, chosen: str, result: Result
) -> dict[str, object]:
    """How a resume ended, for `--json`; without an intent, nothing stood open."""
    return {
        "promotion": intent.id if intent else None,
        "environment": environment,
        "did": chosen or None,
        "ending": result.ending.value,
        "exit_code": result.exit_code,
        "error": error_document(result.cause),
        "apps": {app: standing.value for app, standing in result.apps.items()},
        "notes": list(result.notes),
    }
