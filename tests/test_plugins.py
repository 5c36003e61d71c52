"""What an adapter is helped with: its options, read by a model of its own."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict

from liftlock.errors import UsageError
from liftlock.model import Target
from liftlock.plugins import options_of


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    store: str
    replicas: int = 1


def target(**options: object) -> Target:
    return Target("Shop", "staging", "swarm", "shop-staging", options=options)


def test_options_are_read_by_the_platforms_own_model() -> None:
    assert options_of(target(store="/srv"), Options) == Options(store="/srv")


def test_every_mistake_is_told_with_what_to_write_instead() -> None:
    with pytest.raises(UsageError) as refused:
        options_of(target(replica=2, replicas="two"), Options)
    assert refused.value.message == (
        "The options of Shop do not fit the platform swarm:\n"
        "    store is missing.\n"
        "    replicas: input should be a valid integer.\n"
        "    there is no replica. Did you mean replicas?"
    )
    assert "[apps.Shop]" in refused.value.hint
