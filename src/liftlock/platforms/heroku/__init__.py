"""Heroku apps that run containers, promoted by image id. Not its pipelines: they promote no containers."""

from liftlock.platforms.heroku.platform import Heroku
from liftlock.plugins import Plugin

plugin = Plugin("heroku", Heroku)

__all__ = ["Heroku", "plugin"]
