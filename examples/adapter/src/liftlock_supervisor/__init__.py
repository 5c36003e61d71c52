"""A platform for liftlock: an app's processes under supervisord, on this machine."""

from liftlock.plugins import Plugin
from liftlock_supervisor.platform import NAME, Supervisor

plugin = Plugin(NAME, Supervisor)

__all__ = ["plugin"]
