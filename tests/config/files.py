"""The files that the configuration's tests are tables of: a new case is a new file."""

from __future__ import annotations

from pathlib import Path

import liftlock.config

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
EXAMPLE = Path(liftlock.config.__file__).with_name("example.toml")
BROKEN = sorted((HERE / "broken").glob("*.toml"))
GOOD = [EXAMPLE, *sorted((HERE / "good").glob("*.toml"))]
