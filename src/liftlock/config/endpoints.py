"""Where each vendor is: what the file, a variable and liftlock itself call it."""

from __future__ import annotations

ENDPOINTS = {
    "github": ("GITHUB_API_URL", "https://api.github.com"),
    "heroku": ("HEROKU_API_URL", "https://api.heroku.com"),
    "heroku_data": ("HEROKU_DATA_URL", "https://api.data.heroku.com"),
    "heroku_registry": ("HEROKU_REGISTRY_URL", "https://registry.heroku.com"),
    "firebase": ("FIREBASE_HOSTING_API_URL", "https://firebasehosting.googleapis.com"),
}
"""By vendor key: the variable that wins over the file, and the default."""
