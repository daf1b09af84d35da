"""Code that runs inside the sandbox, next to untrusted code.

A bare interpreter runs these files there, without this project and without installed packages.

Never here: imports other than the standard library and modules of this folder.
"""
