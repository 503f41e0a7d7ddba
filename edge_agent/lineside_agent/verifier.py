"""Signatures verified by another process, which takes the memory that this needs with it when it ends.

The package cryptography is ten megabytes of an agent that verifies once and then runs for months. No answer is a
refusal: whatever happens to the other process, nothing is accepted that it did not find good.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from lineside_contract import ed25519
from lineside_contract.errors import InputError, LinesideError

# It takes tens of milliseconds; the longest is a board that reads the package from a slow card for the first time.
_PATIENCE_S = 60.0
_HINT = "The bundle does not run until it can be. Start again; see that there is memory for it (some 20 MB)."


def made_elsewhere(
    signed: bytes, pairs: Sequence[ed25519.Pair], *, patience_s: float = _PATIENCE_S
) -> list[bool]:
    """Say of each pair of key and signature whether the one made the other over `signed`, as `ed25519.made` does.

    Raises InputError if the package is not installed, LinesideError if the process gave no answer in time.
    """
    if find_spec("cryptography") is None:
        raise InputError(
            "trusted_keys needs the package cryptography, which is not installed.",
            hint="Run: pip install 'lineside[agent,signing]'",
        )
    # Without the site's start-up files, a quarter of the time that Python takes to start; hence the search path.
    # -I leaves the environment aside, and with it where compiled modules are.
    compiled = ["-X", f"pycache_prefix={sys.pycache_prefix}"] if sys.pycache_prefix else []
    command = [sys.executable, "-I", "-S", *compiled, ed25519.__file__, *sys.path]
    try:
        done = subprocess.run(
            command,
            input=ed25519.question(signed, pairs),
            capture_output=True,
            timeout=patience_s,
            check=True,
        )
        return ed25519.answer(done.stdout, len(pairs))
    except subprocess.TimeoutExpired as error:
        raise _unanswered(f"no answer came within {patience_s:g} s") from error
    except subprocess.CalledProcessError as error:
        raise _unanswered(_ending(error)) from error
    except OSError as error:
        raise _unanswered(f"{sys.executable or 'Python'} cannot be started: {error.strerror}") from error
    except ValueError as error:
        raise _unanswered("the answer was none") from error


def _unanswered(reason: str) -> LinesideError:
    return LinesideError(f"The bundle's signature could not be verified: {reason}.", hint=_HINT)


def _ending(error: subprocess.CalledProcessError) -> str:
    if error.returncode < 0:
        return f"the process that does it was ended by signal {-error.returncode}"
    last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return f"the process that does it failed ({''.join(last) or f'exit code {error.returncode}'})"
