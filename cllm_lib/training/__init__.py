"""What makes a model learn, and what tells when it does not."""
