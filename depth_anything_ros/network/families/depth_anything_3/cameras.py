"""Cameras of Depth Anything 3's any-view networks: poses and intrinsics to tokens and back.

A camera is encoded as nine numbers: the translation and rotation (quaternion x y z w) from the
camera to the world, and the vertical and horizontal field of view in radians (official
model/utils/transform.py, cam_enc.py, cam_dec.py).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from depth_anything_ros.network.families.depth_anything.vit import Block, LayerScale, Mlp
from depth_anything_ros.network.families.depth_anything_3.encoder import NORM_EPS

_NUMBERS = 9
_TRUNK_BLOCKS = 4
_TRUNK_HEADS = 16
_SMALLEST_UNIT = 0.1
_NARROWEST = 1e-6  # tangent of half a field of view at least


class CameraEncoder(nn.Module):
    """Known cameras to the tokens that stand for them.

    Args:
        width: Channels of a token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pose_branch = Mlp(width)
        self.pose_branch.fc1 = nn.Linear(_NUMBERS, width // 2)
        self.pose_branch.fc2 = nn.Linear(width // 2, width)
        self.token_norm = nn.LayerNorm(width)
        self.trunk = nn.Sequential(*(_trunk_block(width) for _ in range(_TRUNK_BLOCKS)))
        self.trunk_norm = nn.LayerNorm(width)

    def forward(self, extrinsics: Tensor, intrinsics: Tensor, size: tuple[int, int]) -> Tensor:
        """Encode cameras.

        Args:
            extrinsics: B x S x 4 x 4, world to camera.
            intrinsics: B x S x 3 x 3 in pixels of the network's input.
            size: (height, width) of the network's input.

        Returns:
            B x S x C.
        """
        numbers = encode_cameras(inverted(extrinsics), intrinsics, size)
        numbers = numbers.to(self.token_norm.weight.dtype)
        return self.trunk_norm(self.trunk(self.token_norm(self.pose_branch(numbers))))


def _trunk_block(width: int) -> Block:
    block = Block(width, _TRUNK_HEADS, swiglu=False, scale=0.01)
    block.norm1.eps = block.norm2.eps = NORM_EPS
    assert isinstance(block.ls1, LayerScale)
    return block


class CameraDecoder(nn.Module):
    """Camera tokens to the nine numbers of a camera.

    Args:
        width: Channels of a token as the encoder gives it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.fc_t = nn.Linear(width, 3)
        self.fc_qvec = nn.Linear(width, 4)
        self.fc_fov = nn.Sequential(nn.Linear(width, 2), nn.ReLU())

    def forward(self, tokens: Tensor) -> Tensor:
        """B x S x C to B x S x 9."""
        x = self.backbone(tokens)
        return torch.cat([self.fc_t(x), self.fc_qvec(x), self.fc_fov(x)], -1).float()


def relative_cameras(extrinsics: Tensor) -> Tensor:
    """Cameras as the networks know them: relative to the first, in units of their distance.

    The unit is the median distance from the first camera, of which that one's own is part, and at
    least 0.1 (official api.py, _normalize_extrinsics).

    Args:
        extrinsics: B x S x 4 x 4, world to camera.

    Returns:
        The same from the first camera to each.
    """
    relative = extrinsics @ inverted(extrinsics[:, :1])
    distances = inverted(relative)[..., :3, 3].norm(dim=-1)
    unit = distances.median().clamp(_SMALLEST_UNIT)
    return torch.cat(
        [
            torch.cat([relative[..., :3, :3], relative[..., :3, 3:] / unit], -1),
            relative[..., 3:, :],
        ],
        -2,
    )


def encode_cameras(camera_to_world: Tensor, intrinsics: Tensor, size: tuple[int, int]) -> Tensor:
    """The nine numbers of cameras.

    Args:
        camera_to_world: B x S x 4 x 4.
        intrinsics: B x S x 3 x 3 in pixels of an image.
        size: (height, width) of that image.

    Returns:
        B x S x 9 float32.
    """
    height, width = size
    vertical = 2 * torch.atan(height / 2 / intrinsics[..., 1, 1])
    horizontal = 2 * torch.atan(width / 2 / intrinsics[..., 0, 0])
    turn = _quaternion(camera_to_world[..., :3, :3])
    fields = torch.stack([vertical, horizontal], -1)
    return torch.cat([camera_to_world[..., :3, 3], turn, fields], -1).float()


def decode_cameras(numbers: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Cameras from their nine numbers.

    Args:
        numbers: B x S x 9.
        size: (height, width) of the image.

    Returns:
        Extrinsics B x S x 3 x 4, world to camera, and intrinsics B x S x 3 x 3 in pixels of the
        image, its middle as the principal point.
    """
    height, width = size
    pose = torch.cat([_matrix(numbers[..., 3:7]), numbers[..., :3, None]], -1)
    intrinsics = torch.zeros(*numbers.shape[:-1], 3, 3, device=numbers.device)
    intrinsics[..., 0, 0] = width / 2 / (numbers[..., 8] / 2).tan().clamp(_NARROWEST)
    intrinsics[..., 1, 1] = height / 2 / (numbers[..., 7] / 2).tan().clamp(_NARROWEST)
    intrinsics[..., 0, 2], intrinsics[..., 1, 2] = width / 2, height / 2
    intrinsics[..., 2, 2] = 1
    return inverted(pose), intrinsics


def inverted(pose: Tensor) -> Tensor:
    """The inverse of rigid transforms, ... x 4 x 4 or ... x 3 x 4 to the same.

    Args:
        pose: The transforms; the rotation's transpose is taken for its inverse.
    """
    back = pose[..., :3, :3].mT
    moved = torch.cat([back, -back @ pose[..., :3, 3:]], -1)
    return torch.cat([moved, pose[..., 3:, :]], -2)


def _matrix(turn: Tensor) -> Tensor:
    """Quaternions x y z w of any length, ... x 4, to rotations, ... x 3 x 3."""
    x, y, z, w = turn.unbind(-1)
    s = 2 / turn.square().sum(-1)
    rows = (
        (1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)),
        (s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)),
        (s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _quaternion(rotation: Tensor) -> Tensor:
    """Rotations, ... x 3 x 3, to unit quaternions x y z w with w >= 0.

    Of the four ways to divide, the one by the largest component is taken (Shepperd 1978).
    """
    m = rotation
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    squares = torch.stack(
        [1 + 2 * m[..., axis, axis] - trace for axis in range(3)] + [1 + trace], -1
    )
    yz, zx, xy = (m[..., b, a] - m[..., a, b] for a, b in ((1, 2), (2, 0), (0, 1)))
    xy_sum, xz_sum, yz_sum = (m[..., a, b] + m[..., b, a] for a, b in ((0, 1), (0, 2), (1, 2)))
    candidates = torch.stack(
        [
            torch.stack([squares[..., 0], xy_sum, xz_sum, yz], -1),
            torch.stack([xy_sum, squares[..., 1], yz_sum, zx], -1),
            torch.stack([xz_sum, yz_sum, squares[..., 2], xy], -1),
            torch.stack([yz, zx, xy, squares[..., 3]], -1),
        ],
        -2,
    )
    largest = squares.argmax(-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    turn = torch.gather(candidates, -2, largest)[..., 0, :]
    turn = turn / turn.norm(dim=-1, keepdim=True)
    return torch.where(turn[..., 3:] < 0, -turn, turn)
