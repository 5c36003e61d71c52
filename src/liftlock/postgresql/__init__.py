"""PostgreSQL as this project uses it: what an address means, and the database of a project's ledger.

Importing it connects to nothing, and `address` alone needs no extra.
"""
