"""calibration: adds to every program the calibrations that its science observations need."""

from __future__ import annotations

import os
from typing import Any

from worker import work

VERSION = "1.4.1"


def add_missing(database: Any) -> int:
    """One standard star for each instrument that a program observes with, once for a program."""
    return database.execute(
        "INSERT INTO observations (program_id, title, instrument, magnitude, kind)"
        " SELECT DISTINCT program_id, 'Standard star, ' || instrument, instrument, 12.0, 'calibration'"
        " FROM observations AS science WHERE kind = 'science' AND NOT EXISTS ("
        "   SELECT 1 FROM observations AS present WHERE present.kind = 'calibration'"
        "   AND present.program_id = science.program_id AND present.instrument = science.instrument)"
    ).rowcount


if __name__ == "__main__":
    work("calibration", VERSION, add_missing, float(os.environ.get("CALIBRATION_PAUSE_S", "20")))
