"""What all tests share."""

import os

# Interpreters that tests start must import the fastbp that is installed, not the source tree they are started in.
os.environ["PYTHONSAFEPATH"] = "1"
