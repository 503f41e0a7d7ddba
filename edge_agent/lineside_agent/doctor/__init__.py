"""Whether this machine can run an agent: facts are gathered, rules judge them, and nothing heavy is imported here."""
