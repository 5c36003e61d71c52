"""Firebase Hosting sites, promoted by cloning a version into the next site."""

from liftlock.platforms.firebase.platform import Firebase
from liftlock.plugins import Plugin

plugin = Plugin("firebase", Firebase)

__all__ = ["Firebase", "plugin"]
