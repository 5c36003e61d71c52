"""`liftlock serve`: the page, the API, who may use them, and the workers (an extra: `liftlock[web]`).

It decides nothing that `commands` decides.
"""
