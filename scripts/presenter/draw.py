"""The bundled presenter `ada`: public API and command line.

    python draw.py backgrounds [--out backgrounds/ada]
    python draw.py pictures --states FILE.npy --out DIR [--count N] [--worker K/N]
    python draw.py sheet --out FILE
    python draw.py strip --out FILE

Pictures are uint8 RGB [720, 1280, 3]; rectangles [x0, y0, x1, y1] in pixels, the
last ones exclusive. The work folder (argument, or environment PRESENTER_WORK) keeps
the downloaded mesh and the 150 rest pictures.
"""
import argparse
import hashlib
import json
import os
import time
from pathlib import Path

import cv2
import numpy as np

import hair
import mesh
import shade
import studio
from head import (CONTROLS, FRAMES, LOWER, UPPER, Face, eyeball, gaze_rotation, head_weight, motion, teeth)

HERE = Path(__file__).resolve().parent
CROP = 336  # side of the crop rectangle in pixels
CROP_CENTRE = np.array([0.0, 6.535, 1.2])  # in the head's rest frame, dm
EDGE, FULL = 0.06, 0.15  # of the crop's side: mouths change nothing nearer to the border than EDGE, and everything further inside than FULL
MODULES = ("mesh.py", "head.py", "hair.py", "studio.py", "shade.py", "draw.py")
LICENSE = """# Licence of these pictures

`ada` is a fictional person. The pictures were drawn by this project's own scripts
(`scripts/presenter`) from MakeHuman's base mesh and shape targets, which their authors
released under CC0 1.0. The pictures are released under CC0 1.0 as well:
https://creativecommons.org/publicdomain/zero/1.0/
"""
SHEET = ({}, {"open": .3}, {"open": .6}, {"open": 1}, {"open": .3, "round": 1}, {"open": .3, "wide": 1},
         {"press": 1}, {"tuck": 1}, {"tuck": 1, "open": .15}, {"open": .2, "upper": 1, "lower": 1},
         {"open": .4, "tongue": 1}, {"open": .3, "tongue_out": 1}, {"open": .8}, {"round": 1}, {"wide": 1},
         {"open": .3, "wide": -1})


def state(**values):
    """A mouth state [9] from control names."""
    c = np.zeros(len(CONTROLS), np.float32)
    for k, v in values.items():
        c[CONTROLS.index(k)] = v
    return c


