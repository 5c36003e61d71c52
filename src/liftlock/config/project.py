"""From a file that is right to the `Project` that the rest of liftlock works with."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from liftlock.config.draft import Draft
from liftlock.config.endpoints import ENDPOINTS
from liftlock.config.naming import (
    by_environment,
    fill,
    platforms_of,
    record_name,
    registry_of,
    target_name,
    vendor_names,
)
from liftlock.config.schema import (
    PULLS_NOTHING,
    AppTable,
    BackupTable,
    CommandTable,
    File,
    GatesTable,
    ProcessTable,
    ProjectTable,
)
from liftlock.config.serving import serve_of
from liftlock.config.values import Mistake, duration_s, endpoint
from liftlock.model import App, Environment, GateCommand, Gates, ProcessSource, Project, Target, Undo


def build(file: File, endpoints: Mapping[str, str], added_platforms: frozenset[str], root: str) -> Project:
    """The project that a checked file means."""
    environments = {name: _environment(file, name) for name in _upwards(file)}
    engines = {name: table.docker for name, table in file.environments.items()}
    apps = {
        name: _app(name, app, file.project, environments, engines, platforms_of(app, added_platforms)[0])
        for name, app in file.apps.items()
    }
    meaning: dict[str, Any] = {
        "name": file.project.name,
        "repository": file.project.repository,
        "ledger": file.project.ledger,
        "settle_s": duration_s(file.project.settle),
        "environments": environments,
        "apps": apps,
        "endpoints": endpoints,
        "lease": file.project.lease,
        "archive": file.project.archive,
        "single_machine": file.project.single_machine,
    }
    notify = {"slack": {"webhook": file.notify.slack.webhook}} if file.notify.slack else {}
    serve = serve_of(
        file.serve,
        {name: file.environments[name].roles for name in environments},
        {name: file.environments[name].confirm for name in environments},
    )
    return Project(**meaning, notify=notify, config_digest=_digest(meaning), root=root, serve=serve)


def resolve_endpoints(file: File, environ: Mapping[str, str], draft: Draft) -> dict[str, str]:
    """Every vendor's base address: the variable, else the file, else the vendor's own."""
    found: dict[str, str] = {}
    for vendor, (variable, default) in ENDPOINTS.items():
        found[vendor] = getattr(file.endpoints, vendor) or default
        if environ.get(variable):
            try:
                found[vendor] = endpoint(environ[variable])
            except Mistake as mistake:
                draft.note(("endpoints", vendor), f"the variable {variable} {mistake}", mistake.hint)
    return found


def _upwards(file: File) -> list[str]:
    """The environments from the first level up; those of one level as in the file."""
    ordered: list[str] = []
    while len(ordered) < len(file.environments):
        ordered += [
            name
            for name, table in file.environments.items()
            if name not in ordered and all(below in ordered for below in table.promotes_from)
        ]
    return ordered


def _environment(file: File, name: str) -> Environment:
    table = file.environments[name]
    names = vendor_names(name, table)
    return Environment(name, tuple(table.promotes_from), names, _gates(table.gates, name, names))


def _gates(table: GatesTable, environment: str, vendors: Mapping[str, str]) -> Gates:
    command = None
    if table.command:
        command = GateCommand(
            run=tuple(fill(each, environment, vendors) for each in table.command.run),
            env=tuple(table.command.env),
            timeout_s=duration_s(table.command.timeout),
        )
    return Gates(
        approvals=table.approvals,
        soak_s=duration_s(table.soak),
        window=table.window,
        freeze=tuple(table.freeze),
        checks=table.checks if isinstance(table.checks, bool) else tuple(table.checks),
        source_healthy=table.source_healthy,
        backup_age_s=duration_s(table.backup_age),
        command=command,
    )


def _app(
    name: str,
    app: AppTable,
    project: ProjectTable,
    environments: Mapping[str, Environment],
    engines: Mapping[str, str],
    platform: str,
) -> App:
    repository = project.repository
    targets: dict[str, Target] = {}
    records = {}
    for environment, level in environments.items():
        records[environment] = record_name(name, app, repository, environment, level.names)
        targets[environment] = Target(
            app=name,
            environment=environment,
            platform=platform,
            name=target_name(name, app, platform, environment, level.names) or name,
            repository=app.repository or repository,
            processes=tuple(app.processes),
            health=app.health,
            options=_stack(app, engines[environment])
            if platform == "swarm"
            else _options(app, platform, environment, level.names),
            backup=_backup(app, environment, level.names),
            registry=""
            if platform in PULLS_NOTHING
            else registry_of(app, project, environment, level.names) or "",
        )
    return App(
        name=name,
        platform=platform,
        repository=app.repository or repository,
        targets=targets,
        records=records,
        after=tuple(app.after),
        backup=app.backup is not False,
        databases=POSTGRES if isinstance(app.backup, BackupTable) else "",
        undo=_undo(app),
        processes={process: _source(table) for process, table in app.processes.items()},
        paths=tuple(app.paths or ()),
        migrations=tuple(app.migrations or ()),
    )


def _backup(app: AppTable, environment: str, vendors: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(app.backup, BackupTable):
        return {}
    url = by_environment(app.backup.url, environment, vendors)
    return {"url": url or "", "folder": fill(app.backup.folder, environment, vendors)}


def _source(table: ProcessTable) -> ProcessSource:
    return ProcessSource(
        image=table.image,
        dockerfile=table.dockerfile,
        directory=table.directory,
        command=tuple(table.command),
        archive=table.archive,
        layout=table.layout,
        build=tuple(shlex.split(table.build)),
        context=table.context,
        target=table.target,
        args=tuple(sorted(table.args.items())),
        platform=table.platform,
        secrets=tuple(sorted(table.secrets.items())),
    )


def _undo(app: AppTable) -> Undo:
    """A schema that was changed does not go back with the code, unless the team says that it may stay."""
    if app.undo:
        return Undo(app.undo)
    changes_schema = "release" in app.processes or (app.command is not None and not app.command.undo)
    return Undo.NEVER if changes_schema else Undo.SAFE


def _options(app: AppTable, platform: str, environment: str, vendors: Mapping[str, str]) -> dict[str, Any]:
    if platform == "heroku":
        return {}
    if platform == "directory":
        url = by_environment(app.url, environment, vendors) or ""
        return {"folder": app.folder, "public": app.public, "keep": app.keep, "url": url}
    if platform == "command" and app.command:
        return {**_command(app.command, environment, vendors), "folder": app.folder}
    if platform == "firebase":
        return {"folder": app.folder}
    given = _filled(app.options, environment, vendors)
    # Only where the file says it: a platform that has no use for a folder then says so.
    return {**given, "folder": app.folder} if "folder" in app.model_fields_set else given


def _filled(value: Any, environment: str, vendors: Mapping[str, str]) -> Any:
    """An added platform's options, with the placeholders in every text replaced."""
    if isinstance(value, str):
        return fill(value, environment, vendors)
    if isinstance(value, dict):
        return {name: _filled(each, environment, vendors) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, environment, vendors) for each in value]
    return value


