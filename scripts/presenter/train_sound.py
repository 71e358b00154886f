"""Trains the audio networks: audio encoder (mel block -> 512) and head (16 embeddings -> 9 controls).

    train_sound.py [--minutes M]      reads WORK/corpus, writes WORK/sound.pt (checkpoint) and WORK/sound.json
    train_sound.py --only-score       scores WORK/sound.pt on the held-out voice

Frame i is on screen during [i/25, (i+1)/25) s; its target is the mouth at (i + 0.5)/25 s. Blocks, feature
list and windows follow the contract, so the networks learn the true alignment, including the ends of clips.
The head is a stack of valid convolutions that sees exactly 16 features: over a whole clip's features,
padded with 8 zero rows before and 7 after, each frame gets the same result as from the contract's window.
"""
import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: two busy programs on two cores would spin against each other

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import contract
import mouth

WORK = Path(os.environ.get("PRESENTER_WORK", Path(__file__).resolve().parent / "work"))
DEAD = 0.06  # raw values up to this give exactly 0, so that rest is exact
TRACK_RATE = 200  # of the stored control tracks, per second
FLOOR = torch.tensor([0, -1, 0, 0, 0, 0, 0, 0, 0.])
WEIGHT = torch.tensor([3, 1, 1.5, 1.5, 1.2, 0.6, 0.6, 0.5, 0.8])  # of each control in the loss


def convolution(inputs, outputs, kernel, stride):
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, (kernel[0] // 2, kernel[1] // 2), bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class Encoder(nn.Module):
    """mel [N, 1, 80, 16] in -4..4 -> emb [N, 512], each about zero mean and unit variance in speech."""

    def __init__(self):
        super().__init__()
        self.convolutions = nn.Sequential(convolution(1, 16, (5, 5), (2, 2)), convolution(16, 32, (3, 3), (2, 1)))
        self.dense = nn.Sequential(nn.Conv1d(32 * 20, 160, 3, 2, 1, bias=False), nn.BatchNorm1d(160), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1),
                                   nn.Linear(160 * 4, 256, bias=False), nn.BatchNorm1d(256), nn.ReLU(),
                                   nn.Linear(256, contract.EMBEDDING), nn.BatchNorm1d(contract.EMBEDDING, affine=False))

    def forward(self, mel):
        return self.dense(self.convolutions(mel * 0.25).reshape(-1, 32 * 20, 8))


class Head(nn.Module):
    """features [B, T, 512] -> raw controls [B, T - 15, 9]; `controls` bounds them."""

    def __init__(self, width=224):
        super().__init__()
        widths = [contract.EMBEDDING] + [width] * 5
        self.layers = nn.ModuleList(nn.Sequential(nn.Conv1d(a, b, 4, bias=False), nn.BatchNorm1d(b), nn.ReLU()) for a, b in zip(widths, widths[1:]))
        self.drop = nn.Dropout(0.1)
        self.last = nn.Linear(width, 9)

    def raw(self, features):
        x = features.transpose(1, 2)
        for k, layer in enumerate(self.layers):
            y = layer(x)
            x = y if k == 0 else y + x[:, :, 2:-1]
        return self.last(self.drop(x.transpose(1, 2)))

    def forward(self, features):
        return controls(self.raw(features))


def controls(raw):
    """Raw [.., 9] -> bounded controls, exactly 0 inside the dead zone."""
    shrunk = (F.relu(raw - DEAD) - F.relu(-raw - DEAD)) * (1 / (1 - DEAD))
    return torch.minimum(torch.maximum(shrunk, FLOOR), torch.ones(9))


def head_window(head, audio):
    """audio [N, 32, 16, 16] -> controls [N, 9]."""
    return head(audio.reshape(-1, 16, contract.EMBEDDING)).reshape(-1, 9)


# ---- data -------------------------------------------------------------------------------------

