"""The command line. A command is one module here with a `command`; it is imported only when it is called.

No list of commands is kept: a new file is a new command. Its name is the module's, with `-` for `_`; modules
that begin with `_` are shared parts.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import click

from toposcope import __version__
from toposcope.errors import ToposcopeError


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        names = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{__name__}.{cmd_name.replace('-', '_')}")
        command = module.command
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="toposcope")
def root() -> None:
    """Measure what sharing costs between the CPUs of this machine, and advise where to run things."""


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        status = root.main(standalone_mode=False)
    except ToposcopeError as error:
        _complain(error.message, error.hint)
        sys.exit(error.exit_status)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except BrokenPipeError:
        # The reader (head, less) has had enough; Python would complain while closing stdout.
        sys.stderr.close()
        sys.exit(0)
    sys.exit(status if isinstance(status, int) else 0)


def _complain(message: str, hint: str) -> None:
    click.echo(f"toposcope: {message}", err=True)
    if hint:
        click.echo(f"  hint: {hint}", err=True)
