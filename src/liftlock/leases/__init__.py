"""Leases: the right to change an environment, held by one promotion at a time.

`numbered` holds the rules, the same for all; `github`, `sqlite` and `memory` keep the numbers.
"""
