"""The device's side: sensors, model, outbox, broker."""
