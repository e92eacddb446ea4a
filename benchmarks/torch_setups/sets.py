"""All sets of set-ups on which the doctor is examined, by name; each was written by somebody who had not seen its code."""

from benchmarks.torch_setups.case import Setup, everything

FIRST, HELD_OUT, LAST, REPORTS = "first", "held-out", "last", "reports"
# What the doctor made of each at first sight, before anything was mended by it: at which commit, faults named, sound ones blamed.
AT_FIRST_SIGHT = {FIRST: ("f5d68b4", "87 of 94", "3 of 113"), HELD_OUT: ("5b3d3bc", "74 of 89", "17 of 172"),
                  LAST: ("88f3326", "49 of 55", "1 of 63")}  # fmt: skip


def sets():
    """The set-ups of each set.

    Returns
    -------
    dict of str to dict of str to Setup
    """
    from benchmarks.torch_setups import held_out_faults, held_out_sound, last_exam, reports  # PyTorch is loaded here

    held_out = [*held_out_faults.FAULTS, *held_out_sound.SOUND]
    twins = [Setup(f"{one.name}, without it", one.architecture, None, one.twin) for one in held_out_faults.FAULTS]
    told = [Setup(one.name, one.source, one.cause or one.truth, one.build) for one in reports.REPORTS]
    mended = [Setup(f"{one.name}, mended", one.source, None, lambda seed, one=one: one.build(seed, mended=True)) for one in reports.REPORTS]
    found = {HELD_OUT: [*held_out, *twins], LAST: [*last_exam.FAULTS, *last_exam.SOUND], REPORTS: [*told, *mended]}
    return {FIRST: everything()} | {group: {one.name: one for one in members} for group, members in found.items()}
