"""The pages: each a handler that reads through `Reading`, and a template that shows it."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from liftlock.web.pages import figures, people, places, run
from liftlock.web.pages.approval import approve
from liftlock.web.pages.board import board
from liftlock.web.pages.history import history
from liftlock.web.pages.plan import promotion_plan, rollback_plan

BOTH = ["GET", "POST"]


def routes() -> list[BaseRoute]:
    """Every page of the dashboard, and every form on them."""
    return [
        Route("/", board),
        Route("/sign-in", people.sign_in),
        Route("/account", people.account),
        Route("/account/tokens", people.make_token, methods=["POST"]),
        Route("/account/tokens/{id}/revoke", people.revoke_token, methods=["POST"]),
        Route("/audit", people.audit),
        Route("/history", history),
        Route("/numbers", figures.numbers),
        Route("/numbers.json", figures.numbers_document),
        Route("/metrics", figures.metrics),
        Route("/plan/{source}/{environment}", promotion_plan, methods=BOTH),
        Route("/rollback/{environment}", rollback_plan, methods=BOTH),
        Route("/runs/{id}", run.run),
        Route("/runs/{id}/withdraw", run.withdraw, methods=["POST"]),
        Route("/promotions/{id}", run.promotion),
        Route("/apps/{app}", places.app),
        Route("/environments/{environment}", places.environment),
        Route("/environments/{environment}/backups", places.backups),
        Route("/environments/{environment}/approve", approve, methods=["POST"]),
        Route("/environments/{environment}/lease", places.break_the_lease, methods=["POST"]),
        Route("/environments/{environment}/resume", run.resume, methods=["POST"]),
    ]
