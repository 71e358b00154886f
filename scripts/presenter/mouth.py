"""Phonemes with times -> mouth controls: the ground truth for the presenter's networks.

A mouth state is 9 float32 controls, all 0 = relaxed closed lips (see CONTROLS).
Each phoneme is one viseme or, for diphthongs, two; a viseme has a target and a dominance
(how much it matters) per control. The track of a control is the average of
the targets, weighted by dominance and by a raised-cosine kernel over time: neighbours blend
without a step, and the kernel's finite width makes silence exactly rest. Lip closures
(p b m) and lower lip under teeth (f v) are added as gates with a plateau, so that
they are reached however fast the speech is.
"""
import numpy as np

CONTROLS = ("open", "wide", "round", "press", "tuck", "upper", "lower", "tongue", "tongue_out")
OPEN, WIDE, ROUND, PRESS, TUCK, UPPER, LOWER, TONGUE, TONGUE_OUT = range(9)
LOW = np.array([0, -1, 0, 0, 0, 0, 0, 0, 0], np.float32)
STEP = 0.005  # seconds between points of the inner grid

# Reach of the kernel on each side in seconds, before and after: lips round early, the tongue is quick.
# A kernel with reach a (before) and b (after) at time t covers phonemes from t - b to t + a.
REACH = {OPEN: (0.11, 0.105), WIDE: (0.115, 0.105), ROUND: (0.125, 0.105), UPPER: (0.1, 0.095), LOWER: (0.1, 0.095),
         TONGUE: (0.055, 0.055), TONGUE_OUT: (0.055, 0.055)}


def _viseme(targets, dominance=None, other=0.35):
    """({control: target}, {control: dominance}) -> ([9], [9]); a named target has dominance 1 by default."""
    target, weight = np.zeros(9, np.float32), np.full(9, other, np.float32)
    for control, value in targets.items():
        target[control], weight[control] = value, 1.0
    for control, value in (dominance or {}).items():
        weight[control] = value
    return target, weight


VISEMES = {
    "rest": _viseme({c: 0 for c in range(9)}, {c: 1.1 for c in range(9)}),
    "pp": _viseme({OPEN: 0.05}, {OPEN: 0.8}, other=0.12),
    "ff": _viseme({OPEN: 0.10, UPPER: 0.3}, {OPEN: 0.9, UPPER: 0.8}, other=0.15),
    "th": _viseme({OPEN: 0.20, TONGUE_OUT: 1.0, UPPER: 0.15, LOWER: 0.2}, {TONGUE_OUT: 2, TONGUE: 1}, other=0.2),
    "dd": _viseme({OPEN: 0.14, TONGUE: 0.85, LOWER: 0.25, UPPER: 0.15, WIDE: 0.15}, {WIDE: 0.25, LOWER: 0.5, UPPER: 0.5, OPEN: 0.8}, other=0.2),
    "nn": _viseme({OPEN: 0.15, TONGUE: 0.95, LOWER: 0.2, UPPER: 0.1, WIDE: 0.12}, {WIDE: 0.25, LOWER: 0.5, UPPER: 0.5, OPEN: 0.8}, other=0.2),
    "ll": _viseme({OPEN: 0.26, TONGUE: 1.0, UPPER: 0.15, LOWER: 0.15}, {OPEN: 0.7, UPPER: 0.5, LOWER: 0.5}, other=0.2),
    "kk": _viseme({OPEN: 0.24, LOWER: 0.12}, {OPEN: 0.55, LOWER: 0.4, TONGUE: 0.6}, other=0.15),
    "hh": _viseme({OPEN: 0.3}, {OPEN: 0.25, TONGUE: 0.6}, other=0.1),
    "ch": _viseme({OPEN: 0.13, ROUND: 0.62, UPPER: 0.4, LOWER: 0.45, WIDE: -0.15}, {OPEN: 1.3, ROUND: 1.1}),
    "ss": _viseme({OPEN: 0.06, WIDE: 0.4, UPPER: 0.25, LOWER: 0.42, TONGUE: 0.2}, {OPEN: 1.5, WIDE: 0.6}, other=0.25),
    "rr": _viseme({OPEN: 0.20, ROUND: 0.48, UPPER: 0.15, LOWER: 0.3, WIDE: -0.15}, {OPEN: 0.8, ROUND: 0.9, WIDE: 0.5}),
    "ii": _viseme({OPEN: 0.16, WIDE: 0.85, UPPER: 0.25, LOWER: 0.25, ROUND: 0}, {OPEN: 1.1, WIDE: 1.3, ROUND: 1.2}),
    "ih": _viseme({OPEN: 0.30, WIDE: 0.45, UPPER: 0.15, LOWER: 0.2}, {ROUND: 0.5}),
    "eh": _viseme({OPEN: 0.50, WIDE: 0.42, UPPER: 0.2, LOWER: 0.25}, {ROUND: 0.7}),
    "ae": _viseme({OPEN: 0.76, WIDE: 0.5, UPPER: 0.3, LOWER: 0.3}, {OPEN: 1.2, ROUND: 0.8}),
    "aa": _viseme({OPEN: 1.0, WIDE: 0.08, LOWER: 0.2}, {OPEN: 1.3, ROUND: 0.7}),
    "ah": _viseme({OPEN: 0.60, WIDE: 0.08, LOWER: 0.12}, {ROUND: 0.5}),
    "ax": _viseme({OPEN: 0.30, WIDE: 0.08}, {OPEN: 0.6, WIDE: 0.3}, other=0.25),
    "oh": _viseme({OPEN: 0.70, ROUND: 0.55, WIDE: -0.3, LOWER: 0.1}, {OPEN: 1.2, ROUND: 1.1}),
    "uh": _viseme({OPEN: 0.30, ROUND: 0.5, WIDE: -0.25, LOWER: 0.1}),
    "uw": _viseme({OPEN: 0.20, ROUND: 0.95, WIDE: -0.5}, {OPEN: 1.1, ROUND: 1.5, WIDE: 1.2}),
    "ww": _viseme({OPEN: 0.09, ROUND: 1.0, WIDE: -0.6}, {OPEN: 1.2, ROUND: 1.6, WIDE: 1.2}),
}

