"""Planted faults, each as it happens in real code; the comment above each says what was meant."""
