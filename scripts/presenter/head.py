"""The presenter's face: shape, mouth controls, lids, teeth, tongue, and pose per frame.

Coordinates as in mesh.py (1 dm; x viewer's right, y up, z to the viewer). A mouth
state is 9 numbers in the order of CONTROLS; all 0 is rest.
"""
import numpy as np
from scipy import sparse

CONTROLS = ("open", "wide", "round", "press", "tuck", "upper", "lower", "tongue", "tongue_out")
MOUTH = (6.70, 1.45)  # y, z of the middle of the lips, where the shaped figure is placed
FRAMES = 150
LIDS = 0.08  # how far the lids are closed when the eyes are open

SHAPE = {
    "macrodetails/caucasian-female-young": 0.62,
    "macrodetails/asian-female-young": 0.22,
    "macrodetails/african-female-young": 0.16,
    "macrodetails/universal-female-young-averagemuscle-averageweight": 1.0,
    "head/head-oval": 0.35,
    "head/head-invertedtriangular": 0.30,
    "cheek/l-cheek-volume-incr": 0.35,
    "cheek/r-cheek-volume-incr": 0.35,
    "cheek/l-cheek-bones-incr": 0.25,
    "cheek/r-cheek-bones-incr": 0.22,
    "chin/chin-height-decr": 0.25,
    "chin/chin-width-decr": 0.35,
    "head/head-age-incr": 0.12,
    "eyes/l-eye-scale-incr": 0.5,
    "eyes/r-eye-scale-incr": 0.5,
    "nose/nose-scale-horiz-decr": 0.35,
    "nose/nose-point-up": 0.2,
    "nose/nose-hump-decr": 0.2,
    "neck/neck-scale-horiz-decr": 0.4,
    "mouth/mouth-angles-up": 0.35,
    "mouth/mouth-scale-horiz-decr": 0.12,
    "mouth/mouth-scale-vert-decr": 0.28,
    "mouth/mouth-upperlip-height-decr": 0.25,
    "mouth/mouth-cupidsbow-incr": 0.3,
    "mouth/mouth-dimples-in": 0.2,
    "expression/units/caucasian/mouth-corner-puller": 0.16,
}
BLINKS = {36: (0.4, 0.95, 1.0, 0.62, 0.2), 103: (0.45, 1.0, 0.95, 0.5, 0.15)}  # first frame: lid closure
# from frame: yaw, pitch of the eyes off the camera, degrees
GAZE = ((0, 0.0, 0.0), (22, 0.9, -0.4), (58, -0.7, 0.2), (86, 0.5, 0.5), (118, 0.0, 0.0))


