"""The server's side: what devices send is committed, acknowledged and looked at."""
