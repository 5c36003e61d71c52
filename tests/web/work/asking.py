"""Asks for a promotion, as a process of its own version: `python -m tests.web.work.asking CONFIG ENVIRONMENT SOURCE`."""

import os
import sys
from pathlib import Path

import anyio

from liftlock.config import load
from liftlock.web.store import address_of, open_store
from liftlock.web.work.durable import open_work
from liftlock.web.work.orders import Options, Order, OrderKind


async def main(config: str, environment: str, source: str) -> None:
    order = Order(OrderKind.PROMOTION, environment, "ana", source=source, options=Options(on_failure="stop"))
    async with open_store(address_of(load(Path(config), os.environ))) as store, open_work(store) as work:
        print((await work.submit(order)).id)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
