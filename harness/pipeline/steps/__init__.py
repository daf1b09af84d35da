"""The stages' bodies, one file each: read the inputs' files, call `fusion` or a room below, write files.

What a body imports decides its stage's key, so a file that two stages need is a module of its own.

Never here: the layout of the graph, choices and defaults of the method.
"""
