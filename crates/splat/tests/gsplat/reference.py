"""Makes reference.npz: pictures and gradients of a small scene by gsplat's own PyTorch code, on the CPU in float64.

    pip install torch numpy && pip download gsplat==1.5.3 --no-deps && unzip gsplat-*.whl -d gsplat-1.5.3
    python reference.py gsplat-1.5.3/gsplat

Projection, compensation, ray transforms and harmonics are gsplat's (`cuda/_torch_impl.py`, `cuda/_torch_impl_2dgs.py`, which
need no CUDA). Their compositing needs a CUDA kernel for its list of pixels, so that it stands here, by the formulas of
`accumulate` and `accumulate_2dgs` and the rules of the CUDA kernels: pixel centres at +0.5, front to back by the depth of the
centre, alphas below 1/255 left out. PyTorch differentiates.

What the scene avoids, because conventions differ or a rounding decides: alphas beyond 0.98 (limits are 0.99 and 0.999),
transmittances near 1e-4, alphas within 2e-4 (relative) of 1/255, centres of equal depth, rays that meet a surfel at an edge between its two
weights, and surfels so small that the weight in the picture counts (gsplat puts its centre in the middle of a box, the paper in
the projected mean). gsplat multiplies the normal of a surfel by the third scale, which is 1 here.
"""

import sys
import types
import numpy as np
import torch

SOURCE = sys.argv[1]
for name, path in [("gsplat", SOURCE), ("gsplat.cuda", SOURCE + "/cuda")]:
    package = types.ModuleType(name)
    package.__path__ = [path]
    sys.modules[name] = package

from gsplat.cuda._torch_impl import (  # noqa: E402
    _fully_fused_projection,
    _quat_scale_to_covar_preci,
    _spherical_harmonics,
)
from gsplat.cuda._torch_impl_2dgs import _fully_fused_projection_2dgs  # noqa: E402

torch.set_default_dtype(torch.float64)
WIDTH, HEIGHT, N = 48, 32, 30
LEAST = 1 / 255
PARAMETERS = ["means", "log_scales", "rotations", "opacity_logits", "sh"]


def scene(seed, surfels):
    """Parameters, each exact in 32 bits."""
    draw = np.random.default_rng(seed)
    out = {
        "means": draw.uniform(-1, 1, (N, 3)) * [1.5, 1.0, 1.0],
        "log_scales": draw.uniform(-2.8, -1.2, (N, 3)),
        "rotations": draw.normal(size=(N, 4)),
        "opacity_logits": draw.uniform(-2.0, 1.5, N),
        "sh": draw.normal(size=(N, 16, 3)) * np.array([0.5] + 15 * [0.12])[None, :, None],
    }
    if surfels:
        # Facing the camera by and large, and larger than a pixel.
        out["log_scales"] = np.concatenate([draw.uniform(-1.6, -0.8, (N, 2)), np.zeros((N, 1))], 1)
        out["rotations"] = draw.normal(size=(N, 4)) * 0.35 + [1, 0, 0, 0]
    else:
        # One beyond the limit of the Jacobian, one before the near plane.
        out["means"][0] = [3.6, 0.4, -0.3]
        out["log_scales"][0] = [-0.2, -0.5, -0.4]
        out["means"][1] = [0.1, 0.2, -4.5]
    return {k: torch.tensor(v.astype(np.float32).astype(np.float64)) for k, v in out.items()}


def camera(parallel):
    turn = np.linalg.qr(np.array([[1.0, 0.1, -0.2], [-0.15, 1.0, 0.1], [0.25, -0.05, 1.0]]))[0]
    turn *= np.sign(np.diag(turn))[None]
    view = np.eye(4)
    view[:3, :3], view[:3, 3] = turn, [0.05, -0.1, 3.2]
    fx, fy = (14.0, 15.0) if parallel else (44.0, 47.0)
    intrinsics = np.array([fx, fy, 27.5, 13.25])
    return [torch.tensor(x.astype(np.float32).astype(np.float64)) for x in (view, intrinsics)]


def moved(view, pose):
    """The first order of exp(pose) · view: rotation, then translation, of the camera's own axes."""
    x, y, z = pose[:3]
    o = torch.zeros(())
    spin = torch.stack([o, -z, y, z, o, -x, -y, x, o]).reshape(3, 3)
    top = view[:3] + spin @ view[:3] + torch.cat([torch.zeros(3, 3), pose[3:, None]], 1)
    return torch.cat([top, view[3:]])


def composited(alphas, shades, order):
    """Pictures [H, W, C] and transmittances of alphas [N, H, W] and shades [N, H, W, C], front to back."""
    left = torch.ones(HEIGHT, WIDTH)
    picture = torch.zeros(HEIGHT, WIDTH, shades.shape[-1])
    for i in order:
        picture = picture + (left * alphas[i])[..., None] * shades[i]
        left = left * (1 - alphas[i])
    return picture, left


