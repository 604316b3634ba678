"""The `dragonfly` command: runs the application and turns faults into one line and an exit code.

0: done. 1: a fault of the program or of some rows of a batch. 2: something the user can mend, said in one line.
"""

from __future__ import annotations

import errno
import os
import sys

from dragonfly.markup import terminal


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code. `DRAGONFLY_DEBUG=1` shows tracebacks."""
    from dragonfly.cli import run

    try:
        code = run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; typer answers 1 to this too
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the flush at exit
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (ValueError, OSError, RecursionError) as error:  # the last of what is nested without end
        if os.environ.get("DRAGONFLY_DEBUG"):
            raise
        room = "; make room there, or write to another disk" if getattr(error, "errno", None) == errno.ENOSPC else ""
        print(terminal(f"error: {' '.join(str(error).split()) or type(error).__name__}{room}"), file=sys.stderr)
        return 2


def entry() -> None:
    """Entry point of the installed command."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