class Presenter:
    """Draws any frame with any mouth."""

    frames = FRAMES

    def __init__(self, work=None):
        self.work = Path(work or os.environ.get("PRESENTER_WORK") or HERE / "work")
        base = mesh.Base(mesh.fetch(self.work))
        self.face, self.gl = Face(base), shade.Renderer()
        source = b"".join((HERE / m).read_bytes() for m in MODULES)
        self.cache = self.work / ("rest-" + hashlib.sha256(source).hexdigest()[:12])
        self.cache.mkdir(exist_ok=True)
        self._rest = {}
        rng = np.random.default_rng(11)
        v = self.face.neutral
        skin_pos, skin_nor, masks = self._add_skin(base, v)
        self._add_mouth(base, v)
        self.eye, tris = eyeball(1.0)
        for k in range(2):
            self.gl.add_mesh(f"eye{k}", shade.EYE, self.eye, np.zeros((len(self.eye), 4)), np.ones(len(self.eye)), tris)
        self._add_hair(base, v, skin_pos, skin_nor, masks, rng)
        self._add_clothes(base, v)
        self.gl.landmarks(eye_l=self.face.eyes[0], mouth=self.face.mouth)
        self.gl.set_picture(studio.paint(shade.WIDTH, shade.HEIGHT))
        self._posed = None
        self._pose(np.zeros(len(CONTROLS)), 0.0, (0.0, 0.0))
        self.gl.settle()
        t = ((np.arange(CROP) + 0.5) / CROP).clip(0, 1)
        ramp = ((np.minimum(t, 1 - t) - EDGE) / (FULL - EDGE)).clip(0, 1)
        ramp = ramp * ramp * (3 - 2 * ramp)
        self.mask = (ramp[:, None] * ramp[None])[..., None].astype(np.float32)

    def _add_skin(self, base, v):
        quads = base.faces["body"]
        p = v[quads]
        quads = quads[(p[..., 1].min(1) > 5.45) & (np.abs(p[..., 0]).max(1) < 1.0)]
        self.skin = mesh.Surface(quads)
        pos = self.skin.positions(v)
        nor = self.skin.normals(pos)
        masks = self.skin.fine @ self.face.masks[self.skin.used].astype(np.float32)
        masks[:, 3] = hair.scalp(pos, 0.09) * (masks[:, 2] < 0.3)
        moved = self.skin.positions(np.repeat(self.face.mobility()[:, None], 3, 1))[:, 0] > 0.004
        tris = self.skin.tris
        self.gl.add_mesh("skin", shade.SKIN, pos, masks, head_weight(pos), tris, moved[tris].any(1))
        return pos, nor, masks

    def _add_mouth(self, base, v):
        self.tongue = mesh.Surface(base.faces["helper-tongue"])
        pos = self.tongue.positions(v)
        self.gl.add_mesh("tongue", shade.TONGUE, pos, np.zeros((len(pos), 4)), np.ones(len(pos)), self.tongue.tris, True)
        self.teeth = {}
        for name, sign, table, back, drop in (("upper", 1, UPPER, 0.0, 0.05), ("lower", -1, LOWER, 0.05, 0.03)):
            helper = v[np.unique(base.faces[f"helper-{name}-teeth"])]
            front = helper[helper[:, 2] > helper[:, 2].max() - 0.08, 1]
            edge = front.min() if sign > 0 else front.max()
            pos, tris, gum = teeth(helper[:, 2].max() - back, np.abs(helper[:, 0]).max() * 0.93, edge - drop, table, sign)
            mask = np.zeros((len(pos), 4))
            mask[:, 0] = gum
            self.gl.add_mesh(name, shade.TEETH, pos, mask, np.ones(len(pos)), tris, sign < 0)
            self.teeth[name] = pos, tris

    def _add_hair(self, base, v, pos, nor, masks, rng):
        p, width, rnd = hair.grow(pos, self.skin.tris, masks[:, 2], rng)
        fine = hair.baby_hairs(p, rng)
        self.gl.add_strands("fine", 0, shade.ribbons(*fine))
        self.gl.add_strands("hair", 0, shade.ribbons(p, width, rnd, cast_every=10))
        self.gl.add_strands("brows", 1, shade.ribbons(*hair.brows(pos, nor, self.face.eyes[0], rng)))
        self.lashes = {}
        for k, side in enumerate("lr"):
            for row in (1, 2):
                used = np.unique(base.faces[f"helper-{side}-eyelashes-{row}"])
                lashes = hair.Lashes(used, v, self.face.eyes[k], rng, upper=row == 2)
                name = f"lashes-{side}{row}"
                self.lashes[name] = lashes
                self.gl.add_strands(name, 2, shade.ribbons(*lashes.strands(v)))

    def _add_clothes(self, base, v):
        quads = base.faces["helper-tights"]
        p = v[quads]
        quads = quads[(p[..., 1].min(1) > 4.9) & (np.abs(p[..., 0]).max(1) < 2.6)]
        surface = mesh.Surface(quads)
        body = surface.positions(v)
        for name, material, edge, offset, rim, tint in (
                ("top", shade.TOP, studio.neckline, 0.03, 0.025, 1.0),
                ("jacket", shade.JACKET, studio.jacket_edge, 0.09, 0.0, 1.0),
                ("lapel", shade.JACKET, studio.lapel_edge, 0.125, 0.0, 1.25)):
            pos, nor, inside = studio.cut(surface, body, edge, offset, rim)
            mask = np.stack([inside, np.full(len(pos), tint), np.full(len(pos), float(name == "lapel")), 0 * inside], 1)
            tris = surface.tris[(inside[surface.tris] > -0.1).any(1)]
            self.gl.add_mesh(name, material, body, mask, np.zeros(len(pos)), tris)
            self.gl.move(name, pos, nor)

    def _pose(self, controls, blink, gaze, camera=shade.CAMERA):
        """Moves the meshes; camera [3] in the head's frame is what the eyes look at."""
        key = (tuple(float(c) for c in controls), blink, gaze, tuple(camera))
        if key == self._posed:
            return
        v = self.face.pose_vertices(controls, blink)
        p = self.skin.positions(v)
        radius = self.face.eye_radius
        for eye in self.face.eyes:  # lids rest on the eyeball
            d = p - eye
            dist = np.linalg.norm(d, axis=1)
            near = (dist < radius * 1.06) & (d[:, 2] > 0)
            p[near] = eye + d[near] / dist[near, None] * (radius * 1.06)
        self.gl.move("skin", p, self.skin.normals(p))
        if self._posed is None or self._posed[1] != blink:
            for name, lashes in self.lashes.items():
                self.gl.move_strands(name, shade.ribbons(*lashes.strands(v)))
        used = self.tongue.used
        v[used] = self.face.neutral[used] + self.face.tongue_shift(self.face.neutral[used], controls)
        p = self.tongue.positions(v)
        self.gl.move("tongue", p, self.tongue.normals(p))
        for name, (p, tris) in self.teeth.items():
            p = p + self.face.jaw_shift(p, controls) * (name == "lower")
            self.gl.move(name, p, mesh.vertex_normals(p, tris))
        for k, eye in enumerate(self.face.eyes):
            q = self.eye @ gaze_rotation(camera - eye, gaze).T
            self.gl.move(f"eye{k}", eye + radius * q, q / np.linalg.norm(q, axis=1, keepdims=True))
        self._posed = key

    def _draw(self, i, controls, region=None):
        head, torso, blink, gaze = motion(i)
        self._pose(controls, blink, gaze, np.linalg.solve(head, np.append(shade.CAMERA, 1))[:3])
        return self.gl.render(head, torso, region)

    def rest(self, i):
        """Frame i with the mouth at rest, kept in the work folder."""
        if i not in self._rest:
            path = self.cache / f"{i:06d}.png"
            if not path.exists():
                write(path, self._draw(i, np.zeros(len(CONTROLS))))
            self._rest[i] = cv2.imread(str(path))[..., ::-1]
        return self._rest[i]

    def rect(self, i):
        """The crop rectangle of frame i: [x0, y0, x1, y1], square."""
        head = motion(i)[0]
        c = shade.project((head @ np.append(CROP_CENTRE, 1))[None, :3])[0]
        x0, y0 = (int(round(t - CROP / 2)) for t in c)
        return [x0, y0, x0 + CROP, y0 + CROP]

    def render(self, i, controls):
        """The whole picture of frame i with a mouth state [9]."""
        x0, y0, x1, y1 = self.rect(i)
        im = self.rest(i).copy()
        im[y0:y1, x0:x1] = self.render_crop(i, controls)
        return im

    def render_crop(self, i, controls, margin=0):
        """render()'s pixels of the crop rectangle grown by margin pixels on each side."""
        x0, y0, x1, y1 = self.rect(i)
        out = self.rest(i)[y0 - margin:y1 + margin, x0 - margin:x1 + margin].copy()
        controls = np.asarray(controls, np.float64)
        if controls.any():
            e = int(EDGE * CROP)
            new = self._draw(i, controls, (x0 + e, y0 + e, x1 - e, y1 - e)).astype(np.float32)
            a, m = margin + e, self.mask[e:-e, e:-e]
            part = out[a:a + len(new), a:a + len(new)]
            part[:] = np.rint(part + m * (new - part))
        return out


