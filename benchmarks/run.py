"""`make bench`: prints tables of ratios, and writes them to evidence/pages/RESULTS.md."""

import itertools
import os
import platform
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import psutil

from benchmarks import generation, growth, lattice, memory, peers
from benchmarks.compare import Missing, Ratio, Worker, alternate, ratio
from cllm_lib.files import shipped, write_atomically

THREADS = 2
RESULTS = shipped("evidence", "pages/RESULTS.md")
SIZES = {"large": peers.LARGE, "small": peers.SMALL}
FORMS = {"large, as today": peers.LARGE_OF_TODAY, "small, as today": peers.SMALL_OF_TODAY}
TURNS = {"large": dict(rounds=20, steps=3), "small": dict(rounds=40, steps=15)}
TURNS |= {f"{label}, as today": turns for label, turns in TURNS.items()}
GROWTH_ROUNDS = 7

STEP, FORWARD_BACKWARD = "forward + backward + Adam", "forward + backward"
FUSED, DEFAULT, COMPILED, PRODUCTS = "PyTorch, fused Adam", "PyTorch, default Adam", "JAX, compiled", "matrix products alone"
BUILDERS = {
    STEP: peers.Ours,
    FORWARD_BACKWARD: peers.forward_backward_only,
    FUSED: peers.pytorch_fused,
    DEFAULT: peers.pytorch_default,
    COMPILED: peers.jax_compiled,
    PRODUCTS: peers.Products,
}
PAIRS = {  # work, peer, and the ratio to reach
    "large": [(STEP, FUSED, 1.0), (STEP, DEFAULT, 0.55), (STEP, COMPILED, 1.15), (FORWARD_BACKWARD, PRODUCTS, 1.25)],
    "small": [(STEP, FUSED, 0.35), (STEP, COMPILED, 0.75)],
    "large, as today": [(STEP, FUSED, None)],
    "small, as today": [(STEP, FUSED, None)],
}
CACHED, RECOMPUTED, PYTORCH_CACHED = "a token, with the cache", "recomputed", "PyTorch, with a cache"
SPEAKERS = {CACHED: generation.Cached, RECOMPUTED: generation.Recomputed, PYTORCH_CACHED: generation.PyTorchCached}
SPEAKERS_PAIRS = [(CACHED, RECOMPUTED, 0.2), (CACHED, PYTORCH_CACHED, 1.0)]
SPEAKERS_TURNS = {"large": dict(rounds=20, steps=3), "small": dict(rounds=40, steps=15)}
TOKEN_GROWTH = dict(rounds=20, steps=10)
MEMORY_TO_REACH, SLOPE_TO_REACH, EXCESS_TO_REACH = 0.6, 0.15, 1.2
OUR_PRIMES, PRIMERANGE, SYMPY_SIEVE, NUMBA = "primes", "SymPy, primerange, cold", "SymPy, its sieve, cold", "numba, a compiled sieve"
OUR_SPIRAL, ROOTS = "places on Ulam's spiral", f"{lattice.PASSES} square roots of each"
OUR_LATTICE, LATTICE_LOOP, OUR_EXPLORER = "lattice cache", "entry after entry", "spiral explorer, recoloured"
TIME_LIMIT, COLOUR_LIMIT = (f"a limit of {1e3 * seconds:.0f} ms" for seconds in (lattice.TIME_LIMIT, lattice.COLOUR_LIMIT))
LIMITS = {TIME_LIMIT: lattice.TIME_LIMIT, COLOUR_LIMIT: lattice.COLOUR_LIMIT}
NUMBERS = {  # title: contestants, how often, and work, peer, the ratio to reach
    f"primes below {lattice.LIMIT:,}": (
        {
            OUR_PRIMES: (lattice.our_primes, lattice.LIMIT),
            PRIMERANGE: (lattice.sympy_primerange, lattice.LIMIT),
            SYMPY_SIEVE: (lattice.sympy_sieve, lattice.LIMIT),
        },
        dict(rounds=10, steps=5),
        [(OUR_PRIMES, PRIMERANGE, 0.01), (OUR_PRIMES, SYMPY_SIEVE, None)],
    ),
    f"primes below {lattice.FAR_LIMIT:,}": (
        {
            OUR_PRIMES: (lattice.our_primes, lattice.FAR_LIMIT),
            NUMBA: (lattice.numba_sieve, lattice.FAR_LIMIT),
            SYMPY_SIEVE: (lattice.sympy_sieve, lattice.FAR_LIMIT),
        },
        dict(rounds=5, steps=1),
        [(OUR_PRIMES, NUMBA, 3.0), (OUR_PRIMES, SYMPY_SIEVE, None)],
    ),
    f"the numbers to {lattice.SPIRAL_SIZE:,}": (
        {OUR_SPIRAL: (lattice.our_spiral,), ROOTS: (lattice.square_roots,)},
        dict(rounds=10, steps=2),
        [(OUR_SPIRAL, ROOTS, 1.0)],
    ),
    f"primes below {lattice.LIMIT:,}, their entries": (
        {OUR_LATTICE: (lattice.our_lattice,), LATTICE_LOOP: (lattice.lattice_in_a_loop,)},
        dict(rounds=10, steps=3),
        [(OUR_LATTICE, TIME_LIMIT, 1.0), (OUR_LATTICE, LATTICE_LOOP, None)],
    ),
    f"{lattice.EXPLORED:,} numbers on the plane": (
        {OUR_EXPLORER: (lattice.explorer_recoloured,)},
        dict(rounds=10, steps=3),
        [(OUR_EXPLORER, COLOUR_LIMIT, 1.0)],
    ),
}
FAR_PRIMERANGE_TO_REACH, SIEVE_MEMORY_TO_REACH = 0.02, 64
ALLOWED_LOSS, ALLOWED_STEP = 1e-6, 1e-3  # float32 rounds to 6e-8 of a loss; Adam makes much of tiny gradients
ALLOWED_LOGITS = 1e-5


