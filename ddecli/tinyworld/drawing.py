"""Scenes to pixels: signed distance functions with soft edges, 32 x 32, 8-bit RGB."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ddecli.core.seeds import numpy_rng
from ddecli.tinyworld.scenes import (
    BACKGROUNDS,
    COLOURS,
    PLACES,
    SHAPES,
    SIZES,
    TEXTURES,
    Description,
    Flaws,
    Scene,
    Thing,
)

RESOLUTION = 32
"""Width and height of a picture, pixels."""

RGB = {
    "red": (218, 38, 42),
    "green": (40, 168, 74),
    "blue": (42, 86, 222),
    "yellow": (244, 208, 34),
    "purple": (148, 62, 196),
    "orange": (244, 132, 26),
    "white": (250, 250, 250),
    "grey": (128, 128, 132),
    "black": (14, 14, 18),
}
RADIUS = {"small": 0.2, "large": 0.34, None: 0.27}
PLACE_XY = dict(zip(PLACES, ((0.5, 0.5), (0.3, 0.5), (0.7, 0.5), (0.5, 0.3), (0.5, 0.7)), strict=True))
CELL = 4.0
"""Period of stripes and dots, pixels."""


@dataclass(frozen=True)
class Placed:
    """A thing at a place: centre in [0, 1], radius as a share of the width, tilt in radians."""

    thing: Thing
    x: float
    y: float
    radius: float
    tilt: float


def draw(scene: Scene) -> np.ndarray:
    """Draw a scene.

    Returns:
        (32, 32, 3) uint8. The same scene always gives the same pixels.
    """
    rng = numpy_rng("draw", scene.seed)
    meant, background = _with_coarse_flaw(scene.description, scene.flaws, rng)
    pixels = np.empty((RESOLUTION, RESOLUTION, 3))
    pixels[:] = np.array(RGB[background]) + rng.normal(0, 2, 3)
    hurt = int(rng.integers(len(meant)))  # middle flaws hurt one object, fine ones all
    for index, placed in enumerate(meant):
        flaws = scene.flaws if index == hurt else replace(scene.flaws, middle=None)
        _paint(pixels, placed, flaws, rng)
    if scene.flaws.fine == "speckle":
        _speckle(pixels, scene.flaws.fine_severity, rng)
    return np.clip(pixels + 0.5, 0, 255).astype(np.uint8)


def _other(options: tuple[str, ...], value: str, rng: np.random.Generator) -> str:
    return str(rng.choice([option for option in options if option != value]))


def _with_coarse_flaw(
    description: Description, flaws: Flaws, rng: np.random.Generator
) -> tuple[list[Placed], str]:
    """Choose what the caption leaves open, and get one thing wrong if the scene has a coarse flaw."""
    background = description.background or str(rng.choice(BACKGROUNDS))
    things = list(description.things) * (2 if description.layout == "twins" else 1)
    victim = int(rng.integers(len(things)))
    if flaws.coarse == "wrong colour":
        things[victim] = replace(things[victim], colour=_other(COLOURS, things[victim].colour, rng))
    if flaws.coarse == "wrong shape":
        things[victim] = replace(things[victim], shape=_other(SHAPES, things[victim].shape, rng))
    if flaws.coarse == "wrong number":
        things = things[:1] if len(things) == 2 else things * 2
    if len(things) == 2:
        spots = _two_spots(description, rng)
    else:
        place = description.place or str(rng.choice(PLACES))
        if flaws.coarse == "wrong place" and description.place:
            place = _other(PLACES, place, rng)
        size = description.size or str(rng.choice(SIZES))
        spots = [(*PLACE_XY[place], RADIUS[size])]
    if flaws.coarse == "wrong place" and len(things) == 2:
        spots = spots[::-1]
    return [_jittered(thing, spot, rng) for thing, spot in zip(things, spots, strict=True)], background


def _two_spots(description: Description, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    stacked = description.relation == "above" or (description.relation is None and rng.random() < 0.5)
    radius = 0.19
    return (
        [(0.5, 0.27, radius), (0.5, 0.73, radius)] if stacked else [(0.27, 0.5, radius), (0.73, 0.5, radius)]
    )


def _jittered(thing: Thing, spot: tuple[float, float, float], rng: np.random.Generator) -> Placed:
    x, y, radius = spot
    dx, dy = rng.uniform(-0.03, 0.03, 2)
    return Placed(thing, x + dx, y + dy, radius * rng.uniform(0.92, 1.08), rng.uniform(-0.15, 0.15))


def _paint(pixels: np.ndarray, placed: Placed, flaws: Flaws, rng: np.random.Generator) -> None:
    """Blend one object into the picture, with its middle and fine flaws."""
    axis = (np.arange(RESOLUTION) + 0.5) / RESOLUTION
    dx = (axis[None, :] - placed.x) / placed.radius
    dy = (axis[:, None] - placed.y) / placed.radius
    cos, sin = np.cos(placed.tilt), np.sin(placed.tilt)
    u, v = cos * dx + sin * dy, -sin * dx + cos * dy  # in units of the radius; v points down
    gap = None
    if flaws.middle:
        u, v, gap = _distort(u, v, flaws.middle, flaws.middle_severity, rng)
    distance = _signed_distance(placed.thing.shape, u, v)
    if gap is not None:
        distance = np.maximum(distance, -gap)
    pixels_of_radius = placed.radius * RESOLUTION
    if flaws.fine == "ragged edge":
        noise = rng.normal(0, 1, distance.shape)
        distance = distance + noise * (0.5 + 1.0 * flaws.fine_severity) / pixels_of_radius
    cover = np.clip(0.5 - distance * pixels_of_radius, 0, 1)[..., None]
    texture = placed.thing.texture
    if flaws.fine == "wrong texture":
        texture = _other(TEXTURES, texture, rng)
    shade = _texture(texture, dx * pixels_of_radius, dy * pixels_of_radius)[..., None]
    colour = np.array(RGB[placed.thing.colour]) + rng.normal(0, 4, 3)
    pixels[:] = pixels * (1 - cover) + colour * shade * cover


def _signed_distance(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Signed distance to the outline in units of the radius, negative inside (approximate at corners)."""
    r = np.hypot(u, v)
    if shape == "circle":
        return r - 0.95
    if shape == "square":
        return np.maximum(abs(u), abs(v)) - 0.82
    if shape == "triangle":
        slant = np.maximum(0.866 * u - 0.5 * v, -0.866 * u - 0.5 * v)
        return np.maximum(v - 0.7, slant - 0.5)
    if shape == "cross":
        upright = np.maximum(abs(u) - 0.3, abs(v) - 1)
        level = np.maximum(abs(v) - 0.3, abs(u) - 1)
        return np.minimum(upright, level)
    if shape == "star":
        phase = abs((np.arctan2(u, -v) / (2 * np.pi) * 5) % 1 - 0.5) * 2  # 1 at a tip, 0 between two
        return (r - (0.42 + 0.68 * phase**1.3)) * 0.7
    return abs(r - 0.7) - 0.28  # ring