PHONEMES = {
    "pau": ["rest"], "p": ["pp"], "b": ["pp"], "m": ["pp"], "em": ["ax", "pp"], "f": ["ff"], "v": ["ff"],
    "th": ["th"], "dh": ["th"], "t": ["dd"], "d": ["dd"], "dx": ["dd"], "n": ["nn"], "en": ["ax", "nn"],
    "l": ["ll"], "el": ["ax", "ll"], "k": ["kk"], "g": ["kk"], "ng": ["kk"], "hh": ["hh"],
    "ch": ["ch"], "jh": ["ch"], "sh": ["ch"], "zh": ["ch"], "s": ["ss"], "z": ["ss"],
    "r": ["rr"], "er": ["rr"], "axr": ["rr"], "iy": ["ii"], "y": ["ii"], "ih": ["ih"], "ix": ["ih"],
    "eh": ["eh"], "ae": ["ae"], "aa": ["aa"], "ah": ["ah"], "ax": ["ax"], "ao": ["oh"], "uh": ["uh"], "uw": ["uw"], "w": ["ww"],
    "ay": ["aa", "ih"], "aw": ["aa", "uw"], "oy": ["oh", "ih"], "ey": ["eh", "ii"], "ow": ["oh", "uw"],
}
VOWELS = set("iy ih ix eh ae aa ah ax ao uh uw er axr ay aw oy ey ow".split())
CLOSED, TUCKED = {"p", "b", "m"}, {"f", "v"}