def main():
    """Measure everything, print as it goes, and write the page at the end."""
    limit_threads()
    started = time.monotonic()
    conditions = [describe_machine(), describe_settings(os.environ)]
    busy = psutil.cpu_percent(interval=3)
    conditions.append(f"Before the run other programs kept the processors {busy:.0f} % busy.")
    say("\n".join(conditions) + (" Ratios of a busy machine say little: close what you can." if busy > 10 else ""))
    sections = [*(speed(label) for label in PAIRS), generation_section(), memory_section(), growth_section(), token_growth_section()]
    sections.append(lattice_section())
    conditions.append(f"The whole run took {(time.monotonic() - started) / 60:.0f} minutes.")
    write_atomically(RESULTS, page(conditions, sections).encode("utf-8"))
    say(f"\nWritten to evidence/pages/{RESULTS.name}.")


def limit_threads():
    """Two threads for everyone: the workers inherit both settings."""
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(THREADS)
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")  # as `import cllm_lib` sets it where NumPy comes later
    if hasattr(os, "sched_setaffinity"):  # JAX takes as many threads as it sees processors
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


def speed(label):
    """The section of one size: who computes the same, and how long each takes."""
    config = (SIZES | FORMS)[label]
    names = dict.fromkeys(name for work, peer, _ in PAIRS[label] for name in (work, peer))
    workers = {name: Worker(BUILDERS[name], config) for name in names}
    agreed = check_same_work(config, workers)
    rounds = TURNS[label]["rounds"]
    times = alternate(workers, **TURNS[label], report=lambda done: say(f"\r{label} size: round {done} of {rounds}", end=""))
    for worker in workers.values():
        worker.close()
    rows = [speed_row(work, peer, ratio(times[work], times[peer]), target) for work, peer, target in PAIRS[label]]
    size = peers.Ours(config).model.flat_parameters.size
    form = "RMSNorm first, SwiGLU, 8 heads on 2 of keys and values, rotary; " if config.norm_first else ""
    title = f"{form}V = {config.vocab_size:,}, d = {config.d_model}, FF {config.d_ff:,}: {size / 1e6:.1f} million parameters, untied"
    return section(title, ["work", "peer", "ours, ms", "peer, ms", "ratio", "quartiles", "to reach", ""], rows, agreed)