def write(path, rgb, *params):
    """Writes a picture through a temporary file, so that it is never incomplete."""
    part = path.with_name(f".{os.getpid()}-{path.name}")
    cv2.imwrite(str(part), np.ascontiguousarray(rgb[..., ::-1]), params)
    os.replace(part, path)


def _progress(done, todo, start):
    pace = (time.time() - start) / max(done, 1)
    print(f"{done}/{todo}  {pace:.2f} s each, {pace * (todo - done) / 60:.1f} min left", flush=True)


def backgrounds(presenter, out, limit=9.6e6):
    """Writes the rest pictures as JPEG files, below `limit` bytes in total, and the crop rectangles."""
    out.mkdir(parents=True, exist_ok=True)
    start = time.time()
    for i in range(FRAMES):
        presenter.rest(i)
        if i % 10 == 9:
            _progress(i + 1, FRAMES, start)
    for quality in range(95, 60, -1):
        params = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1,
                  cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        probe = [cv2.imencode(".jpg", np.ascontiguousarray(presenter.rest(i)[..., ::-1]), params)[1].size
                 for i in range(0, FRAMES, 10)]
        if np.mean(probe) * FRAMES < limit:
            break
    for i in range(FRAMES):
        write(out / f"{i:06d}.jpg", presenter.rest(i), *params)
    rects = [presenter.rect(i) for i in range(FRAMES)]
    (out / "crop_rects.json").write_text(json.dumps(rects) + "\n")
    (out / "LICENSE.md").write_text(LICENSE)
    total = sum((out / f"{i:06d}.jpg").stat().st_size for i in range(FRAMES))
    print(f"{FRAMES} pictures, quality {quality}, {total / 1e6:.2f} MB")


