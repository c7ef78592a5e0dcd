"""Commands that say what they printed when they fail, and virtual environments that last as long as a `with`."""

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path

#: What a developer's shell may say of a build or of a run; neither may depend on it.
PRIVATE = ("FASTBP_", "PYTHON", "CFLAGS", "LDFLAGS", "CC", "PIP_CONSTRAINT")


class CheckFailed(Exception):
    """What was expected of a build, and what was found."""


def clean_environment(**changes):
    return {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE)} | changes


def run(*command, cwd=None, env=None):
    """The output of a command, which must succeed."""
    it = subprocess.run([str(word) for word in command], cwd=cwd, env=env or clean_environment(), text=True,
                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if it.returncode:
        tail = "\n".join(it.stdout.splitlines()[-40:])
        raise CheckFailed(f"{' '.join(map(str, command))}\nended with {it.returncode}:\n{tail}")
    return it.stdout


@contextlib.contextmanager
def virtual_environment(python, *packages):
    """The python of a new environment that has the packages and nothing else."""
    with tempfile.TemporaryDirectory(prefix="fastbp-") as folder:
        run(python, "-m", "venv", folder)
        inside = Path(folder) / "bin" / "python"
        run(inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", *packages)
        yield inside