def check_same_work(config, workers):
    """Say how closely each peer computes our loss and makes our step; stop if it does not."""
    start = peers.initial_weights(config)
    loss, parameters = workers[STEP].call("step"), workers[STEP].call("parameters")
    found = []
    for name in (FUSED, DEFAULT, COMPILED):
        if name not in workers or workers[name].missing:
            continue
        worker = workers[name]
        loss_apart = abs(worker.call("step") / loss - 1.0)
        step_apart = peers.agreement(parameters, worker.call("parameters"), start)
        if not (loss_apart <= ALLOWED_LOSS and step_apart <= ALLOWED_STEP):
            raise SystemExit(
                f"{name} computes something else: loss apart by {loss_apart:.1e}, step by {step_apart:.1e}. Nothing was timed."
            )
        found.append(f"{name}: loss within {loss_apart:.0e}, step within {step_apart:.0e}")
    return "The same weights and batch, before anything was timed: " + "; ".join(found) + " of ours, relatively." if found else ""


def speed_row(work, peer, result, target):
    """One line of a table of times."""
    if isinstance(result, Missing):
        return [work, peer, "", "", result.reason, "", "" if target is None else f"{target}", ""]
    times = [f"{1e3 * result.ours:.2f}", f"{1e3 * result.peer:.2f}"]
    return [
        work,
        peer,
        *times,
        two_digits(result.value),
        f"{two_digits(result.low)} to {two_digits(result.high)}",
        *([f"{target}", verdict(result.value <= target)] if target is not None else ["", ""]),
    ]


def two_digits(value):
    """A ratio to two decimals, and a tiny one to two digits: 0.0047 is not 0."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def generation_section():
    """The next token after a long context, at both sizes."""
    rows, agreed = zip(*(next_token(label) for label in SIZES), strict=True)
    note = f"The logits of all tokens, and the largest. Before anything was timed, those of ours with the cache: {'; '.join(agreed)}."
    header = ["size", "work", "peer", "ours, ms", "peer, ms", "ratio", "quartiles", "to reach", ""]
    return section(f"The next token after {generation.CONTEXT - 1} others", header, [*itertools.chain(*rows)], note)


def next_token(label):
    """Rows of one size, and how closely the contestants agree there."""
    config = generation.lengthened(SIZES[label])
    size = f"V = {config.vocab_size:,}, d = {config.d_model}"
    workers = {name: Worker(build, config) for name, build in SPEAKERS.items()}
    agreed = check_same_logits(workers)
    rounds = SPEAKERS_TURNS[label]["rounds"]
    times = alternate(
        workers, **SPEAKERS_TURNS[label], report=lambda done: say(f"\rnext token, {label} size: round {done} of {rounds}", end="")
    )
    for worker in workers.values():
        worker.close()
    rows = [[size, *speed_row(work, peer, ratio(times[work], times[peer]), target)] for work, peer, target in SPEAKERS_PAIRS]
    return rows, f"{size}: {agreed}"


def check_same_logits(workers):
    """Say how closely each contestant gives the cache's logits; stop if it does not."""
    logits, found = workers[CACHED].call("logits"), []
    for name, worker in workers.items():
        if name == CACHED or worker.missing:
            continue
        distance = generation.apart(logits, worker.call("logits"))
        if not distance <= ALLOWED_LOGITS:
            raise SystemExit(f"{name} computes something else: logits apart by {distance:.1e}. Nothing was timed.")
        found.append(f"{name} within {distance:.0e}")
    return ", ".join(found)


