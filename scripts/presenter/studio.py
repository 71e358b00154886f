"""The set behind the presenter: a defocused room, painted once, and the shape of the clothes."""
import cv2
import numpy as np


def _disc(radius):
    r = int(np.ceil(radius))
    y, x = np.mgrid[-r:r + 1, -r:r + 1]
    k = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return k / k.sum()


def paint(width, height, seed=5):
    """The set as [height, width, 3] float32, linear RGB."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    u, v = x / width, y / height
    col = lambda *c: np.array(c, np.float32)
    glow = lambda cx, cy, rx, ry: np.exp(-(((u - cx) / rx) ** 2 + ((v - cy) / ry) ** 2))[..., None]
    # wall, teal grey, with a warm wash of light from the lamp and a cool one from a window
    im = np.ones((height, width, 3), np.float32) * col(0.052, 0.068, 0.075)
    im *= (1.15 - 0.55 * np.abs(u - 0.45) - 0.25 * v)[..., None]
    im += glow(0.84, 0.30, 0.26, 0.42) * col(0.20, 0.105, 0.042)
    im += glow(0.05, 0.35, 0.22, 0.55) * col(0.07, 0.10, 0.13)

    def rect(x0, y0, x1, y1, c):
        im[int(y0):int(y1), int(x0):int(x1)] = c

    def shade(x0, y0, x1, y1, f):
        im[int(y0):int(y1), int(x0):int(x1)] *= f

    # window with slats on the left
    for k in range(9):
        top = 40 + k * 58
        rect(-0, top, 150, top + 40, col(0.42, 0.55, 0.66) * (1.05 - 0.07 * k))
    rect(150, 0, 172, height, col(0.035, 0.040, 0.042))
    # shelves on the right: boards, books, vases
    wood = col(0.105, 0.060, 0.032)
    shade(905, 70, 1250, height, 0.62)
    for sx in (898, 1242):
        rect(sx, 60, sx + 14, height, wood * 0.8)
    palette = [col(0.26, 0.09, 0.05), col(0.05, 0.12, 0.14), col(0.30, 0.24, 0.16), col(0.10, 0.12, 0.07),
               col(0.34, 0.30, 0.25), col(0.16, 0.05, 0.05), col(0.05, 0.07, 0.12)]
    for j, sy in enumerate((60, 222, 384, 546, 700)):
        rect(898, sy, 1256, sy + 12, wood * 1.25)
        if j == 0:
            continue
        bx = 918 + (90 if j % 2 else 0)
        stop = 1110 if j % 2 else 1080
        while bx < stop:
            w, h = rng.integers(13, 30), rng.integers(82, 126)
            c = palette[rng.integers(len(palette))]
            rect(bx, sy - h, bx + w, sy, c * rng.uniform(0.6, 1.0))
            rect(bx, sy - h + 12, bx + w, sy - h + 18, c * 1.6)
            bx += w + 2
    cv2.ellipse(im, (1180, 186), (26, 40), 0, 0, 360, (0.42, 0.36, 0.29), -1)
    cv2.ellipse(im, (945, 345), (24, 38), 0, 0, 360, (0.30, 0.12, 0.06), -1)
    cv2.ellipse(im, (1180, 512), (30, 30), 0, 0, 360, (0.10, 0.20, 0.20), -1)
    # warm light strip under the boards
    for sy in (72, 234, 396, 558):
        strip = np.exp(-np.clip(v * height - sy, 0, None) / 34) * (v * height >= sy) * ((x > 912) & (x < 1242))
        im += strip[..., None] * col(0.50, 0.27, 0.11) * 0.8
    # lamp
    cv2.ellipse(im, (1178, 330), (30, 34), 0, 0, 360, (2.6, 1.7, 0.9), -1)
    im += np.exp(-((x - 1178) ** 2 + (y - 330) ** 2) / 120 ** 2)[..., None] * col(0.30, 0.16, 0.06)
    # framed picture left of the middle
    rect(262, 120, 418, 330, col(0.05, 0.035, 0.025))
    rect(272, 130, 408, 320, col(0.36, 0.33, 0.28))
    cv2.ellipse(im, (332, 240), (44, 44), 0, 0, 360, (0.40, 0.16, 0.07), -1)
    cv2.ellipse(im, (362, 196), (30, 30), 0, 0, 360, (0.09, 0.17, 0.18), -1)
    # plant on the left
    for k in range(46):
        ang = rng.uniform(-2.6, -0.5)
        length = rng.uniform(90, 250)
        px, py = 236 + rng.normal() * 16, 640
        ex, ey = px + length * np.cos(ang), py + length * np.sin(ang) * 1.15
        g = rng.uniform(0.35, 1.0)
        cv2.ellipse(im, (int((px + ex) / 2), int((py + ey) / 2)), (int(length / 2), int(rng.uniform(9, 17))),
                    np.degrees(np.arctan2(ey - py, ex - px)), 0, 360, (0.040 * g, 0.075 * g, 0.040 * g), -1)
    rect(190, 640, 284, height, col(0.33, 0.28, 0.23))
    im = cv2.filter2D(im, -1, _disc(15), borderType=cv2.BORDER_REFLECT)
    im = cv2.filter2D(im, -1, _disc(5), borderType=cv2.BORDER_REFLECT)
    # far lights
    lights = np.zeros_like(im)
    for _ in range(5):
        cx, cy = rng.uniform(440, 880), rng.uniform(40, 560)
        c = (col(1.0, 0.62, 0.30) if rng.random() < 0.65 else col(0.45, 0.70, 0.9)) * rng.uniform(0.02, 0.075)
        cv2.circle(lights, (int(cx), int(cy)), int(rng.uniform(9, 24)), tuple(float(t) for t in c), -1, cv2.LINE_AA)
    im += cv2.GaussianBlur(lights, (0, 0), 1.6)
    im = cv2.GaussianBlur(im, (0, 0), 3.0)
    vignette = 1.08 - 0.42 * ((u - 0.5) ** 2 * 1.6 + (v - 0.45) ** 2)[..., None]
    return np.maximum(im * vignette, 0).astype(np.float32)


def _smooth(a, b, x):
    t = ((x - a) / (b - a)).clip(0, 1)
    return t * t * (3 - 2 * t)


def neckline(p):
    """Top: distance (dm) below the crew neck's edge, for points [n, 3]."""
    front = _smooth(-0.35, 0.75, p[:, 2])
    return 6.10 - 0.25 * front - p[:, 1]


def _opening(p):
    x, y = np.abs(p[:, 0]), p[:, 1]
    return x - 0.10 - 0.36 * (y - 4.75).clip(0, None) + 0.9 * (0.45 - p[:, 2]).clip(0, None)


def jacket_edge(p):
    """Jacket: distance (dm) inside its front and neck edges."""
    return np.minimum(_opening(p), 6.05 - p[:, 1])


def lapel_edge(p):
    """Lapels: distance (dm) inside their outline, a notched strip along the jacket's edge."""
    y = p[:, 1]
    width = np.interp(y, [4.6, 5.62, 5.66, 5.74, 5.78, 6.2], [0.10, 0.42, 0.20, 0.18, 0.27, 0.20])
    return np.minimum(jacket_edge(p), width - _opening(p))


def cut(surface, body, edge, offset, rim):
    """A garment over `body` positions [n, 3]: pushed out by offset and, at its edge, rim (dm).

    Returns positions [n, 3], normals [n, 3] and the signed distance [n] inside the edge.
    """
    f = edge(body)
    push = offset + rim * np.exp(-((f - 0.06) / 0.05) ** 2)
    p = body + surface.normals(body) * push[:, None]
    return p, surface.normals(p), f
