"""Where platforms keep images in registries: found, brought from place to place, and published.

A platform that runs containers has its `PlatformImages`. One with a registry of its own, as Heroku, says how its
repositories are called; for those that pull from any registry, `of_registry` follows the file's `registry`:

    platform_images = of_registry(context)
    publisher = Publisher(platform_images, context.project)

- `platform_images.locate`, `platform_images.stage`, `platform_images.blobs`, `publisher.build` and `publisher.publish` do the whole work of
  the platform's verbs of the same names, and `complete` that of `pin`;
- `platform_images.pulled` gives, for a located or staged release, by process type, the image to pull: its repository
  and its manifest's digest;
- `probes` is what `doctor` tries.
"""

from liftlock.platform_images.images import LATEST, PlatformImages, complete, id_tag, of_registry
from liftlock.platform_images.probes import probes
from liftlock.platform_images.publish import Publisher

__all__ = [
    "LATEST",
    "Publisher",
    "PlatformImages",
    "complete",
    "id_tag",
    "of_registry",
    "probes",
]