def memory_section():
    """Peak memory of a short training run, each in a fresh process."""
    rows = []
    for label, config in SIZES.items():
        say(f"memory, {label} size")
        reports = {}
        for name in ("ours", "PyTorch"):
            worker = Worker(memory.Memory, name, config)
            reports[name] = worker.missing or worker.call("report")
            worker.close()
        size = f"V = {config.vocab_size:,}, d = {config.d_model}"
        if isinstance(reports["PyTorch"], Missing):
            rows.append([size, "", "", reports["PyTorch"].reason, f"{MEMORY_TO_REACH}", ""])
            continue
        (our_before, our_peak), (their_before, their_peak) = reports["ours"], reports["PyTorch"]
        for what, ours, theirs in (
            ("whole process", our_peak, their_peak),
            ("the run alone", our_peak - our_before, their_peak - their_before),
        ):
            reached = verdict(ours / theirs <= MEMORY_TO_REACH)
            rows.append(
                [f"{size}, {what}", f"{ours / 1e6:.0f}", f"{theirs / 1e6:.0f}", f"{ours / theirs:.2f}", f"{MEMORY_TO_REACH}", reached]
            )
    note = (
        f"The most memory the process ever held, over the drawing of the weights and {memory.STEPS} steps with Adam (PyTorch's fused). "
        "The run alone: less what it held before the run, which is the interpreter and its libraries."
    )
    return section("Peak memory of training", ["what", "ours, MB", "PyTorch, MB", "ratio", "to reach", ""], rows, note)


def growth_section():
    """Time of a token against the operations counted."""
    say("growth")
    by_length = {("T", length): growth.sized(growth.WIDTHS[-1], length) for length in growth.LENGTHS}
    by_width = {("d", width): growth.sized(width, growth.LENGTHS[2]) for width in growth.WIDTHS}
    worker = Worker(growth.Growth, by_length | by_width)
    times, prices = worker.call("measure", GROWTH_ROUNDS)
    worker.close()
    rows = []
    for sizes, title in ((by_length, f"T = 32 to 1,024, d = {growth.WIDTHS[-1]}"), (by_width, f"d = 64 to 512, T = {growth.LENGTHS[2]}")):
        counts = {size: growth.operation_counts(config, batch) for size, (config, batch) in sizes.items()}
        measured = [1e6 * times[size] / growth.TOKENS for size in sizes]
        counted = [1e6 * sum(counts[size][kind] * prices[kind] for kind in prices) for size in sizes]
        products = [counts[size]["flops"] for size in sizes]
        found = growth.slope(counted, measured)
        ends = [f"{values[0]:.0f} to {values[-1]:.0f}" for values in (measured, counted)]
        allowed = f"{1 - SLOPE_TO_REACH:.2f} to {1 + SLOPE_TO_REACH:.2f}"
        reached = verdict(abs(found - 1.0) <= SLOPE_TO_REACH)
        factors = " and ".join(f"{values[-1] / values[0]:.2f}" for values in (measured, counted))
        rows.append([title, *ends, factors, f"{found:.2f}", allowed, reached, f"{growth.slope(products, measured):.2f}"])
    flop, number, exponential = (f"{1e12 * prices[kind]:.0f} ps" for kind in ("flops", "passes", "exps"))
    note = (
        f"Forward and backward, 2 layers, 8 heads, V = {peers.SMALL.vocab_size}, {growth.TOKENS:,} tokens a batch. Operations are "
        "counted from the shapes of the plain layers and priced by what one of each kind cost, alone, in the same run: "
        f"{flop} for an addition or multiplication of a matrix product, {number} for a number in a simple pass over an array, "
        f"{exponential} for an exponential. The slope is that of the logarithm of the measured time on the logarithm of the "
        "counted one; where the counted time hardly grows, it makes much of little, and the two factors from the first size to the last "
        "say more. A long sequence is quicker than counted, because a stretch of queries leaves out the keys behind it. The last column "
        "counts the products only."
    )
    header = ["growth", "measured, us a token", "counted, us", "factors", "slope", "to reach", "", "slope on products only"]
    return section("Growth of the time of a token", header, rows, note)


