"""Is this code slower than another commit's? Builds both, and measures them in turns, round after round (`tools/bench`).

`builds.py` makes a package of each, `worker.py` is a process that measures one of them, `rounds.py` lets two of them take
turns, `table.py` says what came out.
"""