class Face:
    """Shaped base mesh and its linear mouth, lid deformations on base vertices."""

    def __init__(self, base):
        self.base = base
        v = base.verts.copy()
        for name, weight in SHAPE.items():
            v += weight * base.target(name)
        unit = lambda n: base.target("expression/units/caucasian/" + n)
        body = base.faces["body"]
        self.masks = base.masks()
        lips = self.masks[:, 0] * (1 - 0.5 * self.masks[:, 1])
        mouth_open = unit("mouth-open")
        low = mouth_open[:, 1] < -0.12
        up = lips * ~low
        v += np.array([0, *MOUTH]) - [0, *np.average(v, axis=0, weights=np.where(lips > 0.5, 1.0, 0.0))[1:]]
        self.neutral, self.mouth = v, np.array([0, *MOUTH])
        near = np.where(np.abs(v[:, 1] - self.mouth[1]) < 1.2, 1.0, 0.0)
        adjacency = _adjacency(body, len(v))
        w_up = _spread(adjacency, up * near, 5)
        w_low = _spread(adjacency, lips * low * near, 5)
        w_all = np.exp(-(((v[:, 1] - self.mouth[1]) / 0.26) ** 2)) * (v[:, 2] > 0.9)
        x = v[:, 0]
        corner = x * np.exp(-((x / 0.42) ** 2)) / 0.25
        wide = np.stack([0.055 * corner, 0.012 * np.abs(corner), -0.03 * np.abs(corner)], 1) * w_all[:, None]
        vec = lambda w, d: w[:, None] * np.array(d)[None]
        middle = (1 - (x / 0.26) ** 2).clip(0, 1)
        roll_in = unit("mouth-compression")
        self.units = np.stack([
            0.62 * mouth_open,
            wide + 0.12 * unit("mouth-corner-puller"),
            0.68 * unit("mouth-pursing") + vec(w_up + w_low, (0, 0, 0.02)),
            0.55 * roll_in + vec(w_up, (0, -0.012, -0.03)) + vec(w_low, (0, 0.012, -0.035)),
            vec(w_low, (0, 0.055, -0.055)) + vec(w_up, (0, 0.02, 0.01)),
            vec(w_up * middle, (0, 0.046, 0.0)) + 0.2 * unit("mouth-elevation"),
            vec(w_low * middle, (0, -0.06, 0.0)),
        ])
        self.narrow = -wide
        self.round_open = vec(w_up, (0, -0.004, 0.02)) + vec(w_low, (0, -0.015, 0.02))
        v += vec(w_low, (0, 0.011, 0.004)) + vec(w_up, (0, -0.004, 0))  # lips sealed at rest
        self.closure = [unit("eye-left-closure"), unit("eye-right-closure")]
        # the jaw's motion as one affine map, fitted to the lower teeth helper
        t = np.unique(base.faces["helper-lower-teeth"])
        hom = np.c_[v[t], np.ones(len(t))]
        self.jaw = np.linalg.lstsq(hom, 0.62 * mouth_open[t], rcond=None)[0]
        self.tongue = np.unique(base.faces["helper-tongue"])
        self.eyes = [v[np.unique(base.faces[f"helper-{s}-eye"])] for s in "lr"]
        self.eyes = [(p.max(0) + p.min(0)) / 2 for p in self.eyes]
        self.eye_radius = float(np.ptp(v[np.unique(base.faces["helper-l-eye"])][:, 1]) / 2)

    def pose_vertices(self, controls, blink=0.0):
        """All base vertices [19158, 3] for a mouth state [9] and a lid closure 0..1."""
        c = np.asarray(controls, np.float64)
        opened = c[0] * (1 - 0.85 * c[3])
        w = np.array([opened, max(c[1], 0), c[2], c[3], c[4], c[5], c[6]])
        v = self.neutral + np.tensordot(w, self.units, 1)
        v += max(-c[1], 0) * self.narrow + c[2] * min(1, 4 * opened) * self.round_open
        for d in self.closure:
            v += (LIDS + (1 - LIDS) * blink) * d
        return v

    def mobility(self):
        """The largest distance that the mouth controls move each base vertex, in dm [19158]."""
        return np.abs(self.units).max((0, 2)) + np.abs(self.narrow).max(1)

    def tongue_shift(self, points, controls):
        """Displacement [n, 3] of tongue points: with the jaw, the tip up or out on demand."""
        top, front = self.neutral[self.tongue][:, 1:].max(0)
        tip = ((points[:, 2] - (front - 0.42)) / 0.42).clip(0, 1) ** 1.5
        shift = self.jaw_shift(points, controls)
        up = controls[7] * (1 - 0.8 * controls[8])
        drop = shift[:, 1] * tip
        shift[:, 1] += up * (0.02 * tip - 0.78 * drop) + controls[8] * (0.028 * tip - 0.45 * drop)
        shift[:, 2] += tip * (0.06 * up + 0.15 * controls[8] - 0.55 * shift[:, 2] * np.maximum(up, controls[8]))
        return shift

    def jaw_shift(self, points, controls):
        """Displacement [n, 3] of points fixed to the jaw."""
        opened = controls[0] * (1 - 0.85 * controls[3])
        return opened * (np.c_[points, np.ones(len(points))] @ self.jaw)


def _adjacency(quads, n):
    a, b = quads.ravel(), np.roll(quads, -1, 1).ravel()
    m = sparse.csr_matrix((np.ones(2 * len(a)), (np.r_[a, b], np.r_[b, a])), (n, n))
    return sparse.diags(1 / np.asarray(m.sum(1)).ravel().clip(1)) @ m