def token_growth_section():
    """Time of a token, with the cache, against the operations counted, as the context grows."""
    first, *longer = generation.LENGTHS
    rows = []
    for label, config in SIZES.items():
        say(f"growth with the context, {label} size")
        worker = Worker(generation.Growth, config)
        times = worker.call("measure", *TOKEN_GROWTH.values())
        worker.close()
        found = {length: ratio(times[length], times[first]) for length in longer}
        counted = {length: generation.operations(config, length) / generation.operations(config, first) for length in longer}
        excess = {length: found[length].value / counted[length] for length in longer}
        worst, last = max(excess, key=excess.get), longer[-1]
        rows.append(
            [
                f"V = {config.vocab_size:,}, d = {config.d_model}",
                f"{1e6 * found[last].peer:.0f} to {1e6 * found[last].ours:.0f}",
                f"{found[last].value:.2f} ({found[last].low:.2f} to {found[last].high:.2f})",
                f"{counted[last]:.2f}",
                f"{excess[worst]:.2f} at {worst:,}",
                f"{EXCESS_TO_REACH}",
                verdict(excess[worst] <= EXCESS_TO_REACH),
            ]
        )
    note = (
        f"One token after {first} to {last:,} tokens, the last one included. Counted are the additions and multiplications of its matrix "
        "products: with the weights always the same, with keys and values in proportion to the context. The excess is the measured factor "
        f"over the counted one, where it is largest; factors are from {first} tokens on."
    )
    header = ["size", "measured, us", "factor (quartiles)", "counted factor", "largest excess", "to reach", ""]
    return section("Growth of the time of a token with its context, with the cache", header, rows, note)


def lattice_section():
    """Primes, spirals and the lattice cache, each beside the same found another way."""
    rows = [*itertools.chain(*(rows_of_numbers(title) for title in NUMBERS)), far_primerange()]
    worker = Worker(lattice.SieveMemory, lattice.FAR_LIMIT)
    beyond = worker.call("report") / 2**20
    worker.close()
    note = (
        "Before anything was timed, each peer's numbers were compared with ours: whole numbers the same, others to nine digits. (The "
        "square roots are no peer, but a measure, and so is the limit.) Cold: a new or emptied sieve each time. SymPy's function looks "
        "for one prime after another where its sieve has not grown; the sieve, called directly, is the quicker way, and has no goal here. "
        f"The function ran once to {lattice.FAR_LIMIT:,}. Memory beyond those primes' own, at the peak: {beyond:.0f} MiB, to stay below "
        f"{SIEVE_MEMORY_TO_REACH}: {verdict(beyond < SIEVE_MEMORY_TO_REACH)}. Importing the lattice cache, with nothing built, took "
        f"{1e3 * lattice.import_seconds('cllm_lib.lattice.entries', after='cllm_lib'):.1f} ms; importing the library after NumPy "
        f"{1e3 * lattice.import_seconds('cllm_lib', after='numpy'):.0f} ms, NumPy itself "
        f"{1e3 * lattice.import_seconds('numpy', after='sys'):.0f} ms."
    )
    header = ["what", "work", "peer", "ours, ms", "peer, ms", "ratio", "quartiles", "to reach", ""]
    return section("Primes, spirals and lattices", header, rows, note)


