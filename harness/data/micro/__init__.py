"""The embedded experiment: a generated world, and how the small models that know parts of it were trained.

`python -m harness.data.micro.build` makes them anew.

Never here: network, files outside the folder that is built.
"""