def load():
    """Clips of the corpus with mel [T, 80] and track [n, 9] at 200 per second, from a cache if it is complete."""
    clips = json.loads((WORK / "corpus.json").read_text())
    cache = WORK / "mel"
    cache.mkdir(exist_ok=True)
    for clip in clips:
        file = cache / (clip["file"] + ".npy")
        if not file.exists():
            with open(file.with_suffix(".part"), "wb") as part:
                np.save(part, contract.mel_of(contract.read_wav(WORK / "corpus" / clip["file"])).astype(np.float16))
            file.with_suffix(".part").replace(file)
        clip["mel"] = np.load(file)
        clip["track"] = mouth.tracks(clip["phonemes"], clip["ends"], np.arange(int(clip["seconds"] * TRACK_RATE) + 2) / TRACK_RATE).astype(np.float16)
    return clips


def targets(track, frames, offset=0.0, pace=1.0):
    """Track at 200 per second -> [frames, 9] at offset + pace (i + 0.5)/25 seconds; rest beyond its end."""
    at = np.round(((np.arange(frames) + 0.5) / contract.FPS * pace + offset) * TRACK_RATE).astype(int)
    return np.where((at < len(track))[:, None], track[np.minimum(at, len(track) - 1)], 0).astype(np.float32)


def warp(rng):
    """[80, 80] matrix that stretches the bands a little, like a different throat length."""
    factor = np.exp(rng.uniform(-0.12, 0.12))
    at = np.clip(np.arange(80) * factor + rng.uniform(-1, 1), 0, 79)
    low = np.floor(at).astype(int).clip(0, 78)
    matrix = np.zeros((80, 80), np.float32)
    matrix[low, np.arange(80)] = 1 - (at - low)
    matrix[low + 1, np.arange(80)] += at - low
    return matrix


def batch(clips, rng, size, rows=330):
    """-> (blocks [size * n, 1, 80, 16], n, targets [size, n + 2, 9]): pieces of `rows` mel frames, randomly varied."""
    stacks, wanted = [], []
    for _ in range(size):
        clip = clips[rng.integers(len(clips))]
        mel, track = clip["mel"], clip["track"]
        first = int(rng.integers(0, max(1, len(mel) - rows + 40))) if rng.random() < 0.8 else 0
        first = min(first, max(0, len(mel) - 80))
        pace = float(np.exp(rng.uniform(-0.13, 0.13))) if rng.random() < 0.5 else 1.0
        at = first + np.arange(rows) * pace
        at = at[at < len(mel) - 1]
        low, part = np.floor(at).astype(int), (at % 1)[:, None].astype(np.float32)
        piece = mel[low].astype(np.float32) * (1 - part) + mel[low + 1] * part
        lack = rows - len(piece)
        if lack:  # silence follows, with the clip's own noise or digital
            piece = np.concatenate([piece, np.full((lack, 80), -4, np.float32)])
        if rng.random() < 0.7:
            piece = piece @ warp(rng)
        if rng.random() < 0.8:  # a different loudness and microphone; 8 units are 100 dB
            colour = np.interp(np.arange(80), np.linspace(0, 79, 6), rng.uniform(-0.5, 0.5, 6)).astype(np.float32)
            piece = piece + (rng.uniform(-1.2, 0.7) + colour) * (piece > -3.99)
        if rng.random() < 0.5:
            piece = np.maximum(piece, rng.uniform(-4, -1.2) + 0.25 * rng.standard_normal(piece.shape).astype(np.float32))
        if rng.random() < 0.3:
            band = rng.integers(0, 74)
            piece[:, band:band + rng.integers(1, 7)] = piece.mean()
        piece = np.clip(piece, -4, 4)
        stacks.append(contract.blocks(piece))
        count = len(stacks[-1])
        wanted.append(targets(track, count + 2, first / contract.MEL_RATE, pace))
    return torch.from_numpy(np.concatenate(stacks).astype(np.float32)), count, torch.from_numpy(np.stack(wanted))


