"""What is asked for as traces (OpenTelemetry): a span for the whole, and one below it for each step.

The spans are made of the same events that everybody else hears. Without the extra `liftlock[telemetry]`,
and without a collector that is named, nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from liftlock import __version__
from liftlock.errors import UsageError
from liftlock.web.work.orders import Event, Order

Tell = Callable[[Event], None]


def begin_traces(environ: Mapping[str, str], project: str) -> Callable[[], None]:
    """Send traces to the collector that the environment names, if it does; returns what ends that.

    Raises `UsageError` where one is named and the extra is not installed.
    """
    # Source: OpenTelemetry, "OTLP Exporter Configuration".
    collector = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    )
    if not collector:
        return lambda: None
    try:
        exporter: Any = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        sdk: Any = import_module("opentelemetry.sdk.trace")
        export: Any = import_module("opentelemetry.sdk.trace.export")
        resources: Any = import_module("opentelemetry.sdk.resources")
    except ImportError:
        raise UsageError(
            "OTEL_EXPORTER_OTLP_ENDPOINT names a collector, and traces are not part of this installation.",
            hint="Install them with: pip install 'liftlock[telemetry]'",
        ) from None
    api: Any = import_module("opentelemetry.trace")
    resource = resources.Resource.create(
        {"service.name": environ.get("OTEL_SERVICE_NAME") or "liftlock", "service.version": __version__,
         "liftlock.project": project}
    )  # fmt: skip
    provider = sdk.TracerProvider(resource=resource)
    provider.add_span_processor(export.BatchSpanProcessor(exporter.OTLPSpanExporter()))
    api.set_tracer_provider(provider)
    shutdown: Callable[[], None] = provider.shutdown
    return shutdown


@contextmanager
def traced(order: Order, tell: Tell, provider: Any = None) -> Iterator[tuple[Tell, Callable[[int], None]]]:
    """`tell` with a trace of what it hears, and how to say which code it ended with."""
    if find_spec("opentelemetry") is None:
        yield tell, lambda code: None
        return
    api: Any = import_module("opentelemetry.trace")
    tracer = api.get_tracer("liftlock", __version__, provider)
    root = tracer.start_span(
        f"{order.kind.value} {order.environment}",
        attributes={
            "liftlock.kind": order.kind.value,
            "liftlock.environment": order.environment,
            "liftlock.source": order.source,
            "liftlock.requested_by": order.requested_by,
        },
    )
    trace = _Trace(api, tracer, root)

    def heard(event: Event) -> None:
        trace.hears(event)
        tell(event)

    try:
        yield heard, trace.ended
    finally:
        trace.close()


class _Trace:
    """The spans of one run."""

    def __init__(self, api: Any, tracer: Any, root: Any) -> None:
        self._api = api
        self._tracer = tracer
        self._root = root
        self._context = api.set_span_in_context(root)
        self._steps: dict[str, Any] = {}

    def hears(self, event: Event) -> None:
        match event.get("event"):
            case "run-started":
                self._root.set_attribute("liftlock.plan", str(event.get("plan_digest")))
                self._root.set_attribute("liftlock.apps", list(event.get("apps", ())))
            case "step-started":
                self._steps[str(event["step"])] = self._tracer.start_span(
                    str(event["kind"]),
                    context=self._context,
                    start_time=_nanoseconds(event),
                    attributes={
                        "liftlock.step": str(event["step"]),
                        "liftlock.app": str(event.get("app", "")),
                    },
                )
            case "step-finished":
                span = self._steps.pop(str(event["step"]), None)
                if span is not None:
                    self._end(span, str(event["outcome"]) == "done", str(event.get("detail", "")), event)
            case "waiting" | "stopping" | "undo-started" | "notice":
                self._root.add_event(
                    str(event["event"]),
                    {"text": str(event.get("why") or event.get("reason") or event.get("text") or "")},
                )

    def ended(self, code: int) -> None:
        """Which code the command line would have ended with."""
        self._root.set_attribute("liftlock.exit_code", code)
        if code:
            self._root.set_status(self._api.Status(self._api.StatusCode.ERROR, f"exit code {code}"))

    def close(self) -> None:
        for span in self._steps.values():  # cut off: the process was told to end
            span.end()
        self._root.end()

    def _end(self, span: Any, is_done: bool, detail: str, event: Event) -> None:
        if detail:
            span.set_attribute("liftlock.detail", detail[:500])
        if not is_done:
            span.set_status(self._api.Status(self._api.StatusCode.ERROR, detail[:500]))
        span.end(end_time=_nanoseconds(event))


def _nanoseconds(event: Event) -> int:
    return int(datetime.fromisoformat(str(event["at"])).timestamp() * 1e9)