def rows_of_numbers(title):
    """Rows of one kind of numbers."""
    contestants, turns, pairs = NUMBERS[title]
    workers = {name: Worker(*contestant) for name, contestant in contestants.items()}
    check_same_numbers(title, workers)
    times = alternate(workers, **turns, report=lambda done: say(f"\r{title}: round {done} of {turns['rounds']}", end=""))
    for worker in workers.values():
        worker.close()
    times |= {name: [[seconds]] * turns["rounds"] for name, seconds in LIMITS.items()}
    return [[title, *speed_row(work, peer, ratio(times[work], times[peer]), target)] for work, peer, target in pairs]


def check_same_numbers(title, workers):
    """Stop if a peer finds other numbers than ours, the first."""
    (_, ours), *others = ((name, worker) for name, worker in workers.items() if name != ROOTS and not worker.missing)
    expected = ours.call("answer") if others else None
    for name, worker in others:
        if not lattice.agree(expected, worker.call("answer")):
            raise SystemExit(f"{name} finds something else than ours, {title}. Nothing was timed.")


def far_primerange():
    """The row of SymPy's function far out, which takes a minute: called once, and its answer compared afterwards."""
    say(f"\rSymPy's primerange to {lattice.FAR_LIMIT:,}: a minute")
    workers = [Worker(build, lattice.FAR_LIMIT) for build in (lattice.our_primes, lattice.sympy_primerange)]
    (ours, expected), (theirs, found) = (worker.call("once") for worker in workers)
    for worker in workers:
        worker.close()
    if not lattice.agree(expected, found):
        raise SystemExit(f"{PRIMERANGE} finds something else than ours to {lattice.FAR_LIMIT:,}.")
    row = speed_row(OUR_PRIMES, PRIMERANGE, Ratio(ours, theirs, *3 * (ours / theirs,)), FAR_PRIMERANGE_TO_REACH)
    return [f"primes below {lattice.FAR_LIMIT:,}", *row[:5], "once", *row[6:]]


def verdict(reached):
    """In words, not by a colour."""
    return "reached" if reached else "not reached"


def section(title, header, rows, note):
    """A title, a table and a remark, as Markdown; printed too."""
    lines = [f"## {title}", "", *table(header, rows)] + (["", note] if note else [])
    say("\n" + "\n".join(lines) + "\n")
    return "\n".join(lines)


def table(header, rows):
    """Lines of a Markdown table whose columns also line up as plain text."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in [header, *rows]]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def page(conditions, sections):
    """The whole of RESULTS.md."""
    how = (
        "Written by `make bench`. 128 tokens (4 x 32), 2 layers, 8 heads, float32, 2 threads. Each contestant runs in a process of its "
        "own; they take turns of a few steps, round after round, and a ratio compares two turns of one round. Times are medians of "
        "single steps; a ratio is the median over the rounds, with its quartiles."
    )
    return "\n\n".join(["# Results of make bench", how, *conditions, *sections]) + "\n"


def describe_machine():
    """Processor, memory, system and versions, in words."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = names[0] if names else processor
    built = np.show_config(mode="dicts")
    blas, simd = built["Build Dependencies"]["blas"], built["SIMD Extensions"].get("found") or ["none found"]
    versions = [f"Python {platform.python_version()}", f"NumPy {np.__version__} with {blas['name']} {blas['version']} and {simd[-1]}"]
    versions += [f"{title} {number}" for title, number in (("PyTorch", version("torch")), ("JAX", version("jax"))) if number]
    memory_gb = psutil.virtual_memory().total / 1e9
    return f"{processor}, {psutil.cpu_count()} processors, {memory_gb:.0f} GB, {platform.system()}; {', '.join(versions)}."


def describe_settings(environment):
    """What OpenBLAS, which multiplies NumPy's matrices, has been told."""
    told = [f"{name}={value}" for name, value in sorted(environment.items()) if name.startswith("OPENBLAS_")]
    return f"OpenBLAS has been told {', '.join(told) or 'nothing'}."


def version(package):
    """The installed version, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def say(text, end="\n"):
    """Print at once."""
    print(text, end=end, flush=True)


if __name__ == "__main__":
    main()
