"""The command line's own help as a page: every command with its usage, arguments and options."""

from collections.abc import Iterator

import click

from harness.commands import main

WIDTH = 100


def commands() -> str:
    """Markdown: the help of the program and of each command, in the order of `--help`."""
    context = click.Context(main, info_name="fusegauge", terminal_width=WIDTH, **main.context_settings)
    return "\n".join(_section(c) for c in _contexts(context))


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """A command's context and, if it is a group, those of the commands below it."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            yield from _contexts(click.Context(command, context, info_name=name))


def _section(context: click.Context) -> str:
    level = "##" if context.parent is None else "###"
    return f"{level} {context.command_path}\n```text\n{context.get_help()}\n```\n"
