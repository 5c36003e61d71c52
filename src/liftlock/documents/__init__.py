"""What commands found out, as the JSON documents of `--json`, the API and finished work.

Their keys are a contract: docs/reference describes them.
"""
