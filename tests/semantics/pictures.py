"""Images whose targets are known because they were made so."""

import numpy as np


def gray(plane):
    """A plane ``[s, s]`` in 0 … 1 as a square ``[3, s, s]`` of bytes with equal channels."""
    return np.repeat(np.rint(np.clip(plane, 0, 1) * 255).astype(np.uint8)[None], 3, axis=0)


def constant(side, colour=(128, 128, 128)):
    return np.ascontiguousarray(np.broadcast_to(np.array(colour, np.uint8)[:, None, None], (3, side, side)))


def noise(side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (3, side, side), dtype=np.uint8)


def places(side):
    """``x`` to the right and ``y`` down of the pixels' centres, 0 … 1."""
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side
    return x, y


def grating(side, cycles, degrees, contrast=0.4):
    """Stripes that run along ``degrees``, counter-clockwise from the horizontal."""
    x, y = places(side)
    across = x * np.sin(np.radians(degrees)) + y * np.cos(np.radians(degrees))
    return gray(0.5 + contrast * np.sin(2 * np.pi * cycles * across))


def discs(side, *centres_and_radii, ink=(240, 170, 120), paper=(30, 60, 70)):
    """Discs ``(x, y, radius)`` on a plain ground, without soft edges; and which pixels they cover."""
    x, y = places(side)
    covered = np.zeros((side, side), bool)
    for cx, cy, radius in centres_and_radii:
        covered |= np.hypot(x - cx, y - cy) <= radius
    square = constant(side, paper)
    square[:, covered] = np.array(ink, np.uint8)[:, None]
    return square, covered


def power_law(side, slope, seed=0):
    """Noise whose power falls as the frequency to ``slope``."""
    white = np.fft.fft2(np.random.default_rng(seed).normal(size=(side, side)))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = np.inf
    plane = np.fft.ifft2(white * frequency ** (slope / 2)).real
    return gray(0.5 + 0.15 * plane / plane.std())


def turned(square):
    """A quarter turn counter-clockwise."""
    return np.ascontiguousarray(np.rot90(square, axes=(1, 2)))


def half_turns(value):
    """The angle in degrees, 0 … 180, of the point ``(cos 2θ, sin 2θ)``."""
    return np.degrees(np.arctan2(value[1], value[0])) / 2 % 180
