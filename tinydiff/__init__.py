__version__ = "0.1.0"

import os


def one_thread(cells):
    "Give each worker of `nbdev-test` one compute thread: it runs a notebook per core, and threads that wait for each other are slow."
    os.environ.setdefault("OMP_NUM_THREADS", "1")
