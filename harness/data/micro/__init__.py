"""The embedded experiment: a generated world, and the small models that know parts of it."""
