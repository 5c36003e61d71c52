"""Where platforms keep images in registries: found, brought from place to place, and published.

A platform that runs containers has a shelf. One with a registry of its own, as Heroku, says how its
repositories are called; for those that pull from any registry, `of_registry` follows the file's `registry`:

    shelf = of_registry(context)
    publisher = Publisher(shelf, context.project)

- `shelf.locate`, `shelf.stage`, `shelf.blobs`, `publisher.build` and `publisher.publish` do the whole work of
  the platform's verbs of the same names, and `complete` that of `pin`;
- `shelf.pulled` gives, for a located or staged release, by process type, the image to pull: its repository
  and its manifest's digest;
- `probes` is what `doctor` tries.
"""

from liftlock.shelf.images import LATEST, Shelf, complete, id_tag, of_registry
from liftlock.shelf.probes import probes
from liftlock.shelf.publish import Publisher

__all__ = [
    "LATEST",
    "Publisher",
    "Shelf",
    "complete",
    "id_tag",
    "of_registry",
    "probes",
]
