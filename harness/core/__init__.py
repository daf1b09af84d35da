"""What any room may need: errors with remedies, the schema of `run.json`, files, number formats, redaction.

It is imported everywhere, so it imports no model library and nothing else of this project. A module that only
one room uses belongs in that room.

Never here: reading a suite, loading a model, running a stage.
"""
