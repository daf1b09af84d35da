"""Models, corpora and datasets: where they are, fetched, made, mirrored, fingerprinted.

Of a run's options this room knows only the mirror and whether the network may be used, so that a fetched
model does not depend on how it will be scored.

Never here: scoring options, what a model is used for.
"""
