"""The embedded experiment: a generated world, and the training of small models that know parts of it.

`python -m harness.data.micro.build` builds them again.

Never here: network, files outside the folder that is built.
"""
