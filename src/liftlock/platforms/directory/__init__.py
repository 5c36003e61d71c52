"""Sites in a directory of this machine, which a web server of one's own serves."""

from liftlock.platforms.directory.platform import Directory
from liftlock.plugins import Plugin

plugin = Plugin("directory", Directory)

__all__ = ["Directory", "plugin"]
