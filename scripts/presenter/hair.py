"""Strands: hair, brows, lashes. Points in dm in the head's rest frame (see mesh.py)."""
import numpy as np
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import cKDTree

CENTRE = np.array([0.0, 7.42, 0.30])
PARTING = 0.17  # x of the parting
_AZIMUTH = np.radians([0, 25, 45, 60, 72, 82, 95, 115, 140, 180])
_HAIRLINE = np.array([7.98, 7.97, 7.90, 7.70, 7.48, 7.28, 7.26, 6.95, 6.72, 6.62])


def _smooth(a, b, x):
    t = ((x - a) / (b - a)).clip(0, 1)
    return t * t * (3 - 2 * t)


def scalp(points, softness=0.07):
    """How much hair grows at rest points [n, 3]: 0..1."""
    az = np.arctan2(np.abs(points[:, 0]), points[:, 2] - 0.30)
    wave = 0.012 * np.sin(points[:, 0] * 37) + 0.010 * np.sin(points[:, 0] * 71 + 1)
    line = np.interp(az, _AZIMUTH, _HAIRLINE) + wave
    return _smooth(-softness, softness, points[:, 1] - line)


class _Skull:
    """Radius of the head without ears, as a smooth function of direction from CENTRE."""

    def __init__(self, points, ears):
        p = points[(ears < 0.05) & (points[:, 1] > 6.75)] - CENTRE
        r = np.linalg.norm(p, axis=1)
        self.tree, self.r = cKDTree(p / r[:, None]), r

    def radius(self, directions):
        d, i = self.tree.query(directions, k=48)
        w = np.exp(-((d / 0.10) ** 2)) + 1e-9
        return (w * self.r[i]).sum(-1) / w.sum(-1)


def _spline(knots, k):
    """Uniform B-spline-like curves through [s, m, 3] end points: [s, k, 3]."""
    s, m, _ = knots.shape
    p = np.concatenate([2 * knots[:, :1] - knots[:, 1:2], knots, 2 * knots[:, -1:] - knots[:, -2:-1]], 1)
    t = np.linspace(0, m - 1 - 1e-6, k)
    i, f = t.astype(int), (t % 1)[None, :, None]
    a, b, c, d = (p[:, i + j] for j in range(4))
    cat = 0.5 * (2 * b + (c - a) * f + (2 * a - 5 * b + 4 * c - d) * f ** 2 + (3 * b - a - 3 * c + d) * f ** 3)
    return cat


