"""`liftlock build` and `liftlock push`: the first parts of a deploy, by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from liftlock.cli.checkout import at_hand
from liftlock.cli.options import DEFAULTS, AppName
from liftlock.cli.publishing import shown
from liftlock.cli.session import Common, import_meanwhile, opened, until_signalled
from liftlock.commands import publish as work
from liftlock.engine.execute import StopRequest
from liftlock.errors import LiftlockError
from liftlock.model import Missing
from liftlock.tasks import all_at_once
from liftlock.wording import size


async def build(*apps: AppName, common: Common = DEFAULTS) -> int:
    """Build the images of this checkout's apps on this machine. Nothing leaves it.

    Parameters
    ----------
    apps:
        Only these apps.
    """
    project, output = common.project(), common.output()

    async def run(stop: StopRequest) -> int:
        checkout = await at_hand(project, any_state=True)
        async with opened(project, output) as adapters, ended_by(stop, "Nothing was pushed"):
            with shown(output) as tell:
                built = await work.build(project, adapters, checkout, apps, tell)
        if common.json:
            output.document(
                {
                    "commit": checkout.commit,
                    "apps": {
                        app: {
                            process_type: {"image_id": image.image_id.value, "size_bytes": image.size_bytes}
                            for process_type, image in images.items()
                        }
                        for app, images in built.items()
                    },
                }
            )
            return 0
        for app, images in built.items():
            for process_type, image in images.items():
                output.line(f"{app:<12} {process_type:<12} {image.image_id.short}  {size(image.size_bytes)}")
        return 0

    return await until_signalled(run, output)


async def push(*apps: AppName, common: Common = DEFAULTS) -> int:
    """Build this checkout's apps and make their artifacts present in every environment. Nothing is released.

    Parameters
    ----------
    apps:
        Only these apps.
    """
    project, output = common.project(), common.output()

    async def run(stop: StopRequest) -> int:
        import_meanwhile("liftlock.registry.distribution")
        checkout = await at_hand(project)
        async with opened(project, output) as adapters, ended_by(stop, "What was sent is kept"):
            with shown(output) as tell:
                pushed = await work.push(project, adapters, checkout, apps, tell)
        missing = {app: found for app, found in pushed.items() if isinstance(found, Missing)}
        if common.json:
            document: dict[str, object] = {}
            for app, found in pushed.items():
                if isinstance(found, Missing):
                    document[app] = {"missing": found.reason, "hint": found.hint}
                else:
                    document[app] = {"artifacts": {part: str(each) for part, each in found.artifacts.items()}}
            output.document({"commit": checkout.commit, "apps": document})
        for app, found in pushed.items():
            if isinstance(found, Missing):
                output.line(f"{app:<12} {found.reason}", style="red")
                output.line(f"{'':<12} {found.hint}")
            elif not common.json:
                parts = ", ".join(f"{part} {each.short}" for part, each in sorted(found.artifacts.items()))
                output.line(f"{app:<12} {checkout.commit[:7]}  {parts}")
        return 1 if missing else 0

    return await until_signalled(run, output)


@asynccontextmanager
async def ended_by(stop: StopRequest, state: str) -> AsyncIterator[None]:
    """A request to stop ends what is in here: there is nothing to undo. Raises `LiftlockError` then."""

    async def watch() -> None:
        await stop.wait()
        raise LiftlockError(f"{state}: {stop.reason}.", hint="Run the same command again to go on.")

    async with all_at_once() as tasks:
        tasks.start_soon(watch)
        yield
        tasks.cancel_scope.cancel()
