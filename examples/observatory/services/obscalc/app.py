"""obscalc: computes how long each observation takes, by asking ITC, for those still pending."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from worker import work

VERSION = "2.0.5"


def calculate_one(database: Any) -> int:
    """Compute one pending observation. Several workers never take the same one."""
    pending = database.execute(
        "SELECT o.id, o.instrument, o.magnitude FROM observations o"
        " WHERE NOT EXISTS (SELECT 1 FROM calculations c WHERE c.observation_id = o.id)"
        " ORDER BY o.id LIMIT 1 FOR UPDATE OF o SKIP LOCKED"
    ).fetchone()
    if pending is None:
        return 0
    answer = ask_itc(pending["instrument"], pending["magnitude"])
    database.execute(
        "INSERT INTO calculations (observation_id, total_s, exposures, calculator) VALUES (%s, %s, %s, %s)",
        (pending["id"], answer["total_s"], answer["exposures"], f"ITC {answer['version']}"),
    )
    return 1


def ask_itc(instrument: str, magnitude: float) -> dict[str, Any]:
    """ITC's answer. An `OSError` when it is away: the observation stays pending."""
    itc = os.environ.get("ITC_ROOT", "")
    if not itc:
        raise OSError("ITC_ROOT is not set")
    query = urlencode({"instrument": instrument, "magnitude": magnitude, "signal_to_noise": 50})
    with urlopen(f"{itc.rstrip('/')}/exposure?{query}", timeout=10) as answer:
        return json.load(answer)


if __name__ == "__main__":
    work("obscalc", VERSION, calculate_one, float(os.environ.get("OBSCALC_PAUSE_S", "5")))
