"""The numeric contract between the renderer and the networks: mel, blocks, windows, crop, paste; and metrics to compare pictures.

Uses only numpy and OpenCV. The renderer's own golden tests check the same numbers.
"""
import cv2
import numpy as np
from scipy.io import wavfile

RATE, FPS, MEL_RATE, BLOCK, BANDS, EMBEDDING = 16000, 25, 80, 16, 80, 512
BEFORE, AFTER = 8, 7  # features of a frame's window before and after its own index
CROP, INNER = 328, 320  # pixels; the inner square is [4, 324) of the crop
MASK_ROWS, MASK_COLUMNS = slice(5, 310), slice(5, 315)  # of the inner square: hidden in channels 3..5


def read_wav(path):
    """16 kHz mono 16-bit file -> [n] float32 in -1..1."""
    rate, pcm = wavfile.read(path)
    assert rate == RATE and pcm.dtype == np.int16 and pcm.ndim == 1, path
    return pcm.astype(np.float32) / 32768


def mel_filters():
    """[80, 401]: triangles from 55 to 7600 Hz, Slaney scale and area."""
    step, knee = 200 / 3, 1000.0
    ratio = np.log(6.4) / 27
    to_mel = lambda f: np.where(f >= knee, knee / step + np.log(np.maximum(f, 1) / knee) / ratio, f / step)
    to_hertz = lambda m: np.where(m >= knee / step, knee * np.exp(ratio * (m - knee / step)), step * m)
    edges = to_hertz(np.linspace(to_mel(np.float64(55)), to_mel(np.float64(7600)), BANDS + 2))
    bins = np.linspace(0, RATE / 2, 401)
    ramps = edges[:, None] - bins[None]
    widths = np.diff(edges)
    triangles = np.maximum(0, np.minimum(-ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]))
    return triangles * (2 / (edges[2:] - edges[:-2]))[:, None]


def mel_spectrogram(samples):
    """[n] float in -1..1 at 16 kHz -> [T, 80] float32 in -4..4, T = 1 + n // 200."""
    samples = np.asarray(samples, np.float64)
    emphasised = samples.copy()
    emphasised[1:] -= 0.97 * samples[:-1]
    padded = np.pad(emphasised, 400)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 800)[::200]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 800)
    basis, out = mel_filters().T, []
    for start in range(0, len(frames), 4000):
        magnitude = np.abs(np.fft.rfft(frames[start:start + 4000] * hann))
        level = 20 * np.log10(np.maximum(1e-5, magnitude @ basis)) - 20
        out.append(np.clip(8 * (level + 100) / 100 - 4, -4, 4).astype(np.float32))
    return np.concatenate(out)


def block_count(mel_frames):
    return int((mel_frames - BLOCK) / MEL_RATE * FPS) + 2


def block_starts(mel_frames):
    """Mel frames -> first mel row of each block."""
    starts = [int(MEL_RATE * (j / FPS)) for j in range(block_count(mel_frames))]
    return np.minimum(starts, mel_frames - BLOCK)


def blocks(mel):
    """[T, 80] -> [N, 1, 80, 16], the audio encoder's input."""
    return np.stack([mel[s:s + BLOCK].T for s in block_starts(len(mel))])[:, None]


def mel_of(samples):
    """Samples -> mel, after padding anything shorter than 640 ms with silence."""
    return mel_spectrogram(np.pad(samples, (0, max(0, 10240 - len(samples)))))


def feature_list(embeddings):
    """[N, 512] -> [N + 2, 512]: the first and the last are repeated."""
    return np.concatenate([embeddings[:1], embeddings, embeddings[-1:]])


def window(features, frame):
    """Features -> frame's [32, 16, 16]: rows frame - 8 .. frame + 7, zeros outside the list."""
    rows = np.zeros((BEFORE + AFTER + 1, EMBEDDING), np.float32)
    first, last = max(0, frame - BEFORE), min(len(features), frame + AFTER + 1)
    if first < last:
        rows[first - frame + BEFORE:last - frame + BEFORE] = features[first:last]
    return rows.reshape(32, 16, 16)


def network_input(frame, rect):
    """BGR frame, (x0, y0, x1, y1) -> ([6, 320, 320] float32 in 0..1, the 328x328 crop uint8)."""
    x0, y0, x1, y1 = rect
    crop = cv2.resize(frame[y0:y1, x0:x1], (CROP, CROP), interpolation=cv2.INTER_CUBIC)
    inner = crop[4:324, 4:324]
    masked = inner.copy()
    masked[MASK_ROWS, MASK_COLUMNS] = 0
    stack = np.concatenate([inner.transpose(2, 0, 1), masked.transpose(2, 0, 1)])
    return (stack / 255.0).astype(np.float32), crop


def paste(frame, rect, crop, prediction):
    """prediction [3, 320, 320] in 0..1, BGR -> a copy of the frame with the crop replaced."""
    x0, y0, x1, y1 = rect
    patch = crop.copy()
    patch[4:324, 4:324] = (prediction.transpose(1, 2, 0) * 255).astype(np.uint8)  # truncates
    out = frame.copy()
    out[y0:y1, x0:x1] = cv2.resize(patch, (x1 - x0, y1 - y0), interpolation=cv2.INTER_CUBIC)
    return out


def ping_pong(count, step):
    """Background index of output frame `step`: 0 1 .. n-1 n-2 .. 1 0 1 .."""
    place = step % max(1, 2 * count - 2)
    return place if place < count else 2 * count - 2 - place


def psnr(a, b):
    """dB between two uint8 pictures."""
    return float(10 * np.log10(255 ** 2 / max(1e-9, np.mean((a.astype(np.float64) - b) ** 2))))


def ssim(a, b):
    """Mean structural similarity of two uint8 pictures [h, w, 3], Gaussian window of sigma 1.5."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    blur = lambda x: cv2.GaussianBlur(x, (11, 11), 1.5)
    ma, mb = blur(a), blur(b)
    va, vb, vab = blur(a * a) - ma * ma, blur(b * b) - mb * mb, blur(a * b) - ma * mb
    return float((((2 * ma * mb + 6.5025) * (2 * vab + 58.5225)) / ((ma * ma + mb * mb + 6.5025) * (va + vb + 58.5225))).mean())
