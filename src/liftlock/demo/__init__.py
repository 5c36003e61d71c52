"""The demo: the observatory in three git repositories, a sandbox, and the acts that are shown.

Also what end-to-end tests and benchmarks need to have the reference project in front of them.
"""
