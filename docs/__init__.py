"""Pages for readers, and what writes the parts of them that follow from the program: `python -m docs`."""
