"""What `--help` shows under each command: lines that can be typed as they stand, in the reference project."""

from __future__ import annotations

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "approve": (f"liftlock approve {'05865d2b6e31'.ljust(64, '0')} --environment production",),
    "backups capture": ("liftlock backups capture production", "liftlock backups capture production ODB"),
    "backups download": ("liftlock backups download production ODB --out odb.dump",),
    "backups list": ("liftlock backups list production",),
    "backups prune": ("liftlock backups prune production --keep 20",),
    "backups restore": ("liftlock backups restore staging ODB b003",),
    "backups verify": ("liftlock backups verify production ODB",),
    "build": ("liftlock build", "liftlock build ODB"),
    "completion": ("liftlock completion bash --install", 'eval "$(liftlock completion zsh)"'),
    "demo": ("liftlock demo", "liftlock demo --keep"),
    "deploy": ("liftlock deploy dev", "liftlock deploy dev ODB --yes"),
    "diff": (
        "liftlock diff dev production",
        "liftlock diff staging production ODB",
        "liftlock diff dev production --format markdown > notes.md",
    ),
    "doctor": ("liftlock doctor", "liftlock doctor --json"),
    "history": (
        "liftlock history production --app ODB --since 7d",
        "liftlock history --by octocat --limit 5",
        "liftlock history 42",
    ),
    "init": (
        "liftlock init --print",
        "liftlock init --repository example/services --repository example/explore",
        "liftlock init --github-actions",
    ),
    "lease break": ('liftlock lease break staging --reason "the laptop was lost"',),
    "lease show": ("liftlock lease show staging",),
    "ledger copy": (
        "liftlock ledger copy github sqlite:///liftlock.db --dry-run",
        "liftlock ledger copy sqlite:///liftlock.db postgresql://db/liftlock",
    ),
    "ledger migrate": ("liftlock ledger migrate",),
    "plan": ("liftlock plan dev staging", "liftlock plan staging production --out plan.json"),
    "promote": (
        "liftlock promote dev staging",
        "liftlock promote dev staging ODB SSO --yes",
        "liftlock promote --plan plan.json",
        'liftlock promote staging production --override soak --reason "hotfix"',
    ),
    "push": ("liftlock push", "liftlock push ODB"),
    "record": ("liftlock record staging", "liftlock record staging ODB --yes"),
    "resume": ("liftlock resume staging", "liftlock resume staging --undo"),
    "rollback": ("liftlock rollback production", "liftlock rollback production --to 42 --dry-run"),
    "sandbox": ("liftlock sandbox", "liftlock sandbox --config liftlock.toml --port 8080"),
    "worker": ("liftlock worker", "liftlock worker --config /etc/liftlock/liftlock.toml"),
    "serve": ("liftlock serve", "liftlock serve --open --port 0", "liftlock serve --host 0.0.0.0 --log-json"),
    "serve backup": ("liftlock serve backup --out serve.backup",),
    "serve link": ("liftlock serve link",),
    "serve restore": ("liftlock serve restore serve.backup",),
    "serve token create": (
        "liftlock serve token create ci --allow staging=promote",
        "liftlock serve token create board --allow dev=see --expires-in 365d",
    ),
    "serve token list": ("liftlock serve token list",),
    "serve token revoke": ("liftlock serve token revoke x3k9qm2p7adw",),
    "status": ("liftlock status", "liftlock status staging --check"),
}


def epilogue(command: str) -> str:
    """What the help of a command ends with."""
    return "\n".join(["", "Examples:", *(f"  {line}" for line in EXAMPLES[command])])
