"""Two packages, measured in turns.

A round has a new process of each side, so that where the system happens to put its memory is drawn anew; within it the two
take turns at every parameter, seconds apart, so that what slows the machine for a while slows both.
"""

import json
import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryFile

WORKER = Path(__file__).with_name("worker.py")


class WorkerError(Exception):
    """A package that the suites do not load with."""


class Worker:
    """A process that measures one package."""

    def __init__(self, package, *arguments):
        environment = os.environ | {"PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
        self.log = TemporaryFile("w+")
        self.process = subprocess.Popen([sys.executable, "-P", WORKER, *arguments], env=environment, cwd=package, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def ask(self, index):
        try:
            self.process.stdin.write(f"{json.dumps(index)}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass                    # it has ended: there is no answer
        return self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        status = self.process.wait()
        self.log.seek(0)
        return {"error": f"the process ended with status {status}\n{self.log.read()[-3000:]}"}


def select(package, pattern):
    """Benchmarks with the parameters that the pattern finds in "benchmark(parameters)", as asv does: "labels" of an index."""
    with Worker(package) as worker:
        catalogue = worker.answer()
    if "error" in catalogue:
        raise WorkerError(f"the suites do not load: {catalogue['error']}")
    chosen = []
    for benchmark in catalogue:
        name, params = benchmark["name"], benchmark["params"]
        labels = {f"{name}({', '.join(values)})": index for index, values in enumerate(product(*params))}
        labels = {label: index for label, index in (labels if params else {name: None}).items() if re.search(pattern, label)}
        if labels:
            chosen.append(benchmark | {"labels": labels})
    return chosen


def measure(name, labels, packages, n_rounds):
    """{label: [(answer of the first package, of the second), ...]}; what one of them cannot measure is not asked again."""
    pairs = {label: [] for label in labels}
    for n in range(n_rounds):
        with Worker(packages[0], name) as first, Worker(packages[1], name) as second:
            for i, (label, index) in enumerate(labels.items()):
                if any("value" not in answer for answer in sum(pairs[label], ())):
                    continue
                if (n + i) % 2:
                    answers = first.ask(index), second.ask(index)
                else:
                    answers = (second.ask(index), first.ask(index))[::-1]
                pairs[label].append(answers)
    return pairs
