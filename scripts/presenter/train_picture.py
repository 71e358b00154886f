"""Trains the picture network: background crop with the mouth at rest + 9 controls -> crop with that mouth.

    train_picture.py [--minutes M]    reads WORK/states.npy, WORK/pictures, backgrounds/ada; writes WORK/picture.pt, picture.json
    train_picture.py --only-score     scores WORK/picture.pt on held-out states
    train_picture.py --sheet FILE     truth | network pictures of held-out states, as a PNG
    train_picture.py --made-up        speed on random numbers, nothing read or written

WORK/pictures holds %06d.png (RGB pixels of the crop rectangle, drawn with state k) and index.json, a list of
[frame, [x0, y0, x1, y1]]. Pictures may still be arriving: new ones are picked up every minute. An interrupted run resumes.

The network changes only a window of the inner 320x320 square (measured on the pictures, saved in WORK/window.json).
There it warps the background picture with a smooth flow and relights it; in a smaller window around the lips it paints over it.
"""
import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: two busy programs on two cores would spin against each other

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import contract
from contract import psnr, ssim

HERE = Path(__file__).resolve().parent
WORK = Path(os.environ.get("PRESENTER_WORK", HERE / "work"))
BACKGROUND = HERE.parent.parent / "backgrounds" / "ada"
ALLOWED = (6, 309, 6, 314)  # rows and columns that the window may touch: inside the contract's mask


class Modulated(nn.Module):
    """Residual block whose channels are scaled and shifted by the controls' code."""

    def __init__(self, width, code):
        super().__init__()
        self.scale, self.shift = nn.Linear(code, width), nn.Linear(code, width)
        self.first, self.second = nn.Conv2d(width, width, 3, 1, 1), nn.Conv2d(width, width, 3, 1, 1)
        for film in (self.scale, self.shift):
            nn.init.zeros_(film.weight), nn.init.zeros_(film.bias)
        nn.init.zeros_(self.second.bias), nn.init.normal_(self.second.weight, std=0.01)

    def forward(self, x, code):
        scale, shift = self.scale(code)[:, :, None, None], self.shift(code)[:, :, None, None]
        return x + self.second(F.relu(self.first(F.relu(x * (1 + scale) + shift))))


def fade(rows, columns, width=8):
    """[1, 1, rows, columns]: 0 at the border, 1 from `width` pixels inside."""
    edge = lambda n: torch.clamp(torch.minimum(torch.arange(n) + 0.0, torch.arange(n).flip(0) + 0.0) / width, max=1)
    ramp = edge(rows)[:, None] * edge(columns)[None]
    return (ramp * ramp * (3 - 2 * ramp))[None, None]


def inlaid(whole, part, box):
    """`whole` [N, c, h, w] with its rectangle `box` (top, bottom, left, right) replaced by `part`."""
    top, bottom, left, right = box
    rows = whole[:, :, top:bottom]
    rows = torch.cat([rows[..., :left], part, rows[..., right:]], 3)
    return torch.cat([whole[:, :, :top], rows, whole[:, :, bottom:]], 2)