def _stack(app: AppTable, engine: str) -> dict[str, Any]:
    """What a swarm's platform needs to know beside the stack's name."""
    services = {process: table.service for process, table in app.processes.items() if table.service}
    return {"docker": engine, "compose": app.compose, "services": services}


def _command(table: CommandTable, environment: str, vendors: Mapping[str, str]) -> dict[str, Any]:
    def filled(arguments: list[str]) -> list[str]:
        return [fill(each, environment, vendors) for each in arguments]

    options: dict[str, Any] = {
        "status": filled(table.status),
        "apply": filled(table.apply),
        "env": list(table.env),
        "timeout_s": duration_s(table.timeout),
    }
    return {**options, "undo": filled(table.undo)} if table.undo else options


POSTGRES = "postgres"
"""The database service of apps that name their database by its address."""
_UNORDERED = {"after", "promotes_from"}


def _digest(meaning: Mapping[str, Any]) -> str:
    """SHA-256 over what plans depend on, in one canonical spelling.

    Who is notified, who may do what through the server and where the file lies are left out: changing
    them invalidates no plan.
    """
    text = json.dumps(_canonical(meaning), sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _canonical(value: Any) -> Any:
    if is_dataclass(value):
        return _canonical({field.name: getattr(value, field.name) for field in fields(value)})
    if isinstance(value, Mapping):
        return {
            name: sorted(each) if name in _UNORDERED else _canonical(each) for name, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_canonical(each) for each in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
