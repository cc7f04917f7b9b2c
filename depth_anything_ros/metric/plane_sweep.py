"""An image shown as it would look from another pose, were all that it shows on one of some planes.

The images of a plane, taken from two known poses, are a homography apart (Hartley and Zisserman,
Multiple View Geometry, 2004, section 13.1); of several planes the one that fits best tells how high
a place is (a plane sweep, Collins 1996).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage, Plane
from depth_anything_ros.geometry.camera import Camera, distort, rays_of_pixels
from depth_anything_ros.metric.exposure import BRIGHTEST, DARKEST, exposed, exposure_between
from depth_anything_ros.metric.flicker import brightness_of_rows

# Own choices, made on simulated rooms and streets 0 to 4.
HEIGHTS = np.array([0.0, 0.08, 0.16, 0.24, 0.33, 0.43, 0.54, 0.66])
"""Heights of the planes in heights of the camera; the first is the ground."""
_BELOW = np.array([-0.2, -0.5])  # stairs down and reflections fit planes below it
_RANGE = 7.0  # heights of the camera up to which the ground is compared
_WINDOW = (15, 9)  # columns and rows over which differences are summed
NOISE = 0.25
"""Mean difference of grey values that says nothing."""
_CELL = 8  # pixels between places whose shift is computed; between them it is interpolated
_LEAST_ROWS = 24
_NEAREST = 0.05  # metres along Z from which on a camera sees
THIN = 2
"""Every second row and column tells by how much poses are off,"""
MOST_SHIFT = 3.0
"""pixels at most,"""
LEAST_PIXELS = 200
"""from that many of them."""
_THIN_WINDOW = (_WINDOW[0] // THIN | 1, _WINDOW[1] // THIN | 1)
_ROUNDS = 3
_BETTER_EXPOSED = 0.9  # of the difference of grey values that is left where exposures differ,
_BETTER_LIT = 0.9  # and of that where lamps flicker;
_LEFT_OF_FLICKER = 1.0  # grey values by which what is then shown may be wrong
_DARK = 15  # grey value above which the ratio of two is exact enough
_MOST_PLACES = 3_000  # for cost
_STIFF = 0.02  # of squared slopes: where there is no texture nothing is shifted
_FAVOUR = 0.9  # the ground is taken where it fits nearly as well as a plane above it
_ASIDE = 6.0  # pixels: pictures shown so far aside fit worse where poses are right,
_CLEAREST = 0.3  # among this share with most contrast: where nothing is to be seen all fits
_SPARSE = 4  # every fourth row and column tells


@dataclass(frozen=True)
class Picture:
    """An image and where it was taken.

    Attributes:
        stamp: Nanoseconds.
        pose: 4x4, optical frame -> fixed frame.
        gray: Rows x columns float32 grey values, the camera's image in any size.
    """

    stamp: int
    pose: FloatArray
    gray: FloatImage


@dataclass(frozen=True)
class Likely:
    """Number of the height at every second pixel, and the median difference that it leaves."""

    number: npt.NDArray[np.intp]
    difference: float


@dataclass(frozen=True)
class Places:
    """Where the other camera would see the ground that every second pixel shows.

    Attributes:
        points: 3xN float64 metres in its optical frame, of those it sees.
        maps: 2 x rows x columns float32, columns and rows of its picture.
        seen: Rows x columns bool, the N that it sees.
    """

    points: FloatArray
    maps: FloatImage
    seen: npt.NDArray[np.bool_]


class PlaneSweep:
    """A picture shown as it would look from another pose, were all on one of several planes.

    Attributes:
        pictures: The other picture, and the one that is shown.
        height: Metres from the camera to the ground.
        apart: Metres between the two poses.
        focal_columns: Focal length in columns of the pictures.
        focal: The same in their rows.
        rows: Rows of the pictures.
        top: First row of them that is compared.
        gray: Rows x columns float32 from there on, the grey values of the one that is shown.
        depth: Rows x columns float32 from there on, metres along Z of the ground.
        inside: Rows x columns bool, what the other picture shows, too.
        sees_ground: Whether there is anything to compare; without it only `top` is known.
        unsure: Grey values by which the two may differ after flicker was taken away; 0 without.
    """

    def __init__(
        self,
        before: Picture,
        now: Picture,
        camera: Camera,
        ground: Plane,
        shown_alike: bool = False,
        unsure: float = 0.0,
    ) -> None:
        self.rows, columns = now.gray.shape
        self.unsure = unsure
        rows = self.rows
        self._before, self._camera, self.height = before.gray, camera, ground.offset
        self.pictures, self._seen_of = (before, now), (camera, ground)
        self._pixel = camera.width / columns, camera.height / rows
        self._motion = motion = np.linalg.inv(before.pose) @ now.pose
        self.apart = float(np.linalg.norm(motion[:3, 3]))
        self.focal_columns, self.focal = camera.fx / self._pixel[0], camera.fy / self._pixel[1]
        first = -0.5 * _CELL - 0.5  # so that resizing puts the nodes where they belong
        v, u = np.mgrid[first : rows + _CELL : _CELL, first : columns + _CELL : _CELL]
        at_u, at_v = (u + 0.5) * self._pixel[0] - 0.5, (v + 0.5) * self._pixel[1] - 0.5
        x, y = rays_of_pixels(camera, at_u.ravel(), at_v.ravel())
        self._rays, self._nodes = np.stack([x, y, np.ones_like(x)], axis=1), u.shape
        down = -(self._rays @ np.array(ground.normal))
        near = np.isfinite(down) & (down * _RANGE > 1)
        first_row = float(v.ravel()[near].min()) if near.any() else rows
        self.top = min(max(int(first_row) // 2 * 2, 0), rows)
        self.sees_ground = rows - self.top >= _LEAST_ROWS
        if not self.sees_ground:
            return
        self.gray = now.gray[self.top :]
        depth = _depth(ground, down)
        self.depth = self._fine(depth.reshape(self._nodes))
        turned = (depth[:, None] * self._rays) @ motion[:3, :3].T
        maps = [self._map((1 - height) * turned + motion[:3, 3]) for height in (*HEIGHTS, *_BELOW)]
        self._maps, self._below = np.stack(maps[: len(HEIGHTS)]), np.stack(maps[len(HEIGHTS) :])
        u_there, v_there = self._maps[:, 0], self._maps[:, 1]
        seen = (u_there >= 0) & (v_there >= 0) & (u_there < columns - 1) & (v_there < rows - 1)
        self.inside = seen.all(axis=0)
        self.sees_ground = np.count_nonzero(self.inside) >= LEAST_PIXELS * THIN**2
        if self.sees_ground and not shown_alike:
            self._shown_alike()

    def _shown_alike(self) -> None:
        """Make both pictures as bright as each other.

        Cameras set their exposure anew all the time, and lamps flicker. Where each place is taken
        for the height at which grey values change alike, they differ by no more than that.
        """
        maps, now = self._maps[:, :, ::THIN, ::THIN], self.gray[::THIN, ::THIN]
        seen = np.stack([self._seen(each, np.zeros(2)) for each in maps])
        off = now - seen
        changes = np.stack(
            [cv2.blur(np.abs(each - cv2.blur(each, _THIN_WINDOW)), _THIN_WINDOW) for each in off]
        )
        best = np.argmin(changes, axis=0)[None]
        there = np.take_along_axis(seen, best, axis=0)[0]
        used = self.inside[::THIN, ::THIN] & (np.minimum(now, there) > DARKEST)
        used &= np.maximum(now, there) < BRIGHTEST
        if np.count_nonzero(used) < LEAST_PIXELS:
            return
        gain, more = exposure_between(there[used].astype(np.float64), now[used].astype(np.float64))
        usual = _misfit(seen, now, used)
        left = _misfit(np.float32(gain) * seen + np.float32(more), now, used)
        given = self._before, self.gray
        if left <= _BETTER_EXPOSED * usual:
            given, usual = (exposed(self._before, gain, more), self.gray), left
        self._without_flicker(np.take_along_axis(maps[:, 1], best, axis=0)[0], there, used)
        seen = np.stack([self._seen(each, np.zeros(2)) for each in maps])
        if _misfit(seen, self.gray[::THIN, ::THIN], used) > _BETTER_LIT * usual:
            self._before, self.gray = given
            return
        self.unsure = _LEFT_OF_FLICKER
        other, shown = self.pictures
        whole = np.concatenate([shown.gray[: self.top], self.gray])
        self.pictures = other, replace(shown, gray=whole)

    def _without_flicker(
        self, row_before: FloatImage, there: FloatImage, used: npt.NDArray[np.bool_]
    ) -> None:
        """Take bands of flickering lamps from both pictures.

        Args:
            row_before: Row of the other picture that shows every second pixel.
            there: What it shows there.
            used: Those that tell.
        """
        now = self.gray[::THIN, ::THIN]
        bright = used & (np.minimum(now, there) > _DARK)
        if np.count_nonzero(bright) < LEAST_PIXELS:
            return
        step = max(1, np.count_nonzero(bright) // _MOST_PLACES)
        row = (self.top + THIN * np.nonzero(bright)[0]).astype(np.float64)
        ratio = np.log(now[bright] / there[bright]).astype(np.float64)
        of_before = row_before[bright].astype(np.float64)
        before, shown = brightness_of_rows(ratio[::step], of_before[::step], row[::step], self.rows)
        self._before = self._before * np.exp(-before)[:, None].astype(np.float32)
        self.gray = self.gray * np.exp(-shown[self.top :])[:, None].astype(np.float32)

    def _fine(self, nodes: FloatArray) -> FloatImage:
        """Values at the nodes interpolated to the pixels that are compared."""
        size = (nodes.shape[1] * _CELL, nodes.shape[0] * _CELL)
        whole = cv2.resize(nodes.astype(np.float32), size)
        rows, columns = self.gray.shape
        below = _CELL + self.top
        return np.asarray(whole[below : below + rows, _CELL : _CELL + columns])

    def _map(self, points: FloatArray) -> FloatImage:
        """Column and row at which the other picture shows points that are given at the nodes."""
        z = points[:, 2]
        ahead = z > _NEAREST
        z = np.where(ahead, z, 1)
        u, v = distort(self._camera, points[:, 0] / z, points[:, 1] / z)
        u = np.where(ahead, (u + 0.5) / self._pixel[0] - 0.5, -1e4)
        v = np.where(ahead, (v + 0.5) / self._pixel[1] - 0.5, -1e4)
        return np.stack([self._fine(part.reshape(self._nodes)) for part in (u, v)])

    def _seen(self, maps: FloatImage, shift: FloatArray) -> FloatImage:
        """The other picture through a map of columns and rows, as float32."""
        u, v = (maps[k] + np.float32(shift[k]) for k in (0, 1))
        return np.asarray(cv2.remap(self._before, u, v, cv2.INTER_LINEAR), np.float32)

    def ground_map(self, ground: Plane) -> FloatImage:
        """Columns and rows where the other picture shows every second pixel of another ground.

        Args:
            ground: That ground, in the optical frame of this picture.

        Returns:
            2 x rows x columns float32.
        """
        depth = _depth(ground, -(self._rays @ np.array(ground.normal)))
        turned = (depth[:, None] * self._rays) @ self._motion[:3, :3].T
        return self._map(turned + self._motion[:3, 3])[:, ::THIN, ::THIN]

    def differences(
        self, maps: FloatImage, used: npt.NDArray[np.bool_]
    ) -> tuple[FloatArray, FloatArray]:
        """How grey values differ at every second pixel, and how a shift changes that.

        Args:
            maps: 2 x rows x columns float32, where the other picture shows them.
            used: Rows x columns bool, those that are asked for.

        Returns:
            N float64, grey values of this picture less the other's; 2xN float64, slopes of the
            other along its columns and rows.
        """
        u, v = (np.ascontiguousarray(part) for part in maps)
        now = self.gray[::THIN, ::THIN]
        seen, *slopes = (
            cv2.remap(picture, u, v, cv2.INTER_LINEAR)[used].astype(np.float64)
            for picture in (
                self._before,
                *(
                    cv2.Sobel(self._before, cv2.CV_32F, *way, scale=1 / 8)
                    for way in ((1, 0), (0, 1))
                ),
            )
        )
        return now[used] - seen, np.stack(slopes)

    def shift(self, shift: FloatArray, height: npt.NDArray[np.intp] | None) -> FloatArray:
        """Pixels by which the poses are off (Lucas and Kanade 1981, with robust weights).

        Args:
            shift: Columns and rows to begin with.
            height: Number of the height at every second pixel; None for the ground everywhere.

        Returns:
            Columns and rows.
        """
        maps = self._maps[..., ::THIN, ::THIN]
        if height is None:
            chosen = np.ascontiguousarray(maps[0])
        else:
            chosen = np.take_along_axis(maps, height[None, None], axis=0)[0]
        used = self.inside[::THIN, ::THIN]
        now = self.gray[::THIN, ::THIN]
        for _ in range(_ROUNDS):
            seen = self._seen(chosen, shift)
            off = (now - seen)[used]
            if len(off) < LEAST_PIXELS:
                break
            along = [
                cv2.Sobel(seen, cv2.CV_32F, *way, scale=1 / (8 * THIN))[used]
                for way in ((1, 0), (0, 1))
            ]
            slopes = np.stack(along)
            usual = 2 * float(np.median(np.abs(off))) + NOISE
            weighed = slopes / (1 + np.square(off / usual))
            stiff = len(off) * _STIFF
            normal = weighed @ slopes.T + stiff * np.eye(2)
            shift = shift + np.linalg.solve(normal, weighed @ off - stiff * shift)
        return np.clip(shift, -MOST_SHIFT, MOST_SHIFT)

    def matches(self, shift: FloatArray, likely: Likely) -> FloatImage:
        """Where both pictures show the same.

        Args:
            shift: Columns and rows by which the poses are off.
            likely: The height of each place.

        Returns:
            4xN float32: column and row in this picture, and in the other one.
        """
        maps = self._maps[..., ::THIN, ::THIN]
        there = np.take_along_axis(maps, likely.number[None, None], axis=0)[0]
        row, column = np.nonzero(self.inside[::THIN, ::THIN])
        here = np.stack([THIN * column, self.top + THIN * row])
        moved = there[:, row, column] + shift[:, None]
        return np.concatenate([here, moved]).astype(np.float32)

    def of_ground(self, on_ground: npt.NDArray[np.bool_]) -> Places:
        """Where the other camera would see the ground.

        Args:
            on_ground: What shows it, at every second pixel.
        """
        thin = (slice(None, None, THIN), slice(None, None, THIN))
        x, y = (self._fine(part.reshape(self._nodes))[thin] for part in self._rays.T[:2])
        depth = self.depth[thin]
        here = np.stack([x * depth, y * depth, depth]).reshape(3, -1).astype(np.float64)
        there = self._motion[:3, :3] @ here + self._motion[:3, 3:]
        seen = self.inside[thin] & on_ground & (there[2] > _NEAREST).reshape(depth.shape)
        return Places(there[:, seen.ravel()], self._maps[0, :, ::THIN, ::THIN], seen)

    def moved(self, step: FloatArray) -> PlaneSweep:
        """The same pictures, the other one from elsewhere.

        Args:
            step: 4x4, the other optical frame -> the one it should be.
        """
        before, now = self.pictures
        pose = before.pose @ np.linalg.inv(step)
        before = replace(before, gray=self._before, pose=pose)
        return PlaneSweep(before, now, *self._seen_of, shown_alike=True, unsure=self.unsure)

    def likely_heights(self, shift: FloatArray) -> Likely:
        """The heights that fit best at every second pixel."""
        costs = self._costs(self._maps, shift, THIN) + np.float32(NOISE)
        costs[0] *= _FAVOUR
        inside = self.inside[::THIN, ::THIN]
        return Likely(np.argmin(costs, axis=0), float(np.median(costs.min(axis=0)[inside])))

    def costs(self, shift: FloatArray) -> FloatImage:
        """Mean difference of grey values around each pixel for each height."""
        return self._costs(self._maps, shift, 1)

    def fits(self, shift: FloatArray) -> float:
        """Share of places that fit better at some height than shown aside, left and right."""

        def least(columns: float) -> FloatImage:
            moved = shift + np.array([columns, 0])
            return np.asarray(self._costs(self._maps, moved, _SPARSE).min(axis=0))

        better = least(0.0) < np.minimum(least(-_ASIDE), least(_ASIDE))
        clear = self._clear(_SPARSE)
        return float(np.mean(better[clear])) if clear.any() else 0.0

    def share_of_ground(self, likely: Likely) -> float:
        """Share of the places with most contrast where the ground fits best."""
        clear = self._clear(THIN)
        return float(np.mean(likely.number[clear] == 0)) if clear.any() else 0.0

    def _clear(self, thin: int) -> npt.NDArray[np.bool_]:
        """Where there is most contrast of what both pictures show."""
        inside, contrast = self.inside[::thin, ::thin], self.contrast()[::thin, ::thin]
        if not inside.any():
            return inside
        return inside & (contrast >= np.percentile(contrast[inside], 100 * (1 - _CLEAREST)))

    def contrast(self) -> FloatImage:
        """Mean difference of grey values to those around."""
        now = self.gray
        return np.asarray(cv2.blur(cv2.absdiff(now, cv2.blur(now, _WINDOW)), _WINDOW))

    def least_below(self, shift: FloatArray) -> FloatImage:
        """The same for the planes below the ground, of which the best counts."""
        return np.asarray(self._costs(self._below, shift, 1).min(axis=0))

    def _costs(self, maps: FloatImage, shift: FloatArray, thin: int) -> FloatImage:
        now = self.gray[::thin, ::thin]
        window = (_WINDOW[0] // thin | 1, _WINDOW[1] // thin | 1)
        inside = self.inside[::thin, ::thin].astype(np.float32)
        share = np.maximum(cv2.blur(inside, window), np.float32(1e-3))
        return np.stack(
            [
                cv2.blur(
                    cv2.absdiff(self._seen(each[:, ::thin, ::thin], shift), now) * inside, window
                )
                / share
                for each in maps
            ]
        )


def _misfit(seen: FloatImage, now: FloatImage, used: npt.NDArray[np.bool_]) -> float:
    """Median difference of grey values where each place has the height that fits best."""
    costs = np.stack([cv2.blur(cv2.absdiff(each, now), _THIN_WINDOW) for each in seen])
    return float(np.median(costs.min(axis=0)[used])) + NOISE


def _depth(ground: Plane, down: FloatArray) -> FloatArray:
    """Metres along Z of a ground by how much rays go down to it; those above it reach far."""
    return np.asarray(ground.offset / np.maximum(down, 1 / (2 * _RANGE)))