def _spread(adjacency, w, steps):
    for _ in range(steps):
        w = np.maximum(w, 0.5 * w + 0.5 * (adjacency @ w))
    for _ in range(2):
        w = 0.5 * w + 0.5 * (adjacency @ w)
    return w


def _swing(i, *amplitudes):
    t = 2 * np.pi * i / FRAMES
    return sum(a * np.cos(k * t) for k, a in enumerate(amplitudes, 1))


def _rotation(yaw, pitch, roll):
    y, p, r = np.radians([yaw, pitch, roll])
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rx = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    rz = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return ry @ rx @ rz


def motion(i):
    """Frame i: head and torso as 4x4 matrices, lid closure 0..1, gaze (yaw, pitch) in degrees.

    Uses only cosines of whole periods: the velocity is 0 at both ends, and the loop does not jump.
    """
    pivot = np.array([0, 6.15, 0.35])
    head = np.eye(4)
    head[:3, :3] = _rotation(_swing(i, 1.5, 1.0, -0.5) + 1.5, _swing(i, -0.5, 0.8, 0.4), _swing(i, 0.7, -0.9, 0.3))
    sway = np.array([_swing(i, 0.022, -0.008), _swing(i, 0.004, 0.006), _swing(i, 0.01, 0.0, 0.006)])
    head[:3, 3] = pivot - head[:3, :3] @ pivot + sway
    torso = np.eye(4)
    torso[:3, 3] = np.array([0.45, 0.0, 0.5]) * sway + np.array([0, _swing(i, 0.0, 0.012), _swing(i, 0.0, 0.006)])
    blink = max((b[i - s] for s, b in BLINKS.items() if s <= i < s + len(b)), default=0.0)
    gaze = next(g[1:] for g in reversed(GAZE) if i >= g[0])
    return head, torso, blink, gaze


def head_weight(rest):
    """How far a vertex at rest position [n, 3] follows the head: 0 torso .. 1 head."""
    s = (rest[:, 1] + 0.45 * np.maximum(rest[:, 2] - 0.55, 0) - 5.85) / 0.70
    s = s.clip(0, 1)
    return s * s * (3 - 2 * s)


# upper and lower teeth from the middle outwards: width, crown height, thickness in dm
UPPER = ((0.084, 0.100, 0.062), (0.066, 0.086, 0.056), (0.074, 0.096, 0.066), (0.068, 0.080, 0.075),
         (0.066, 0.072, 0.080), (0.098, 0.066, 0.095), (0.095, 0.060, 0.095))
LOWER = ((0.052, 0.082, 0.052), (0.057, 0.080, 0.052), (0.066, 0.090, 0.060), (0.068, 0.078, 0.070),
         (0.070, 0.072, 0.075), (0.100, 0.066, 0.095), (0.098, 0.060, 0.095))