def render(kind, values, view, intrinsics):
    """Red, green, blue, Σ w z, transmittance [H, W, 5], normals of surfels beside them, and the margin of the cuts."""
    scales, opacities = values["log_scales"].exp(), values["opacity_logits"].sigmoid()
    fx, fy, cx, cy = intrinsics
    o, one = torch.zeros(()), torch.ones(())
    k = torch.stack([fx, o, cx, o, fy, cy, o, o, one]).reshape(1, 3, 3)
    # The inverse of a rigid motion, written out: its derivative is that of poses.
    eye = -view[:3, :3].T @ view[:3, 3]
    degree = 0 if kind == "orthographic" else 3
    colours = torch.clamp_min(_spherical_harmonics(degree, values["means"] - eye, values["sh"]) + 0.5, 0)
    x = torch.arange(WIDTH) + 0.5
    y = torch.arange(HEIGHT)[:, None] + 0.5
    if kind == "surfel":
        _, _, depths, m, normals = _fully_fused_projection_2dgs(
            values["means"], values["rotations"], scales, view[None], k, WIDTH, HEIGHT
        )
        depths, m, normals = depths[0], m[0], normals[0]
        row = lambda i: m[:, i, None, None, :]
        cross = torch.cross(x[None, None, :, None] * row(2) - row(0), y[None, :, :, None] * row(2) - row(1), dim=-1)
        u, v = cross[..., 0] / cross[..., 2], cross[..., 1] / cross[..., 2]
        sigma = 0.5 * (u * u + v * v)
        means = (k[0] @ (view[:3, :3] @ values["means"].T + view[:3, 3:])).T
        dx, dy = x - (means[:, 0] / means[:, 2])[:, None, None], y - (means[:, 1] / means[:, 2])[:, None, None]
        flat = dx * dx + dy * dy
        z = u * row(2)[..., 0] + v * row(2)[..., 1] + row(2)[..., 2]
        alphas = opacities[:, None, None] * torch.exp(-sigma)
        # Where the weight in the picture would be the larger one that counts, the scene is not what it should be.
        wrong = ((sigma > flat) & (opacities[:, None, None] * torch.exp(-flat) > 0.9 * LEAST)).any() | (z[alphas > LEAST] < 0.1).any()
        extra = [normals[:, None, None, :].expand(N, HEIGHT, WIDTH, 3)]
    else:
        covariances, _ = _quat_scale_to_covar_preci(values["rotations"], scales, True, False)
        _, means, depths, conics, share = _fully_fused_projection(
            values["means"], covariances, view[None], k, WIDTH, HEIGHT, 0.1 if kind == "mip" else 0.3,
            calc_compensations=kind == "mip", camera_model="ortho" if kind == "orthographic" else "pinhole",
        )
        means, depths, conics = means[0], depths[0], conics[0]
        if share is not None:
            opacities = opacities * share[0]
        dx, dy = means[:, 0, None, None] - x, means[:, 1, None, None] - y
        a, b, c = (conics[:, i, None, None] for i in range(3))
        alphas = opacities[:, None, None] * torch.exp(-0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy)
        z = depths[:, None, None].expand(N, HEIGHT, WIDTH)
        wrong, extra = torch.tensor(False), []
    seen = (depths > 0.01)[:, None, None]
    margin = ((alphas / LEAST - 1).abs() + (~seen) * 1.0).min()
    alphas = torch.where(seen & (alphas >= LEAST), alphas, torch.zeros(()))
    order = depths.detach().argsort().tolist()
    gap = torch.diff(depths.detach().sort()[0]).min()
    shades = torch.cat([colours[:, None, None, :].expand(N, HEIGHT, WIDTH, 3), z[..., None]] + extra, -1)
    picture, left = composited(alphas, shades, order)
    good = margin > 2e-4 and gap > 1e-4 and alphas.max() < 0.98 and left.min() > 1e-3 and not wrong
    return picture, left, bool(good)


def functional(picture, left):
    """A fixed linear functional of colours, expected depth, alpha, and normals where there are any."""
    alpha = 1 - left
    expected = torch.where(alpha > 0, picture[..., 3] / alpha.clamp_min(1e-10), torch.zeros(()))
    all = torch.cat([picture[..., :3], expected[..., None], alpha[..., None], picture[..., 4:]], -1)
    weights = torch.cos(12.9898 * (torch.arange(all.numel()) + 1.0)).reshape(all.shape)
    return (weights * all).sum(), expected


def main():
    found = {}
    for kind in ["classic", "mip", "orthographic", "surfel"]:
        for seed in range(1000):
            values = scene(seed, kind == "surfel")
            view, intrinsics = camera(kind == "orthographic")
            with torch.no_grad():
                if render(kind, values, view, intrinsics)[2]:
                    break
        else:
            sys.exit(f"no scene for {kind}")
        for x in values.values():
            x.requires_grad_()
        intrinsics.requires_grad_()
        pose = torch.zeros(6, requires_grad=True)
        picture, left, _ = render(kind, values, moved(view, pose), intrinsics)
        loss, expected = functional(picture, left)
        loss.backward()
        covered = (left < 0.5).double().mean().item()
        print(f"{kind}: seed {seed}, loss {loss.item():.6f}, {covered:.0%} of pixels more than half covered")
        of = {**values, "intrinsics": intrinsics, "pose": pose}
        pixels = torch.cat([picture[..., :3], expected[..., None], 1 - left[..., None], picture[..., 4:]], -1)
        found.update({f"{kind}/{k}": x.detach() for k, x in values.items()})
        found.update({f"{kind}/gradient/{k}": x.grad for k, x in of.items()})
        found.update({f"{kind}/picture": pixels.detach(), f"{kind}/loss": loss.detach().reshape(1)})
        found.update({f"{kind}/viewmat": view, f"{kind}/intrinsics": intrinsics.detach()})
    np.savez_compressed("reference.npz", **{k: v.numpy().astype(np.float32) for k, v in found.items()})


main()
