"""ITC: the integration time calculator. How long to expose for a wanted signal-to-noise ratio."""

from __future__ import annotations

import math
from typing import Any

from service import Refusal, Request, Service

VERSION = "1.12.3"

DETECTORS = {
    # zero: detected electrons a second from a star of magnitude 0; sky and dark: electrons a
    # second in the aperture; read: electrons of noise in the aperture, squared.
    "GMOS-N": {"zero": 3.1e10, "sky": 36.0, "dark": 0.02, "read": 420.0, "longest": 1200},
    "GMOS-S": {"zero": 2.9e10, "sky": 31.0, "dark": 0.03, "read": 460.0, "longest": 1200},
    "Flamingos-2": {"zero": 1.4e10, "sky": 2400.0, "dark": 0.5, "read": 1900.0, "longest": 300},
    "GHOST": {"zero": 6.0e9, "sky": 4.0, "dark": 0.01, "read": 240.0, "longest": 1800},
}

service = Service("ITC", VERSION, lambda: {"detectors": len(DETECTORS)})


def total_time_s(detector: dict[str, float], magnitude: float, wanted: float) -> float:
    """Seconds in which a star reaches the wanted signal-to-noise ratio.

    The CCD equation, S/N = s t / sqrt((s + b) t + r), solved for t.
    """
    signal = detector["zero"] * 10 ** (-0.4 * magnitude)
    noise = signal + detector["sky"] + detector["dark"]
    linear = wanted**2 * noise
    constant = wanted**2 * detector["read"]
    return (linear + math.sqrt(linear**2 + 4 * signal**2 * constant)) / (2 * signal**2)


@service.route("GET", "/exposure")
def exposure(request: Request) -> Any:
    instrument = request.query.get("instrument", "GMOS-N")
    if instrument not in DETECTORS:
        raise Refusal(404, f"no detector table for {instrument}; there are {', '.join(DETECTORS)}")
    magnitude = request.number("magnitude", 20.0, -2.0, 28.0)
    wanted = request.number("signal_to_noise", 50.0, 1.0, 5000.0)
    seconds = total_time_s(DETECTORS[instrument], magnitude, wanted)
    count = max(1, math.ceil(seconds / DETECTORS[instrument]["longest"]))
    return {
        "instrument": instrument,
        "magnitude": magnitude,
        "signal_to_noise": wanted,
        "exposures": count,
        "exposure_s": max(1, math.ceil(seconds / count)),
        "total_s": round(seconds, 3),
        "version": VERSION,
    }


@service.route("GET", "/instruments")
def instruments(_: Request) -> Any:
    return {"instruments": list(DETECTORS)}


if __name__ == "__main__":
    service.run()
