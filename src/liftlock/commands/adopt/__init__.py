"""`liftlock init`: what a team has already, and the shortest liftlock.toml that says it.

`checkout` reads files, `survey` asks the accounts, `infer` makes a draft of what they told (pure),
`levels` knows what teams call their environments, and `text` writes the draft down.
"""
