"""What a Firebase project holds: its hosting sites, for `init`.

Source: Google's discovery document `firebasehosting.v1beta1`, `projects.sites.list`.
"""

from __future__ import annotations

from collections.abc import Sequence

from liftlock.http import Http, field, optional
from liftlock.platforms.firebase.api import VERSION, objects


async def read_sites(http: Http, project: str) -> Sequence[str]:
    """The names of a project's sites. One round trip for each 100."""
    found: list[str] = []
    page = ""
    while True:
        answer = await http.request(
            "GET", f"{VERSION}/projects/{project}/sites", params={"pageSize": 100, "pageToken": page or None}
        )
        found += [field(each, "name", str).rpartition("/")[2] for each in objects(answer, "sites")]
        page = optional(answer.object(), "nextPageToken", str) or ""
        if not page:
            return found
