"""What people type.

`main` is the command group. Each command is a module of its own that is imported when it is asked for. A user's
mistake ends in one line on stderr and exit status 2; only a bug of ours ends in a traceback.
"""

from fairlead.cli.group import main

__all__ = ["main"]