def grow(pos, tris, ears, rng, count=9500, steps=24):
    """Hair parted at the side, swept over the ears, falling behind the shoulders.

    pos [n, 3] and tris of the skin at rest, ears [n] mask. Returns points
    [s, steps, 3], widths [s, steps], rnd [s].
    """
    skull = _Skull(pos, ears)
    grown = scalp(pos) * (ears < 0.3)
    a, b, c = (pos[tris[:, j]] for j in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) * grown[tris].mean(1)
    front = a[:, 2] > -0.3
    area *= np.where(front, 1.5, 0.8)
    n = count
    t = rng.choice(len(tris), n, p=area / area.sum())
    u, v = rng.random((2, n, 1))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    root = a[t] + u * (b - a)[t] + v * (c - a)[t]
    density = scalp(root)
    # the strands of a clump share a random layer and path
    seeds = root[rng.choice(n, 420, replace=False)]
    clump = cKDTree(seeds).query(root)[1]
    own = rng.normal(size=(n, 4))
    shared = rng.normal(size=(len(seeds), 4))[clump]
    jit = 0.72 * shared + 0.42 * own
    side = np.where(root[:, 0] > PARTING + 0.012 * own[:, 3], 1.0, -1.0)
    az = np.degrees(np.arctan2(np.abs(root[:, 0]), root[:, 2] - 0.30))
    back = _smooth(95, 150, az)
    top = _smooth(7.9, 8.3, root[:, 1])
    gate = np.stack([side * (0.80 + 0.03 * jit[:, 0]),
                     7.22 + 0.11 * jit[:, 1] - 0.10 * back,
                     0.30 - 0.42 * _smooth(40, 110, az) + 0.06 * jit[:, 2] + 0.10 * top], 1)
    gate_back = np.stack([root[:, 0] * 0.9 + 0.05 * jit[:, 0], 7.0 + 0.05 * jit[:, 1], np.full(n, -0.78)], 1)
    gate = gate * (1 - back[:, None]) + gate_back * back[:, None]
    low = np.stack([side * (0.70 + 0.05 * jit[:, 0]),
                    6.55 + 0.05 * jit[:, 1], -0.02 - 0.12 * back + 0.07 * jit[:, 2]], 1)
    low_back = np.stack([root[:, 0] * 0.95 + 0.05 * jit[:, 0], np.full(n, 6.4), np.full(n, -0.62)], 1)
    low = low * (1 - back[:, None]) + low_back * back[:, None]
    end = low + np.stack([np.where(back < 0.5, side * 0.10, 0) + 0.05 * jit[:, 2],
                          -1.05 + 0.10 * jit[:, 3], -0.10 + 0.07 * jit[:, 1]], 1)
    # over the skull: leave the parting upwards, then towards the gate
    d0, d1 = root - CENTRE, gate - CENTRE
    d0 /= np.linalg.norm(d0, axis=1, keepdims=True)
    d1 /= np.linalg.norm(d1, axis=1, keepdims=True)
    mids = []
    for f in (0.30, 0.62):
        d = (1 - f) * d0 + f * d1
        d[:, 0] += side * 0.10 * (1 - back) * (1 - f)
        d[:, 2] += 0.13 * (1 - back) * (root[:, 2] > 0.5) * (1 - f)
        d /= np.linalg.norm(d, axis=1, keepdims=True)
        mids.append(CENTRE + d * (skull.radius(d) + 0.05)[:, None])
    points = _spline(np.stack([root, *mids, gate, low, end], 1), steps)
    along = np.linspace(0, 1, steps)
    # waves, shared by a clump
    phase = (7 * shared[:, :1] + along * 17 + 0.7 * own[:, :1])
    grow_in = _smooth(0.35, 0.9, along)
    points[..., 0] += 0.03 * grow_in * np.sin(phase)
    points[..., 2] += 0.03 * grow_in * np.cos(phase)
    # outside the skull, each in its own layer
    d = points - CENTRE
    r = np.linalg.norm(d, axis=2)
    d /= r[..., None]
    depth = 0.5 + 0.5 * np.tanh(0.5 * own[:, 3:4] + 0.25 * shared[:, 3:4])
    layer = 0.028 + 0.075 * depth * (0.45 + 0.55 * _smooth(7.3, 8.1, root[:, 1:2]))
    lift = layer * _smooth(-0.02, 0.20, along)[None]
    least = skull.radius(d.reshape(-1, 3)).reshape(r.shape) + lift
    hold = _smooth(6.7, 7.0, points[..., 1])
    r = np.where(r < least, r + (least - r) * hold, r)
    points = CENTRE + d * r[..., None]
    points[:, 0] = root
    loose = rng.random(n) < 0.025
    points[loose] += (own[loose, None, :3] * 0.05 * (along ** 1.2)[None, :, None])
    width = 0.0125 * (0.5 + 0.5 * density)[:, None] * (0.75 + 0.5 * rng.random((n, 1))) * np.ones(steps)
    width *= np.interp(along, [0, 0.12, 0.8, 1], [0.55, 1, 0.9, 0.35])
    rnd = (0.5 + 0.17 * shared[:, 2] + 0.13 * own[:, 2]).clip(0, 1)
    order = np.argsort(0.5 * points[:, steps // 3:, 2].mean(1) + 4 * layer[:, 0], kind="stable")  # inner ones first
    return points[order], width[order], rnd[order]


def baby_hairs(points, rng, count=700, steps=7):
    """Short fine strands that soften the hairline, next to the given hair."""
    root = points[:, 0]
    edge = np.abs(scalp(root) - 0.35) < 0.35
    pick = rng.choice(np.flatnonzero(edge & (root[:, 2] > 0.95)), count)
    src = points[pick, :5]
    f = np.linspace(0, 1, steps)[None, :, None]
    t = np.linspace(0, 1.8, steps)
    i = t.astype(int)
    p = src[:, i] + (src[:, i + 1] - src[:, i]) * (t % 1)[None, :, None]
    shift = rng.normal(size=(count, 1, 3)) * 0.022
    p = p + shift + rng.normal(size=(count, 1, 3)) * 0.03 * f
    width = np.full((count, steps), 0.0038) * np.linspace(1, 0.4, steps)
    return p, width, rng.random(count)


def brows(pos, normals, eye, rng, count=420, steps=6):
    """Both brows over the rest skin: points [s, steps, 3], widths, rnd. eye: left eye's centre."""
    front = (normals[:, 2] > 0.1) & (np.abs(pos[:, 1] - eye[1]) < 0.6) & (np.abs(pos[:, 0]) < 0.9) & (pos[:, 2] > 0.6)
    surface = LinearNDInterpolator(pos[front][:, :2], pos[front][:, 2])
    out = []
    for sign in (1, -1):
        s = rng.random(count) ** 0.9
        x = 0.115 + 0.425 * s
        mid = eye[1] + np.interp(s, [0, 0.3, 0.65, 0.85, 1], [0.165, 0.192, 0.220, 0.204, 0.165]) + 0.006 * sign
        half = np.interp(s, [0, 0.12, 0.5, 1], [0.018, 0.030, 0.024, 0.006])
        across = rng.uniform(-1, 1, count)
        angle = np.radians(np.interp(s, [0, 0.15, 0.5, 0.8, 1], [72, 48, 18, -10, -24]) - 16 * across
                           + 7 * rng.normal(size=count))
        length = np.interp(s, [0, 0.2, 0.7, 1], [0.050, 0.075, 0.072, 0.050]) * rng.uniform(0.7, 1.1, count)
        t = np.linspace(0, 1, steps)
        bend = angle[:, None] - 0.5 * t * np.where(s > 0.2, 1, 0.4)[:, None]
        px = x[:, None] + length[:, None] * t * np.cos(bend)
        py = (mid + half * across)[:, None] + length[:, None] * t * np.sin(bend)
        pz = surface(sign * px, py) + 0.004 + 0.012 * np.sin(np.pi * 0.6 * t)
        out.append(np.stack([sign * px, py, pz], -1))
    p = np.concatenate(out)
    width = 0.0065 * np.interp(np.linspace(0, 1, steps), [0, 0.3, 1], [0.7, 1, 0.25]) * np.ones((len(p), 1))
    return p, width, rng.random(len(p))


class Lashes:
    """Lashes of one lid row, bound to MakeHuman's lash helper so that they follow the lid."""

    def __init__(self, vertices, neutral, eye, rng, upper):
        self.vertices = vertices
        p = neutral[vertices]
        dist = np.linalg.norm(p - eye, axis=1)
        inner = dist < np.quantile(dist, 0.40)
        outer = dist > np.quantile(dist, 0.70)
        x = p[:, 0] - eye[0]
        lo, hi = x[inner].min(), x[inner].max()
        count = 95 if upper else 44
        at = np.linspace(lo + 0.02 * (hi - lo), hi, count) + rng.normal(size=count) * 0.003
        self.root = self._fit(x, inner, at)
        self.tip = self._fit(x, outer, (at - lo) / (hi - lo) * np.ptp(x[outer]) + x[outer].min())
        self.length = (0.52 if upper else 0.30) * rng.uniform(0.75, 1.12, count)
        self.drift = rng.normal(size=(count, 3)) * (0.006, 0.003, 0.003)
        self.curl = 0.030 if upper else -0.004
        self.rnd = rng.random(count)
        self.thick = 0.0078 if upper else 0.0045

    @staticmethod
    def _fit(x, chosen, at):
        powers = lambda v: np.stack([v ** k for k in range(5)], 1)
        m = np.zeros((len(at), len(x)))
        m[:, chosen] = powers(at * 4) @ np.linalg.pinv(powers(x[chosen] * 4))
        return m

    def strands(self, base_vertices, steps=6):
        """Points [s, steps, 3], widths [s, steps], rnd [s] for posed base vertices."""
        v = base_vertices[self.vertices]
        root, tip = self.root @ v, self.tip @ v + self.drift
        t = np.linspace(0, 1, steps)[None, :, None]
        p = root[:, None] + (tip - root)[:, None] * self.length[:, None, None] * t
        p[..., 1] += self.curl * (t[..., 0] ** 2 - 0.35 * t[..., 0])
        p[..., 2] += 0.004
        width = self.thick * np.linspace(1, 0.2, steps) * np.ones((len(p), 1))
        return p, width, self.rnd