def features_of(embeddings, size, count):
    """[size * count, 512] -> the feature lists with the zeros beyond their ends [size, count + 2 + 15, 512]."""
    lists = embeddings.reshape(size, count, -1)
    lists = torch.cat([lists[:, :1], lists, lists[:, -1:]], 1)
    return F.pad(lists, (0, 0, contract.BEFORE, contract.AFTER))


def loss_of(raw, wanted):
    """Smooth L1 on raw values; targets of 0 also accept values below 0; closures and movement weigh more."""
    goal = torch.where(wanted > 0, wanted * (1 - DEAD) + DEAD, torch.where(wanted < 0, wanted * (1 - DEAD) - DEAD, wanted))
    error = raw - goal
    error = torch.where((wanted <= 0) & (FLOOR == 0) | (wanted >= 0.999), torch.where(wanted >= 0.999, error.clamp(max=0), error.clamp(min=0)), error)
    weight = WEIGHT * torch.ones_like(wanted)
    shut = (wanted[..., mouth.PRESS:mouth.PRESS + 1] > 0.5).float()
    weight = weight * (1 + shut * torch.tensor([2.5, 0, 0, 2.0, 0, 0, 0, 0, 0]))
    weight = weight * (1 + 1.0 * wanted[..., mouth.TUCK:mouth.TUCK + 1] * torch.tensor([0, 0, 0, 0, 2.0, 0, 0, 0, 0]))
    still = (F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none", beta=0.15) * weight).mean()
    motion = F.smooth_l1_loss(error[:, 1:], error[:, :-1], reduction="none", beta=0.15) * WEIGHT
    return still + 0.5 * motion.mean()


# ---- score ------------------------------------------------------------------------------------

@torch.no_grad()
def predict(encoder, head, samples):
    """[n] float samples -> controls [frames, 9], frames = ceil(seconds * 25)."""
    encoder.eval(), head.eval()
    stack = torch.from_numpy(contract.blocks(contract.mel_of(samples)))
    features = contract.feature_list(encoder(stack).numpy())
    frames = -(-len(samples) * contract.FPS // contract.RATE)
    return head_window(head, torch.from_numpy(np.stack([contract.window(features, i) for i in range(frames)]))).numpy()


def correlation(a, b):
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0


def score(encoder, head, clips):
    """Held-out clips -> dict of measures of the opening, of closures, of rest."""
    truth, seen, seen_shut, all_shut = [], [], 0, 0
    lagged = {lag: [] for lag in range(-5, 6)}
    for clip in clips:
        got = predict(encoder, head, contract.read_wav(WORK / "corpus" / clip["file"]))
        want = mouth.tracks(clip["phonemes"], clip["ends"], (np.arange(len(got)) + 0.5) / contract.FPS)
        truth.append(want)
        seen.append(got)
        for start, end in mouth.closures(clip["phonemes"], clip["ends"]):
            frames = np.arange(int(start * 25), min(int(end * 25) + 1, len(want)))
            if len(frames) and want[frames, 0].min() < 0.03:
                all_shut += 1
                seen_shut += got[frames, 0].min() < 0.08
    for lag in lagged:
        a = np.concatenate([w[5:-5, 0] for w in truth])
        b = np.concatenate([g[5 + lag:len(g) - 5 + lag, 0] for g in seen])
        lagged[lag] = correlation(a, b)
    truth, seen = np.concatenate(truth), np.concatenate(seen)
    hush = predict(encoder, head, np.zeros(3 * contract.RATE, np.float32))
    rng = np.random.default_rng(0)
    noise = predict(encoder, head, 0.003 * rng.standard_normal(3 * contract.RATE).astype(np.float32))
    resting = np.abs(truth).max(1) == 0
    return {"r": {name: round(correlation(truth[:, c], seen[:, c]), 3) for c, name in enumerate(mouth.CONTROLS)},
            "lag": max(lagged, key=lagged.get), "closures": round(seen_shut / max(1, all_shut), 3), "closures_asked": all_shut,
            "silence": round(float(np.abs(hush).max()), 4), "noise": round(float(np.abs(noise).max()), 4),
            "rest_exact": round(float((np.abs(seen[resting]).max(1) < 0.03).mean()), 3),
            "open_std": [round(float(truth[:, 0].std()), 3), round(float(seen[:, 0].std()), 3)],
            "mae": round(float(np.abs(truth - seen).mean()), 4)}


def restore(encoder, head):
    """Loads WORK/sound.pt; -> its dict, or None."""
    file = WORK / "sound.pt"
    if not file.exists():
        return None
    saved = torch.load(file, weights_only=True)
    encoder.load_state_dict(saved["encoder"])
    head.load_state_dict(saved["head"])
    return saved


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=34, help="of training in all, over every run")
    parser.add_argument("--threads", type=int, default=1, help="1 is best where other programs run: two wait for each other")
    parser.add_argument("--only-score", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    encoder, head = Encoder(), Head()
    saved = restore(encoder, head)
    clips = load() if not options.only_score else json.loads((WORK / "corpus.json").read_text())
    unheard = [c for c in clips if c["set"] == "held" and c["voice"] == "awb"][:12]  # the last 12 are for score.py
    others = [c for c in clips if c["set"] == "held" and c["voice"] != "awb"]
    if options.only_score:
        print(json.dumps({"awb": score(encoder, head, unheard), "heard voices": score(encoder, head, others)}, indent=1))
        return
    train = [c for c in clips if c["set"] == "train"]
    print(f"{sum(c['seconds'] for c in train) / 60:.0f} minutes to train on; encoder {sum(p.numel() for p in encoder.parameters()) / 1e6:.2f} M, "
          f"head {sum(p.numel() for p in head.parameters()) / 1e6:.2f} M", flush=True)
    parameters = [*encoder.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.02)
    spent, step = (saved["spent"], saved["step"]) if saved else (0.0, 0)
    if saved:
        optimiser.load_state_dict(saved["optimiser"])
    rng = np.random.default_rng([7, step])
    size, limit, last, shown, mean = 10, options.minutes * 60, time.time(), time.time(), None
    while spent < limit:
        part = spent / limit
        rate = float(1.5e-3 * min(1, (step + 1) / 200) * (0.5 + 0.5 * np.cos(np.pi * part)) + 2e-6)
        for group in optimiser.param_groups:
            group["lr"] = rate
        encoder.train(), head.train()
        if part > 0.45:  # from here on, use the statistics of the exported networks; otherwise rest is not exact
            for layer in (*encoder.modules(), *head.modules()):
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.eval()
        stack, count, wanted = batch(train, rng, size)
        with torch.autocast("cpu", torch.bfloat16):
            embeddings = encoder(stack).float()
            raw = head.raw(features_of(embeddings, size, count)).float()
        loss = loss_of(raw, wanted)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 2.0)
        optimiser.step()
        step += 1
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        spent, last = spent + time.time() - last, time.time()
        if time.time() - shown > 60 or spent >= limit:
            shown = time.time()
            facts = score(encoder, head, unheard)
            print(f"{spent:6.0f} s step {step} loss {mean:.4f} rate {rate:.1e} {json.dumps(facts)}", flush=True)
            part_file = WORK / "sound.part"
            torch.save({"encoder": encoder.state_dict(), "head": head.state_dict(), "optimiser": optimiser.state_dict(), "spent": spent, "step": step}, part_file)
            part_file.replace(WORK / "sound.pt")
            last = time.time()
    facts = {"awb": score(encoder, head, unheard), "heard voices": score(encoder, head, others), "minutes": round(spent / 60, 1), "steps": step,
             "corpus_minutes": round(sum(c["seconds"] for c in train) / 60, 1)}
    (WORK / "sound.json").write_text(json.dumps(facts, indent=1))
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
