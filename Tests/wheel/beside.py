"""Trains and reads with nested, alone or while NumPy, SciPy and more OpenBLAS copies work in other threads.

    beside.py alone | nested-first | scipy-first

Prints JSON: a hash of every bit that nested computed, the OpenBLAS files in this process, how many rounds of linear
algebra ran meanwhile, and the largest error in them.
"""
import ctypes
import ctypes.util
import hashlib
import json
import pathlib
import sys
import threading

import numpy as np


def nested_work():
    """Enough matrix products to meet the others: trains, evaluates, learns online, consolidates."""
    import nested

    text = np.random.default_rng(1).integers(0, 256, 20_000, np.uint8).tobytes()
    with nested.Context(threads=2) as context:
        model = nested.Model({"vocab": 256, "d_model": 128, "n_layers": 2}, seed=1, context=context)
        nested.Trainer(model, lr=1e-2).fit(text, steps=12, batch=8, length=64)
        session = model.session(learn="on")
        logits = session.feed(text[:1500])
        merged = nested.consolidate(model, [session])
    digest = hashlib.sha256()
    for array in (model.parameters, logits, session.generate(50, temperature=1.0), merged.parameters,
                  merged.forward(text[:200])):
        digest.update(array.tobytes())
    return digest.hexdigest()


def copies():
    """The OpenBLAS libraries in this process, each a file of its own."""
    lines = pathlib.Path("/proc/self/maps").read_text().splitlines()
    return sorted({line.split()[-1] for line in lines if "openblas" in line.rsplit("/", 1)[-1].lower()})


def more_copies():
    """OpenBLAS as PyPI's scipy-openblas32 and -64 carry it, and the system's where there is one; all with their names in
    the global scope, where they would catch ours if it asked the dynamic linker for them."""
    import scipy_openblas32
    import scipy_openblas64

    system = ctypes.util.find_library("openblas")
    if system:
        ctypes.CDLL(system, mode=ctypes.RTLD_GLOBAL)
    for package in (scipy_openblas32, scipy_openblas64):
        (path,) = pathlib.Path(package.get_lib_dir()).glob("*.so")
        library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    return library


def linear_algebra(library, errors, stop, seed):
    """Rounds of factorisations and products, checked by what they must satisfy."""
    import scipy.linalg

    random, n = np.random.default_rng(seed), 160
    dgemm = library.scipy_cblas_dgemm64_
    dgemm.argtypes = [ctypes.c_int64] * 6 + [ctypes.c_double, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p,
                                             ctypes.c_int64, ctypes.c_double, ctypes.c_void_p, ctypes.c_int64]
    while not stop.is_set():
        a = random.standard_normal((n, n))
        b = random.standard_normal((n, n))
        x = np.linalg.solve(a + n * np.eye(n), b)
        w, v = np.linalg.eigh(a + a.T)
        p, lower, upper = scipy.linalg.lu(a)
        q, r = scipy.linalg.qr(b)
        c = np.empty((n, n))
        dgemm(101, 111, 111, n, n, n, 1.0, a.ctypes.data, n, b.ctypes.data, n, 0.0, c.ctypes.data, n)
        exact = np.einsum("ij,jk->ik", a, b)  # no BLAS
        tiny = np.full(8, 1e-310) * 0.5
        errors.append(max(float(np.abs(error).max()) for error in (
            (a + n * np.eye(n)) @ x - b, (v * w) @ v.T - (a + a.T), p @ lower @ upper - a, q @ r - b, c - exact,
            a @ b - exact, np.where(tiny == 0, 1.0, 0.0))))  # the last: subnormal numbers are still there


def main(order):
    if order == "alone":
        print(json.dumps({"hash": nested_work(), "copies": copies()}))
        return
    if order == "nested-first":
        import nested  # noqa: F401
        library = more_copies()
        import scipy.linalg  # noqa: F401
    else:
        import scipy.linalg  # noqa: F401
        library = more_copies()
        import nested  # noqa: F401
    errors, stop = [], threading.Event()
    workers = [threading.Thread(target=linear_algebra, args=(library, errors, stop, seed)) for seed in range(2)]
    for worker in workers:
        worker.start()
    try:
        result = nested_work()
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    print(json.dumps({"hash": result, "copies": copies(), "rounds": len(errors), "error": max(errors)}))


main(sys.argv[1])
