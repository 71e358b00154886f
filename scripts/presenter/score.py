"""Scores the presenter: audio in, pictures out, compared with the drawn truth on a voice that was held out of training.

    score.py --binary PATH [--clips N]    renders with the real program; writes WORK/score.json and prints a Markdown table
    score.py [--clips N]                  the same through onnxruntime and contract.py, without the program
    score.py --sheet FILE                 also writes truth | rendered pictures of a few frames
    score.py --draw-only                  only draws the truth into WORK/score, where later runs find it

The mouth's opening is measured on pictures, in the same way on both: the number of pixels near the mouth with a colour that
closed mouths never show (learned from the drawn training pictures), minus that of the mouth at rest.
"""
import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np

import contract
import mouth
import speak
from contract import psnr, ssim

HERE = Path(__file__).resolve().parent
WORK = Path(os.environ.get("PRESENTER_WORK", HERE / "work"))
ROOT = HERE.parent.parent
ASKED = {"r of opening": (">=", 0.85), "best lag, frames": ("0 +-", 1), "p b m closures seen, %": (">=", 80), "PSNR in the crop, dB": (">=", 30),
         "SSIM in the crop": (">=", 0.95), "opening in silence, % of greatest": ("<=", 5)}


class Opening:
    """Measures how far a mouth is open from the crop's pixels: count of pixels of mouth-inside colour, as % of the crop."""

    BINS = 16  # per colour channel

    def __init__(self, pictures=400):
        states = np.load(WORK / "states.npy")
        files = sorted((WORK / "pictures").glob("[0-9]*.png"))[:3 * pictures]
        every = np.stack([cv2.resize(cv2.imread(str(f)), (160, 160), interpolation=cv2.INTER_AREA) for f in files])
        states = states[[int(f.stem) for f in files]]
        boxes = json.loads((WORK / "window.json").read_text())  # of the picture network: where the lips move
        corner = np.repeat([boxes["window"][0], boxes["window"][2]], 2)
        self.box = ((np.array(boxes["lips"]) + corner + 4) / contract.CROP).tolist()
        shut = (states[:, mouth.OPEN] < 0.01) & (states[:, [mouth.TUCK, mouth.UPPER, mouth.LOWER, mouth.TONGUE, mouth.TONGUE_OUT]].max(1) < 0.05)
        wide = states[:, mouth.OPEN] > 0.35
        fit = np.arange(len(files)) % 3 != 0  # the rest is for validation
        count = lambda chosen: self._counts(every[chosen])
        a, b = count(fit & wide), count(fit & shut)
        self.inside = (a > 0.25 * a.sum() / 1e4) & (a / (a + 4 * b + 1e-9) > 0.72)
        self.zero = 0.0
        self.zero = float(np.median([self(p) for p in every[shut]]))
        measured = np.array([self(p) for p in every[~fit]])
        # other controls open the lips as well: how much of the drawn pictures' opening this control explains
        self.check = float(np.corrcoef(measured, states[~fit, mouth.OPEN])[0, 1])

    def _bin(self, picture):
        top, bottom, left, right = (np.array(self.box) * picture.shape[-2]).round().astype(int)
        q = (picture[..., top:bottom, left:right, :] // (256 // self.BINS)).astype(int)
        return (q[..., 0] * self.BINS + q[..., 1]) * self.BINS + q[..., 2]

    def _counts(self, pictures):
        counts = np.bincount(self._bin(pictures).ravel(), minlength=self.BINS ** 3).reshape((self.BINS,) * 3).astype(float)
        return (cv2.GaussianBlur(counts.reshape(self.BINS, -1), (1, 3), 0.6).reshape(counts.shape) / max(1, len(pictures))).ravel()

    def __call__(self, picture):
        """BGR crop, any size -> opening, 0 at rest."""
        small = cv2.resize(picture, (160, 160), interpolation=cv2.INTER_AREA)
        return max(0.0, 100 * float(self.inside[self._bin(small)].sum()) / 160 ** 2 - self.zero)


def rendered(binary, wav, frames, presenter):
    """Yields the crop rectangle's pixels (BGR) of each output frame, by the program or, without one, through onnxruntime."""
    rect = lambda i: presenter.rect(contract.ping_pong(len(presenter.frames), i))
    if binary:
        with tempfile.TemporaryDirectory(dir=WORK) as folder:
            out = Path(folder) / "frames"
            subprocess.run([binary, "render", str(wav), "--frames", str(out), "--paste", "reference", "--order", "ping-pong", "-f"],
                           check=True, cwd=ROOT)
            for i in range(frames):
                x0, y0, x1, y1 = rect(i)
                yield cv2.imread(str(out / f"{i:06d}.png"))[y0:y1, x0:x1]
        return
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    encoder, generator = (onnxruntime.InferenceSession(str(ROOT / "models/ada" / f), options) for f in ("audio_encoder.onnx", "generator.onnx"))
    stack = contract.blocks(contract.mel_of(contract.read_wav(wav)))
    features = contract.feature_list(np.concatenate([encoder.run(None, {"mel": b[None]})[0] for b in stack]))
    for i in range(frames):
        frame = contract.ping_pong(len(presenter.frames), i)
        picture = cv2.imread(str(ROOT / f"backgrounds/ada/{frame:06d}.jpg"))
        net, crop = contract.network_input(picture, rect(i))
        output = generator.run(None, {"input": net[None], "audio": contract.window(features, i)[None]})[0][0]
        x0, y0, x1, y1 = rect(i)
        yield contract.paste(picture, rect(i), crop, output)[y0:y1, x0:x1]


class Drawn:
    """The drawn pictures of the truth; the drawing code is loaded only for pictures that are not in WORK/score yet."""

    def __init__(self):
        self.rects = json.loads((ROOT / "backgrounds/ada/crop_rects.json").read_text())
        self.frames = range(len(self.rects))
        self.presenter = None

    def rect(self, i):
        return self.rects[i]

    def truth(self, name, i, controls, box=None):
        """BGR crop of output frame i of the clip `name`; with a box (top, bottom, left, right, as parts of the crop's side) drawn
        only there, which costs a third, and at rest elsewhere."""
        file = WORK / "score" / name / f"{i:06d}.png"
        if box is not None and not file.exists():
            file = file.with_suffix(".mouth.png")
        if not file.exists():
            if self.presenter is None:
                import draw
                self.presenter = draw.Presenter()
            frame = contract.ping_pong(len(self.frames), i)
            if box is None:
                picture = self.presenter.render_crop(frame, controls)
            else:
                x0, y0, x1, y1 = self.presenter.rect(frame)
                picture = self.presenter.rest(frame)[y0:y1, x0:x1].copy()
                top, bottom, left, right = (int(round(side * (x1 - x0))) for side in box)
                if np.any(controls):
                    picture[top:bottom, left:right] = self.presenter._draw(frame, controls, (x0 + left, y0 + top, x0 + right, y0 + bottom))
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_name("part.png")
            cv2.imwrite(str(part), np.ascontiguousarray(picture[..., ::-1]))
            part.replace(file)
        return cv2.imread(str(file))


def lagged(truth, seen, lag):
    """Correlation of the truth with what is measured `lag` frames later, over all clips."""
    pairs = [(t[5:-5], s[5 + lag:len(s) - 5 + lag]) for t, s in zip(truth, seen)]
    return float(np.corrcoef(*[np.concatenate(side) for side in zip(*pairs)])[0, 1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=lambda p: str(Path(p).resolve()))
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--every", type=int, default=5, help="PSNR and SSIM on every K-th frame; the opening on every frame")
    parser.add_argument("--draw-only", action="store_true")
    parser.add_argument("--sheet")
    options = parser.parse_args()
    every = json.loads((WORK / "corpus.json").read_text())
    clips = [c for c in every if c["voice"] == speak.UNHEARD][-options.clips:]
    drawn, opening = Drawn(), Opening()
    print(f"the measure of opening against the control, on drawn pictures: r = {opening.check:.3f}", flush=True)
    truth, seen, asked, shut, quality, tiles, seconds = [], [], 0, 0, [], [], 0.0
    spans = []
    for clip in clips:
        wav = WORK / "corpus" / clip["file"]
        frames = -(-len(contract.read_wav(wav)) * contract.FPS // contract.RATE)
        want = mouth.tracks(clip["phonemes"], clip["ends"], (np.arange(frames) + 0.5) / contract.FPS)
        real = lambda i: drawn.truth(clip["file"][:-4], i, want[i], None if i % options.every == 0 else opening.box)
        if options.draw_only:
            for i in range(frames):
                real(i)
            print(f"{clip['file']} {frames} frames drawn", flush=True)
            continue
        a, b = [], []
        for i, made in enumerate(rendered(options.binary, wav, frames, drawn)):
            a.append(opening(real(i)))
            b.append(opening(made))
            if i % options.every == 0:
                quality.append((psnr(real(i), made), ssim(real(i), made)))
            if i % 35 == 20:
                tiles.append(np.vstack([real(i), made]))
        truth.append(np.array(a))
        seen.append(np.array(b))
        spans += [(len(truth) - 1, int(s * 25), int(e * 25) + 1) for s, e in mouth.closures(clip["phonemes"], clip["ends"])]
        seconds += clip["seconds"]
        print(f"{clip['file']} {frames} frames, r {np.corrcoef(a, b)[0, 1]:.3f}, PSNR {np.mean([q[0] for q in quality]):.2f}", flush=True)
    if options.draw_only:
        return
    greatest = max(t.max() for t in truth)
    small = 0.06 * greatest
    for clip, first, last in spans:
        real, made = truth[clip][first:last], seen[clip][first:last]
        if len(real) and real.min() < small:
            asked += 1
            shut += made.min() < small
    hush = WORK / "silence.wav"
    speak.wavfile.write(hush, contract.RATE, np.zeros(3 * contract.RATE, np.int16))
    silent = [opening(p) for p in rendered(options.binary, hush, 75, drawn)]
    lags = {lag: lagged(truth, seen, lag) for lag in range(-5, 6)}
    measured = dict(zip(ASKED, [round(lags[0], 3), max(lags, key=lags.get), round(100 * shut / max(1, asked), 1), round(float(np.mean([q[0] for q in quality])), 2),
                                round(float(np.mean([q[1] for q in quality])), 4), round(100 * max(silent) / greatest, 2)]))
    met = {">=": lambda x, y: x >= y, "<=": lambda x, y: x <= y, "0 +-": lambda x, y: abs(x) <= y}
    table = [{"what": what, "asked": f"{sign} {limit}", "measured": measured[what], "met": bool(met[sign](measured[what], limit))} for what, (sign, limit) in ASKED.items()]
    facts = {"voice": speak.UNHEARD, "sentences": len(clips), "seconds": round(seconds, 1), "frames": sum(map(len, truth)), "closures": asked,
             "renderer": "program" if options.binary else "onnxruntime", "measure_check_r": round(opening.check, 3),
             "lags": {str(k): round(v, 3) for k, v in lags.items()}, "table": table}
    (WORK / "score.json").write_text(json.dumps(facts, indent=1))
    if options.sheet and tiles:
        picked = [tiles[k] for k in np.linspace(0, len(tiles) - 1, 12).astype(int)]
        picked = [cv2.resize(t, (336, 672)) for t in picked]
        cv2.imwrite(options.sheet, np.vstack([np.hstack(picked[i:i + 6]) for i in (0, 6)]))
    print(f"\nVoice {speak.UNHEARD}, never heard in training: {len(clips)} sentences, {seconds:.0f} s, {facts['frames']} frames, {asked} closures.\n")
    print("| what | asked | measured | met |\n| --- | --- | --- | --- |")
    for row in table:
        print(f"| {row['what']} | {row['asked']} | {row['measured']} | {'yes' if row['met'] else '**no**'} |")


if __name__ == "__main__":
    main()
