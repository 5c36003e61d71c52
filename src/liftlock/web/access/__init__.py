"""Who may use the server: people, rights, sign-in, sessions, tokens, forms, limits, and the audit log."""