def pictures(presenter, states, out, count, worker):
    """Writes the training set: state k at a random frame, as crops, in a shuffled order."""
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    frames = np.concatenate([rng.permutation(FRAMES) for _ in range(-(-len(states) // FRAMES))])[:len(states)]
    order = rng.permutation(len(states))[:count]
    index = out / "index.json"
    part = out / f".{os.getpid()}-index.json"
    part.write_text(json.dumps([[int(i), presenter.rect(int(i))] for i in frames]) + "\n")
    os.replace(part, index)
    k, n = worker
    todo = [s for s in order[k::n] if not (out / f"{s:06d}.png").exists()]
    start = time.time()
    for done, s in enumerate(todo, 1):
        write(out / f"{s:06d}.png", presenter.render_crop(int(frames[s]), states[s]), cv2.IMWRITE_PNG_COMPRESSION, 3)
        if done % 20 == 0 or done == len(todo):
            _progress(done, len(todo), start)


def sheet(presenter, path):
    """Contact sheet of mouth states."""
    tiles = []
    for values in SHEET:
        im = np.ascontiguousarray(presenter.render_crop(75, state(**values)))
        text = " ".join(f"{k} {v:g}" for k, v in values.items()) or "rest"
        cv2.putText(im, text, (8, 328), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
        tiles.append(im)
    write(path, np.vstack([np.hstack(tiles[k:k + 4]) for k in range(0, len(tiles), 4)]))


def strip(presenter, path):
    """Sheet of background frames."""
    small = [cv2.resize(presenter.rest(i), (426, 240), interpolation=cv2.INTER_AREA)
             for i in (0, 18, 36, 37, 38, 39, 40, 60, 75, 90, 104, 149)]
    write(path, np.vstack([np.hstack(small[k:k + 3]) for k in range(0, len(small), 3)]))


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("job", choices=("backgrounds", "pictures", "sheet", "strip"))
    a.add_argument("--work", help="work folder")
    a.add_argument("--out", type=Path, default=HERE.parent.parent / "backgrounds" / "ada")
    a.add_argument("--states", type=Path, help="mouth states, [M, 9] float32 .npy")
    a.add_argument("--count", type=int, help="at most this many pictures")
    a.add_argument("--worker", default="0/1", help="K/N: this process draws every Nth picture from K on")
    a = a.parse_args()
    presenter = Presenter(a.work)
    if a.job == "backgrounds":
        backgrounds(presenter, a.out)
    elif a.job == "pictures":
        pictures(presenter, np.load(a.states), a.out, a.count, tuple(int(t) for t in a.worker.split("/")))
    else:
        {"sheet": sheet, "strip": strip}[a.job](presenter, a.out)


if __name__ == "__main__":
    main()
