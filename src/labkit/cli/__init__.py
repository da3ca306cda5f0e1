"""The command layer: turns arguments into one library call and its result into text or JSON."""
