"""What Hypothesis has compiled for the processor at hand, in plain Python, since nobody compiled it for a browser: numbers' neighbours."""

import math
import struct
import sys
import types

FORMATS = {16: ("<e", "<H"), 32: ("<f", "<I"), 64: ("<d", "<Q")}
SMALLEST_NORMAL = {16: 2.0**-14, 32: 2.0**-126, 64: 2.0**-1022}


def float_of(x, width):
    """The float of that width nearest to x."""
    return struct.unpack(FORMATS[width][0], struct.pack(FORMATS[width][0], float(x)))[0]


def float_to_int(value, width=64):
    """The bits of a float as a whole number."""
    return struct.unpack(FORMATS[width][1], struct.pack(FORMATS[width][0], value))[0]


def int_to_float(value, width=64):
    """The float that has these bits."""
    return struct.unpack(FORMATS[width][0], struct.pack(FORMATS[width][1], value))[0]


def is_negative(x):
    """Whether its sign is minus, that of -0.0 too."""
    return math.copysign(1.0, x) < 0.0


def _place(value, width):
    """Its place in the order of all floats: 0.0 at 0, -0.0 at -1."""
    return -1 - float_to_int(-value, width) if is_negative(value) else float_to_int(value, width)


def _at(place, width):
    return -int_to_float(-1 - place, width) if place < 0 else int_to_float(place, width)


def count_between_floats(x, y, width=64):
    """How many floats there are from x to y."""
    return _place(y, width) - _place(x, width) + 1


def next_up(value, width=64):
    """The next float above."""
    return value if math.isnan(value) or value == math.inf else _at(_place(value, width) + 1, width)


def next_down(value, width=64):
    """The next float below."""
    return -next_up(-value, width)


def next_up_normal(value, width, *, allow_subnormal):
    """The next float above that is 0 or large enough."""
    return -next_down_normal(-value, width, allow_subnormal=allow_subnormal)


def next_down_normal(value, width, *, allow_subnormal):
    """The next float below that is 0 or large enough."""
    value = next_down(value, width)
    if allow_subnormal or not 0.0 < abs(value) < SMALLEST_NORMAL[width]:
        return value
    return 0.0 if value > 0.0 else -SMALLEST_NORMAL[width]


def width_smallest_normals(width):
    """The smallest float of full precision."""
    return SMALLEST_NORMAL[width]


def cathetus(hypotenuse, other):
    """The third side of a triangle with a right angle."""
    hypotenuse, other = abs(hypotenuse), abs(other)
    if math.isinf(hypotenuse) or math.isinf(other) or hypotenuse < other:
        return math.nan if not hypotenuse > other else hypotenuse
    return math.sqrt(hypotenuse - other) * math.sqrt(hypotenuse + other)


def stand_in():
    """Let Hypothesis find these."""
    package, internal = types.ModuleType("hypothesis._native"), types.ModuleType("hypothesis._native.internal")
    package.__version__, package.internal = "0", internal
    sides = types.ModuleType("hypothesis._native.internal.cathetus")
    sides.cathetus = cathetus
    sys.modules["hypothesis._native"] = package
    sys.modules["hypothesis._native.internal"] = internal
    sys.modules["hypothesis._native.internal.cathetus"] = sides
    sys.modules["hypothesis._native.internal.floats"] = sys.modules[__name__]