def segments(phonemes, ends):
    """Phoneme names and end times in seconds -> (starts [n], ends [n], targets [n,9], dominance [n,9])."""
    rows, start = [], 0.0
    for name, end in zip(phonemes, ends):
        length = end - start
        visemes = PHONEMES.get(name, ["ax"])
        cuts = np.linspace(start, end, len(visemes) + 1)
        if len(visemes) == 2:
            cuts[1] = start + 0.58 * length
        for k, viseme in enumerate(visemes):
            target, weight = VISEMES[viseme]
            target, weight = target.copy(), weight.copy()
            if name in VOWELS:  # hurried vowels are smaller
                target[OPEN] *= 0.62 + 0.45 * min(1.0, length / 0.13)
                target[[WIDE, ROUND, UPPER, LOWER]] *= 0.8 + 0.2 * min(1.0, length / 0.11)
                if len(visemes) == 2 and k == 1:
                    weight *= 0.8
            if name == "pau" and length < 0.15:  # a short pause closes the mouth only partly
                weight *= 0.25 + 0.5 * length / 0.15
            rows.append((cuts[k], cuts[k + 1], target, weight))
        start = end
    return tuple(np.array(column, np.float64) for column in zip(*rows))


def _smoothstep(x):
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _gate(phonemes, ends, names, times, attack, decay, until):
    """0..1 at each time: 1 on a plateau of at least 50 ms in each phoneme of `names`."""
    gate, start = np.zeros(len(times)), 0.0
    for name, end in zip(phonemes, ends):
        if name in names:
            first, last = start, start + until * (end - start)
            short = max(0.0, 0.05 - (last - first)) / 2
            first, last = first - short, last + short
            near = slice(*np.searchsorted(times, [first - attack, last + decay]))
            t = times[near]
            gate[near] = np.maximum(gate[near], np.minimum(_smoothstep((t - first + attack) / attack), _smoothstep((last + decay - t) / decay)))
        start = end
    return gate


def closures(phonemes, ends):
    """(start, end) in seconds of each p, b, m."""
    starts = [0.0, *ends[:-1]]
    return [(s, e) for name, s, e in zip(phonemes, starts, ends) if name in CLOSED]


def tracks(phonemes, ends, times):
    """Phonemes, their end times and the wanted times (seconds, any order) -> controls [len(times), 9] float32.

    Before the first phoneme and after the last the mouth is at rest.
    """
    times = np.asarray(times, np.float64)
    if not len(phonemes):
        return np.zeros((len(times), 9), np.float32)
    starts, stops, targets, weights = segments(phonemes, ends)
    pad = 0.3
    grid = np.arange(-pad, stops[-1] + pad, STEP)
    which = np.searchsorted(stops, grid, side="right").clip(0, len(stops) - 1)
    outside = (grid < 0) | (grid >= stops[-1])
    rest_target, rest_weight = VISEMES["rest"]
    target, weight = targets[which], weights[which]
    target[outside], weight[outside] = rest_target, rest_weight
    track = np.zeros((len(grid), 9))
    for control, (before, after) in REACH.items():
        lead, lag = int(before / STEP), int(after / STEP)
        side = lambda n: 0.5 + 0.5 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))
        kernel = np.concatenate([side(lead)[::-1], [1.0], side(lag)])  # first tap: the latest time covered
        if lead > lag:
            kernel = np.concatenate([kernel, np.zeros(lead - lag)])
        blend = lambda x: np.convolve(x, kernel, "same")
        track[:, control] = blend(target[:, control] * weight[:, control]) / np.maximum(blend(weight[:, control]), 1e-9)
    track[np.abs(track) < 1e-4] = 0

    tuck = _gate(phonemes, ends, TUCKED, grid, 0.075, 0.075, 0.85)
    shut = _gate(phonemes, ends, CLOSED, grid, 0.085, 0.085, 0.75)
    tuck *= 1 - shut
    track[:, OPEN] += tuck * (np.minimum(track[:, OPEN], 0.12) - track[:, OPEN])
    track[:, TUCK] = tuck
    track[:, ROUND] *= 1 - 0.5 * tuck
    for control in (LOWER, TONGUE, TONGUE_OUT):
        track[:, control] *= 1 - tuck
    for control in (OPEN, UPPER, LOWER, TONGUE, TONGUE_OUT):
        track[:, control] *= 1 - shut
    track[:, WIDE] *= 1 - 0.4 * shut
    track[:, ROUND] *= 1 - 0.35 * shut
    track[:, PRESS] = 0.95 * _smoothstep((shut - 0.6) / 0.4)
    track = np.clip(track, LOW, 1)
    return np.stack([np.interp(times, grid, track[:, c], left=0, right=0) for c in range(9)], 1).astype(np.float32)