class Decoder(nn.Module):
    """(reference [N, 3, 320, 320] BGR 0..1, controls [N, 9]) -> [N, 3, 320, 320] BGR 0..1.

    window: (top, bottom, left, right) of the part that may change; sides are multiples of 8.
    lips: (top, bottom, left, right) inside the window of the part that is painted; multiples of 4.
    """

    def __init__(self, window, lips, quarter=48, eighth=80, half=48, code=96, basis=24, blocks=3):
        super().__init__()
        self.window, self.lips = tuple(window), tuple(lips)
        top, bottom, left, right = window
        high, wide = (bottom - top) // 8, (right - left) // 8
        self.quarter, self.half = quarter, half
        self.code = nn.Sequential(nn.Linear(9, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, code), nn.ReLU())
        # per position, in addition to the effect everywhere: controls' code -> weights of a learned basis
        self.mix = nn.Linear(code, basis)
        self.basis = nn.Parameter(torch.randn(basis, eighth * high * wide) * 0.05)
        self.place = nn.Parameter(torch.randn(1, quarter, 2 * high, 2 * wide) * 0.05)
        self.shape = (eighth, high, wide)
        # the same at higher resolution, for teeth and tongue
        self.inside_mix = nn.Linear(code, 12)
        self.inside = nn.Parameter(torch.randn(12, half * (lips[1] - lips[0]) // 2 * (lips[3] - lips[2]) // 2) * 0.02)
        self.inside_shape = (half, (lips[1] - lips[0]) // 2, (lips[3] - lips[2]) // 2)
        self.patch = nn.Conv2d(3, quarter, 4, 4)
        self.enter = nn.Conv2d(quarter, quarter, 3, 1, 1)
        self.down = nn.Conv2d(quarter, eighth, 3, 2, 1)
        self.blocks = nn.ModuleList(Modulated(eighth, code) for _ in range(blocks))
        self.up = nn.Conv2d(eighth, quarter * 4, 1)
        self.fine = Modulated(quarter, code)
        self.move = nn.Conv2d(quarter, 5, 3, 1, 1)  # flow x, y and light B, G, R
        self.widen = nn.Conv2d(quarter, half * 4, 1)
        self.refine = nn.Conv2d(half, half, 3, 1, 1)
        self.paint = nn.Conv2d(half, 16, 3, 1, 1)  # 2x2 pixels of B, G, R, cover
        nn.init.normal_(self.move.weight, std=1e-3), nn.init.zeros_(self.move.bias)
        rows, columns = bottom - top, right - left
        y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
        self.register_buffer("grid", torch.stack([x, y])[None], persistent=False)  # of grid_sample, align_corners
        self.register_buffer("fade", fade(rows, columns), persistent=False)
        self.register_buffer("lip_fade", fade(lips[1] - lips[0], lips[3] - lips[2]), persistent=False)
        self.register_buffer("reach", torch.tensor([2 / (columns - 1), 2 / (rows - 1)]).reshape(1, 2, 1, 1) * 8, persistent=False)  # 8 pixels

    def patch_of(self, reference, controls):
        """reference: the window alone [N, 3, rows, columns] -> the window changed."""
        code = self.code(controls)
        fine = F.relu(self.enter(F.relu(self.patch(reference - 0.5) + self.place)))
        x = self.down(fine) + (self.mix(code) @ self.basis).reshape(-1, *self.shape)
        for block in self.blocks:
            x = block(x, code)
        fine = fine + F.pixel_shuffle(self.up(F.relu(x)), 2)
        fine = F.relu(self.fine(fine, code))
        move = F.interpolate(self.move(fine).float(), scale_factor=4, mode="bilinear", align_corners=False)
        at = (self.grid + move[:, :2] * self.reach).permute(0, 2, 3, 1)
        bent = F.grid_sample(reference, at, mode="bilinear", padding_mode="border", align_corners=True) + move[:, 2:]
        top, bottom, left, right = self.lips
        paint = F.pixel_shuffle(self.widen(fine[:, :, top // 4:bottom // 4, left // 4:right // 4]), 2)
        paint = F.relu(paint + (self.inside_mix(code) @ self.inside).reshape(-1, *self.inside_shape))
        paint = F.pixel_shuffle(self.paint(F.relu(self.refine(paint))).float(), 2)
        cover = torch.sigmoid(paint[:, 3:] - 1) * self.lip_fade
        under = bent[:, :, top:bottom, left:right]
        painted = under + cover * (paint[:, :3] + 0.5 - under)
        changed = inlaid(bent, painted, self.lips)
        stirred = torch.clamp(controls.abs().sum(1) * 20, max=1)[:, None, None, None]  # at rest: exactly the background
        return reference + (stirred * self.fade) * (changed - reference)

    def forward(self, reference, controls):
        top, bottom, left, right = self.window
        whole = inlaid(reference, self.patch_of(reference[:, :, top:bottom, left:right], controls), self.window)
        return torch.clamp(whole + 0.5 / 255, 0, 1)  # the renderer truncates: half a level makes that rounding


# ---- pictures ---------------------------------------------------------------------------------

def inner_of(crop):
    """BGR crop rectangle of any size -> inner [320, 320, 3] uint8, as the contract resizes it."""
    return cv2.resize(crop, (contract.CROP, contract.CROP), interpolation=cv2.INTER_CUBIC)[4:324, 4:324]


def box_of(mask, margin, multiple, allowed):
    """(top, bottom, left, right) around a mask, grown by a margin, sides multiples of `multiple`, inside `allowed`."""
    box = []
    for axis in (1, 0):
        low, high = allowed[2 * (1 - axis)], allowed[2 * (1 - axis) + 1]
        found = np.flatnonzero(mask.sum(axis) > 4)
        first, last = max(low, found[0] - margin), min(high, found[-1] + 1 + margin)
        side = min(-(-(last - first) // multiple), (high - low) // multiple) * multiple
        first = max(low, min(first, high - side))
        box += [int(first), int(first + side)]
    return box


class Pictures:
    """Drawn mouths and the background crops that go with them, as uint8 BGR windows."""

    def __init__(self, folder, states):
        self.folder, self.states = Path(folder), states
        self.index = json.loads((self.folder / "index.json").read_text())
        self.backgrounds = {}
        self.window = self.boxes = None
        self.targets, self.known = {}, []

    def background(self, frame, rect):
        key = (frame, *rect)
        if key not in self.backgrounds:
            picture = cv2.imread(str(BACKGROUND / f"{frame:06d}.jpg"))
            x0, y0, x1, y1 = rect
            inner = inner_of(picture[y0:y1, x0:x1])
            self.backgrounds[key] = inner
        return self.backgrounds[key]

    def ready(self):
        """Numbers of the existing pictures, oldest first."""
        found = [p for p in self.folder.glob("[0-9]*.png") if time.time() - p.stat().st_mtime > 2]
        return sorted(k for k in (int(p.stem) for p in found) if k < len(self.index) and k < len(self.states))

    def read(self, k):
        picture = cv2.imread(str(self.folder / f"{k:06d}.png"))
        return None if picture is None else inner_of(picture)

    def measure(self, file, count=300):
        """Finds the window in which any picture changes, and the part of it around the lips; read from a file if it exists."""
        if not file.exists():
            slight, strong = np.zeros((320, 320)), np.zeros((320, 320))
            picked = np.random.default_rng(0).permutation(self.ready())[:count]
            for k in picked:
                difference = self.read(k).astype(np.float32) - self.background(*self.index[k])
                slight += np.abs(cv2.blur(difference, (9, 9))).max(2) > 4  # JPEG noise averages out
                strong += np.abs(cv2.blur(difference, (3, 3))).max(2) > 40
            window = box_of(slight > 0.06 * len(picked), 6, 8, ALLOWED)
            _, label = cv2.connectedComponents((strong > 0.12 * len(picked)).astype(np.uint8))
            mouth = label == 1 + np.argmax([strong[label == i].sum() for i in range(1, label.max() + 1)])
            top, bottom, left, right = window
            lips = box_of(mouth[top:bottom, left:right], 12, 4, (0, bottom - top, 0, right - left))
            lips = [side // 4 * 4 for side in lips]
            file.write_text(json.dumps({"window": window, "lips": lips}))
            print(f"window {window}, lips {lips} in it", flush=True)
        self.boxes = json.loads(file.read_text())
        self.window = self.boxes["window"]

    def cut(self, inner):
        top, bottom, left, right = self.window
        return np.ascontiguousarray(inner[top:bottom, left:right])

    def refresh(self):
        """Picks up pictures that have arrived; -> how many are known."""
        for k in self.ready():
            if k not in self.targets:
                inner = self.read(k)
                if inner is not None:
                    self.targets[k] = self.cut(inner)
                    self.known.append(k)
        return len(self.known)

    def shuffled(self, rng):
        """Training pictures in random order; wide mouths and tongues (rare and hardest to paint) appear more than once."""
        known = np.array([k for k in self.known if not held_out(k)])
        mouths = self.states[known]
        rare = 1.5 * (mouths[:, 8] > 0.3) + 2.0 * (mouths[:, 0] > 0.55) + 0.5 * (mouths[:, 7] > 0.6)
        copies = 1 + np.floor(rare + rng.random(len(known))).astype(int)
        return list(rng.permutation(np.repeat(known, copies)))

    def batch(self, picks):
        """-> (reference, truth) [n, 3, h, w] float BGR 0..1, controls [n, 9]."""
        stack = lambda rows: torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).float().div_(255)
        reference = stack([self.cut(self.background(*self.index[k])) for k in picks])
        return reference, stack([self.targets[k] for k in picks]), torch.from_numpy(self.states[list(picks)])


def held_out(k):
    return k % 30 == 7


# ---- measures ---------------------------------------------------------------------------------

@torch.no_grad()
def picture_of(model, reference, controls):
    """uint8 inner [320, 320, 3] BGR and controls [9] -> uint8 inner, as the renderer makes it."""
    given = torch.from_numpy((reference / 255.0).astype(np.float32).transpose(2, 0, 1)[None].copy())
    made = model(given, torch.from_numpy(controls[None]))
    return (made[0].numpy().transpose(1, 2, 0) * 255).astype(np.uint8)


def score(model, pictures, most=100):
    """PSNR and SSIM over the whole inner square and over the window, mean of held-out states."""
    model.eval()
    rows = []
    for k in [k for k in pictures.known if held_out(k)][:most]:
        truth, reference = pictures.read(k), pictures.background(*pictures.index[k])
        made = picture_of(model, reference, pictures.states[k])
        rows.append([psnr(truth, made), ssim(truth, made), psnr(pictures.cut(truth), pictures.cut(made)), ssim(pictures.cut(truth), pictures.cut(made)),
                     psnr(truth, reference), ssim(truth, reference)])
    names = ("psnr", "ssim", "window_psnr", "window_ssim", "untouched_psnr", "untouched_ssim")
    return {"states": len(rows), **{n: round(float(v), 4) for n, v in zip(names, np.mean(rows, 0))}}


def sheet(model, pictures, file, count=12):
    """Held-out states, truth above network, twice the size, only the window."""
    model.eval()
    tiles = []
    for k in sorted([k for k in pictures.known if held_out(k)], key=lambda k: -pictures.states[k].max())[:count]:
        made = picture_of(model, pictures.background(*pictures.index[k]), pictures.states[k])
        tiles.append(np.vstack([pictures.targets[k], pictures.cut(made)]))
    while len(tiles) % 4:
        tiles.append(np.zeros_like(tiles[0]))
    cv2.imwrite(str(file), cv2.resize(np.vstack([np.hstack(tiles[i:i + 4]) for i in range(0, len(tiles), 4)]), None, fx=1.5, fy=1.5))


# ---- training ---------------------------------------------------------------------------------

def loss_of(made, truth, weight):
    """L1 and L1 of gradients (sharp teeth and lips); made, truth [n, 3, h, w], weight [1, 1, h, w]."""
    difference = made - truth
    across = (difference[..., 1:] - difference[..., :-1]).abs() * weight[..., 1:]
    down = (difference[..., 1:, :] - difference[..., :-1, :]).abs() * weight[..., 1:, :]
    return (difference.abs() * weight).mean() + 0.7 * (across.mean() + down.mean())


def weights_of(pictures):
    """[1, 1, h, w]: more where the mouth moves, most around the lips; mean 1."""
    picks = pictures.known[:400]
    spread = np.mean([np.abs(pictures.targets[k].astype(np.int16) - pictures.cut(pictures.background(*pictures.index[k]))).mean(2) for k in picks], 0)
    spread = cv2.GaussianBlur(spread.astype(np.float32), (0, 0), 4)
    weight = torch.from_numpy(1 + 4 * spread / spread.max())[None, None]
    top, bottom, left, right = pictures.boxes["lips"]
    weight[:, :, top:bottom, left:right] += 6 * fade(bottom - top, right - left)
    return weight / weight.mean()


def restore(model, name="average"):
    """Loads WORK/picture.pt's averaged (or `model`) weights; -> its dict, or None."""
    file = WORK / "picture.pt"
    if not file.exists():
        return None
    saved = torch.load(file, weights_only=True)
    model.load_state_dict(saved[name])
    return saved


def trained():
    """The trained network, its window from the checkpoint."""
    saved = torch.load(WORK / "picture.pt", weights_only=True)
    model = Decoder(**saved["boxes"])
    model.load_state_dict(saved["average"])
    return model.eval()


def made_up(threads):
    """Prints training speed on random numbers for a usual window."""
    torch.set_num_threads(threads)
    model = Decoder((40, 288, 40, 288), (60, 164, 56, 184)).to(memory_format=torch.channels_last)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
    for size in (8, 16):
        reference, controls = torch.rand(size, 3, 248, 248).to(memory_format=torch.channels_last), torch.rand(size, 9)
        for _ in range(4):
            start = time.time()
            with torch.autocast("cpu", torch.bfloat16):
                made = model.patch_of(reference, controls)
            middle = time.time()
            loss_of(made.float(), reference, torch.ones(1, 1, 248, 248)).backward()
            print(f"batch {size}: forward {middle - start:.3f} s, backward {time.time() - middle:.3f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=50, help="of training in all, over every run")
    parser.add_argument("--pictures", default=WORK / "pictures")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--only-score", action="store_true")
    parser.add_argument("--sheet")
    parser.add_argument("--made-up", action="store_true")
    options = parser.parse_args()
    if options.made_up:
        return made_up(options.threads)
    torch.set_num_threads(options.threads)
    torch.manual_seed(2)
    pictures = Pictures(options.pictures, np.load(WORK / "states.npy"))
    pictures.measure(WORK / "window.json")
    print(f"{pictures.refresh()} pictures", flush=True)
    if options.only_score or options.sheet:
        model = trained()
        if options.sheet:
            sheet(model, pictures, options.sheet)
        else:
            print(json.dumps(score(model, pictures)))
        return None
    model, average = Decoder(**pictures.boxes), Decoder(**pictures.boxes)
    saved = restore(model, "model")
    restore(average) if saved else average.load_state_dict(model.state_dict())
    model.to(memory_format=torch.channels_last)
    slow = [model.basis, model.place, model.inside]
    rest = [p for p in model.parameters() if all(p is not s for s in slow)]
    optimiser = torch.optim.AdamW([{"params": rest, "weight_decay": 1e-4}, {"params": slow, "weight_decay": 0.0}], lr=1e-3, betas=(0.9, 0.98))
    spent, step = (saved["spent"], saved["step"]) if saved else (0.0, 0)
    if saved:
        optimiser.load_state_dict(saved["optimiser"])
    weight = weights_of(pictures)
    rng = np.random.default_rng([5, step])
    limit, last, shown, mean, queue = options.minutes * 60, time.time(), time.time(), None, []
    while spent < limit:
        part = spent / limit
        rate = float(options.rate * min(1, (step + 1) / 100) * (0.5 + 0.5 * np.cos(np.pi * part)) + 1e-6)
        for group in optimiser.param_groups:
            group["lr"] = rate
        if len(queue) < options.batch:
            queue = pictures.shuffled(rng)
        picks, queue = queue[:options.batch], queue[options.batch:]
        reference, truth, wanted = pictures.batch(picks)
        reference = reference.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            made = model.patch_of(reference, wanted)
        loss = loss_of(made.float(), truth, weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimiser.step()
        step += 1
        with torch.no_grad():
            keep = min(0.997, step / (step + 30))
            for a, b in zip(average.parameters(), model.parameters()):
                a.lerp_(b, 1 - keep)
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        spent, last = spent + time.time() - last, time.time()
        if time.time() - shown > 60 or spent >= limit:
            facts = score(average, pictures, 24)
            part_file = WORK / "picture.part"
            torch.save({"model": model.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict(),
                        "spent": spent, "step": step, "boxes": pictures.boxes}, part_file)
            part_file.replace(WORK / "picture.pt")
            print(f"{spent:6.0f} s step {step} loss {mean:.5f} rate {rate:.1e} pictures {pictures.refresh()} {json.dumps(facts)}", flush=True)
            shown = last = time.time()
    facts = {**score(average, pictures), "minutes": round(spent / 60, 1), "steps": step, "pictures": len(pictures.known)}
    (WORK / "picture.json").write_text(json.dumps(facts, indent=1))
    print(json.dumps(facts, indent=1))
    return None


if __name__ == "__main__":
    main()
