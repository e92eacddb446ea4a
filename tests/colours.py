"""Colours as eyes see them: how far two are apart, how well one stands out, and what is left of them without one kind of cone.

Written out from their sources, so that nothing of the book's own judges the book's palette.
"""

import re

import numpy as np

# Machado, Oliveira and Fernandes 2009 (doi:10.1109/TVCG.2009.113), severity 1.0, for linear RGB.
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])  # sRGB, D65
WHITE = TO_XYZ.sum(axis=1)


def linear(colour):
    """Linear RGB, 0 to 1, of a colour as CSS writes it, #rgb or #rrggbb (IEC 61966-2-1)."""
    digits = re.fullmatch(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})", colour)[1]
    pairs = [digit * 2 for digit in digits] if len(digits) == 3 else re.findall("..", digits)
    share = np.array([int(pair, 16) for pair in pairs]) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def seen(colour, blindness=None):
    """Linear RGB of a colour as it looks with one kind of cone missing; None is ordinary sight."""
    rgb = linear(colour)
    return rgb if blindness is None else np.clip(np.array(BLINDNESS[blindness]) @ rgb, 0.0, 1.0)


def lab(rgb):
    """CIELAB of linear RGB, for the white of D65 (CIE 15)."""
    x, y, z = (_root(value) for value in TO_XYZ @ rgb / WHITE)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _root(t):
    return np.cbrt(t) if t > (6 / 29) ** 3 else t / (3 * (6 / 29) ** 2) + 4 / 29


def difference(one, other):
    """CIEDE2000 of two CIELAB colours; 1 is about what one just sees (Sharma, Wu and Dalal 2005, doi:10.1002/col.20070)."""
    chroma = (np.hypot(*one[1:]) + np.hypot(*other[1:])) / 2
    stretch = 1.5 - 0.5 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7))
    (l1, c1, h1), (l2, c2, h2) = ((light, np.hypot(stretch * a, b), _hue(stretch * a, b)) for light, a, b in (one, other))
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    hue = h1 + h2 if c1 * c2 == 0 else h1 + turn / 2
    t = 1 - 0.17 * _cos(hue - 30) + 0.24 * _cos(2 * hue) + 0.32 * _cos(3 * hue + 6) - 0.20 * _cos(4 * hue - 63)
    in_light = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    in_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    in_hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * t)
    blue = 30 * np.exp(-((((hue % 360) - 275) / 25) ** 2))
    twist = -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(np.radians(2 * blue))
    return float(np.sqrt(in_light**2 + in_chroma**2 + in_hue**2 + twist * in_chroma * in_hue))


def _hue(a, b):
    return np.degrees(np.arctan2(b, a)) % 360


def _cos(degrees):
    return np.cos(np.radians(degrees))


def apart(one, other, blindness=None):
    """CIEDE2000 of two colours as CSS writes them, with ordinary sight or without a kind of cone."""
    return difference(lab(seen(one, blindness)), lab(seen(other, blindness)))


def contrast(one, other):
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.1, definitions of contrast ratio and of relative luminance)."""
    bright, dark = sorted((float(TO_XYZ[1] @ linear(colour)) for colour in (one, other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def mixed(over, under, share):
    """The colour in the page where `share` of one lies over another, as browsers mix it: in sRGB."""
    pairs = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (over, under)]
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in zip(*pairs, strict=True))
