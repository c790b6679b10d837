"""Collects the tests of this folder only if CARPRICE_LISTINGS names a file of real listings."""

import os

collect_ignore_glob = [] if os.environ.get("CARPRICE_LISTINGS") else ["test_*.py"]
