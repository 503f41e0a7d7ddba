"""What a bundle costs on the machine that it stands on: time, memory and bytes, measured in a process of its own."""
