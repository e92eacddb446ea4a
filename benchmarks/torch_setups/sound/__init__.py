"""Sound set-ups, among them everything that looks like a fault and is none."""