def _texture(texture: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Factor on the colour: 1 for a plain fill, darker in stripes or dots. `x`, `y` in pixels."""
    if texture == "striped":
        return np.where(np.sin((x + y) * (2 * np.pi / (CELL * 1.41))) > 0, 1.0, 0.42)
    if texture == "dotted":
        wave = np.cos(x * (2 * np.pi / CELL)) + np.cos(y * (2 * np.pi / CELL))
        return np.where(wave > 0.5, 0.3, 1.0)
    return np.ones(np.broadcast_shapes(x.shape, y.shape))


def _distort(
    u: np.ndarray, v: np.ndarray, kind: str, severity: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Spoil an outline: returns new coordinates and, for a broken one, the signed distance to the gap."""
    side = 1.0 if rng.random() < 0.5 else -1.0
    if kind == "bent":
        return u + side * severity * 0.85 * (v**2 - 0.3), v, None
    if kind == "lopsided":
        return np.where(u * side > 0, u / (1 - 0.6 * severity), u), v, None
    if kind == "displaced part":
        return np.where(v > 0, u + side * 0.65 * severity, u), v, None
    angle = rng.uniform(0, np.pi)
    across = np.cos(angle) * u + np.sin(angle) * v
    return u, v, abs(across - side * 0.15) - (0.08 + 0.2 * severity)


def _speckle(pixels: np.ndarray, severity: float, rng: np.random.Generator) -> None:
    """Scatter bright and dark specks over the whole picture."""
    specks = rng.random(pixels.shape[:2]) < 0.02 + 0.06 * severity
    pixels[specks] = np.where(rng.random((specks.sum(), 1)) < 0.5, 235.0, 25.0)
