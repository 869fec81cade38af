"""Processes that start at once: they are forked from a server that has imported what takes seconds to import."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

IMPORTED = [
    "mocop_sklearn.classifier",
    "mocop_sklearn.cli._molecules",
    "mocop_sklearn.embedder",
    "mocop_sklearn.pairs",
    "tests.helpers.components",
    "tests.helpers.platemaker",
    "tests.helpers.ranks",
]


def context():
    """Where such processes come from. The server is started with the first of them, and keeps its environment."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(IMPORTED)
    return server


def start(function, *args, **kwargs):
    """Call a function that can be imported, in a process of its own."""
    process = context().Process(target=function, args=args, kwargs=kwargs)
    process.start()
    return process


def elsewhere(function, *args):
    """Return what a function returns in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=context()) as pool:
        return pool.submit(function, *args).result()
