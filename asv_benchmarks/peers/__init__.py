"""fastbp beside the libraries that are installed: the same training step, in one run, on one machine.

    python -m asv_benchmarks.peers --cases tiny small --threads 1 2 --json peers.json --plot peers.svg

`libraries.py` has a class for each library, `worker.py` checks and measures, `report.py` prints and plots.
"""
