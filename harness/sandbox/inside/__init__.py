"""What runs inside the sandbox, beside code that nobody trusts.

These files are handed to a bare interpreter there, without this project and without installed packages.

Never here: imports other than the standard library and modules of this folder.
"""
