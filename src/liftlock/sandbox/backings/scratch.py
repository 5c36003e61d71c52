"""Where the real backing keeps its files: the state's folder, or a temporary one that goes with the cloud."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from liftlock.sandbox.cloud import Cloud

_TEMPORARY: weakref.WeakKeyDictionary[Cloud, Path] = weakref.WeakKeyDictionary()


def folder_of(cloud: Cloud) -> Path:
    """The cloud's folder; one without a state gets a folder that is removed when the cloud is forgotten."""
    if cloud.directory is not None:
        return cloud.directory.resolve()
    folder = _TEMPORARY.get(cloud)
    if folder is None:
        folder = _TEMPORARY[cloud] = Path(tempfile.mkdtemp(prefix="liftlock-sandbox-")).resolve()
        weakref.finalize(cloud, shutil.rmtree, folder, ignore_errors=True)
    return folder
