"""The agent as a service that systemd starts, watches and confines."""