def teeth(front_z, half_width, edge_y, table, sign):
    """Teeth along an arch, and the gum behind them: positions, triangles, gum flag per vertex.

    `sign` +1 for upper teeth (roots up) with cutting edges at edge_y, -1 for lower ones.
    """
    s = np.linspace(0, 1.35, 400)
    arch = np.stack([half_width * np.sin(s), front_z - (1 - np.cos(s)) * half_width * 1.25], 1)
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(arch, axis=0), axis=1))]
    pos, tris, gum, count = [], [], [], 0
    nu, nv = 17, 13
    u, w = np.meshgrid(np.linspace(-np.pi, np.pi, nu), np.linspace(-np.pi / 2, np.pi / 2, nv))
    grid = np.arange(nu * nv).reshape(nv, nu)
    q = np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]], -1).reshape(-1, 4)
    quad_tris = np.concatenate([q[:, [0, 1, 2]], q[:, [0, 2, 3]]])
    power = lambda a, e: np.sign(a) * np.abs(a) ** e
    start = 0.0
    for width, height, depth in table:
        at = start + width / 2
        start += width * 0.99
        cx, cz = np.interp(at, length, arch[:, 0]), np.interp(at, length, arch[:, 1])
        ang = np.interp(at, length, s)
        tangent, out = np.array([np.cos(ang), -np.sin(ang)]), np.array([np.sin(ang), np.cos(ang)])
        vy = power(np.sin(w), 0.55)  # -1 at the cutting edge .. +1 at the gum
        taper = 1 - 0.22 * np.clip((vy + 0.1) / 1.1, 0, 1) ** 1.5
        lx = width / 2 * 1.04 * power(np.cos(u), 0.62) * power(np.cos(w), 0.35) * taper
        lz = depth / 2 * power(np.sin(u), 0.8) * power(np.cos(w), 0.5) * (0.55 + 0.45 * np.clip(vy + 0.9, 0, 1))
        ly = edge_y + sign * (vy + 1) * height * 0.62
        for side in (1, -1):
            x = side * (cx + lx * tangent[0] + lz * out[0])
            z = cz + lx * tangent[1] + (lz - depth / 2) * out[1]
            pos.append(np.stack([x, ly, z], -1).reshape(-1, 3))
            t = quad_tris if side * sign > 0 else quad_tris[:, ::-1]
            tris.append(t + count)
            gum.append(np.zeros(nu * nv))
            count += nu * nv
    # gum: a bulging band along the arch, scalloped between the teeth
    a = np.linspace(-1.3, 1.3, 161)
    b = np.linspace(-np.pi, np.pi, 15)
    aa, bb = np.meshgrid(a, b)
    gx = half_width * 0.985 * np.sin(aa) + 0.045 * np.cos(bb) * np.sin(aa)
    gz = front_z - 0.045 - (1 - np.cos(aa)) * half_width * 1.25 + 0.045 * np.cos(bb) * np.cos(aa)
    rel = np.interp(np.abs(aa), s, length)
    cuts = np.cumsum([t[0] * 0.99 for t in table])
    dist = np.min(np.abs(rel[..., None] - np.r_[0, cuts]), -1)
    gy = edge_y + sign * (0.155 + 0.075 * np.sin(bb) + np.where(np.sin(bb) < 0, 1, 0) * np.clip(dist, 0, 0.04) * 0.5)
    grid = np.arange(aa.size).reshape(aa.shape)
    q = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], -1).reshape(-1, 4)
    t = np.concatenate([q[:, [0, 1, 2]], q[:, [0, 2, 3]]])
    pos.append(np.stack([gx, gy, gz], -1).reshape(-1, 3))
    tris.append((t if sign > 0 else t[:, ::-1]) + count)
    gum.append(np.ones(aa.size))
    return np.concatenate(pos), np.concatenate(tris).astype(np.int32), np.concatenate(gum)


def eyeball(radius, rings=40, sectors=64):
    """A sphere with a cornea bulge around +z: positions [n, 3], triangles."""
    th = np.pi * (np.linspace(0, 1, rings) ** 1.4)[:, None]
    ph = np.linspace(0, 2 * np.pi, sectors)[None]
    bulge = 1 + 0.05 * np.exp(-(th / 0.36) ** 4)
    p = radius * bulge[..., None] * np.stack(np.broadcast_arrays(
        np.sin(th) * np.cos(ph), np.sin(th) * np.sin(ph), np.cos(th) + 0 * ph), -1)
    grid = np.arange(rings * sectors).reshape(rings, sectors)
    q = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], -1).reshape(-1, 4)
    return p.reshape(-1, 3), np.concatenate([q[:, [0, 1, 2]], q[:, [0, 2, 3]]]).astype(np.int32)


def gaze_rotation(towards, gaze):
    """3x3 rotation of an eyeball looking along `towards` [3], off it by gaze = (yaw, pitch) in degrees."""
    x, y, z = towards
    return _rotation(gaze[0] + np.degrees(np.arctan2(x, z)), gaze[1] - np.degrees(np.arctan2(y, np.hypot(x, z))), 0)
