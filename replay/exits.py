"""How the program ends: what can be explained is one line on stderr and an exit status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from typer.exceptions import TyperException

from replay.errors import ReplayError, refused_by_system


def clean_up_when_terminated() -> None:
    """SIGTERM ends the program as an interrupt does: what is half written goes away."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def status_of(command: Callable[[], object]) -> int:
    """Run a command. Only what is a fault of this program leaves it as an exception."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - lives as long as the program
    if sys.stdout is None:
        return _explain("stdout is closed", 1)
    try:
        status = command()
        sys.stdout.flush()
    except TyperException as error:
        return _explain(error.format_message(), error.exit_code)
    except ReplayError as error:
        return _explain(str(error), error.exit_status)
    except BrokenPipeError:
        # The reader of our output has left; let the interpreter flush into nothing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _explain(str(refused_by_system(error)), 1)
    except KeyboardInterrupt:
        return 130
    except MemoryError:
        return _explain("out of memory", 1)
    return status if isinstance(status, int) else 0


def _explain(message: str, status: int) -> int:
    from replay.render import printable

    sys.stderr.write(f"replay: {printable(' '.join(message.split()))}\n")
    return status
