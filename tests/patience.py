"""How long a test waits for what should happen: on a busy machine too. A wait that ends well costs nothing, however long it might be."""

PATIENCE = 300  # seconds
