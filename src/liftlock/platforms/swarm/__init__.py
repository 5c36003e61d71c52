"""Docker Swarm as a platform: services of the team's own stacks, given images by digest."""

from liftlock.platforms.swarm.platform import DockerSwarm
from liftlock.plugins import Plugin

plugin = Plugin("swarm", DockerSwarm)

__all__ = ["DockerSwarm", "plugin"]
