"""The speech corpus: sentences from a small grammar, spoken by flite, with phoneme times.

    speak.py corpus     WORK/corpus/NNNNN.wav (16 kHz mono 16 bit) and WORK/corpus.json
    speak.py states     WORK/states.npy, mouth states [n, 9] for the picture network's training
    speak.py samples    samples/hello.wav, silence.wav, LICENSE.md of the repository

WORK is $PRESENTER_WORK, or `work` beside this file. Every clip has its own seed, so an interrupted run
resumes where it stopped.
"""
import argparse
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from scipy import signal
from scipy.io import wavfile

import mouth

HERE = Path(__file__).resolve().parent
WORK = Path(os.environ.get("PRESENTER_WORK", HERE / "work"))
RATE = 16000
VOICES = ("slt", "rms", "kal16", "kal")  # used in training
UNHEARD = "awb"  # the voice held out for the score
PITCH = {"slt": (140, 225), "rms": (80, 135), "kal16": (80, 150), "kal": (80, 150), "awb": (95, 150)}  # Hz

NAMES = """Ada Amir Beatrice Boris Charlotte Chung Daphne Dmitri Eleanor Emeka Fatima Felix Gabriel Grace Hannah Hugo Ingrid Isaac Jasper Joy
Kamala Keith Laura Leo Mabel Malcolm Naomi Nigel Olga Oscar Paula Peter Quentin Ruth Rajesh Sophie Samuel Thomas Theodora Ursula Victor
Vivian Walter Wendy Xavier Yolanda Yusuf Zachary Zoe Barbara Philip Matthew Margaret""".split()
PLACES = """Boston Paris Cairo Lisbon Mumbai Toronto Vienna Oslo Chicago Moscow Berlin Sydney Geneva Kyoto Zurich Dublin Havana Warsaw Bombay
Portugal Germany Ethiopia Japan Brazil Vermont Washington Yorkshire Philadelphia Shanghai Jamaica""".split()
THINGS = """apple balloon basket bath beach bicycle blanket boat book bottle bowl bridge brush bubble bus cabbage camera candle carpet castle
chair cheese cherry chimney church clock cloud coffee compass cottage crown cup curtain daughter diamond dish dog door dragon dream drum
eagle earth elephant engine envelope farm father feather field film finger fire fish flag flower flute forest fork fox frog garden garage
ghost giraffe glove goat guitar hammer harbour hat helmet hill honey horse house hoof island jacket jam judge jungle kettle key kitchen
kite ladder lamp leaf lemon letter library lion lunch machine map market meadow measure medicine melody mirror moon mountain mouse museum
mushroom needle nest newspaper notebook oak ocean office onion orange orchard owl page paint palace pancake paper parade path peach pebble
pencil pepper piano picture pillow pipe pizza planet plate poem pond potato prize pumpkin puppy purse puzzle question quilt rabbit radio
railway rain recipe ribbon ring river road robin rocket roof rope rose ruler sail salad sandwich scarf school scissors sheep ship shoe
shop shovel sister skirt snow soap sock song soup spoon star station stone storm story street sugar sweater table tea teacher telephone
temple tent theatre thief thumb thunder ticket tiger toast tooth tower toy train treasure tree trumpet truth turtle umbrella valley van
vase vegetable video village violin voice waffle wagon wall watch water wave weather wheel whale whistle window winter wolf wood yacht
yard zebra zipper breath mouth month moth path pathway leather brother mother""".split()
QUALITIES = """able ancient awful beautiful big bitter black blue bold brave bright broad brown calm careful cheap clean clever cold cool
crazy curious dark deep dirty dry dusty early easy empty famous fast few final fine foggy fresh friendly full funny fuzzy gentle giant good
green grey happy heavy helpful honest huge hungry icy jolly kind large lazy light little lonely long loud lovely lucky muddy mild modern
narrow new noisy odd old open orange pale perfect pink plain polite poor popular proud purple quick quiet rare ready red rich rough round
royal rusty sad safe sharp shiny short shy silent silver simple sleepy slow small smooth soft sour special square steep strange strong
sweet tall thick thin tidy tiny tired ugly unusual vague valuable vast violet warm weak wet white whole wide wild wise wooden wrong yellow
young useful smooth thorough worthy""".split()
VERBS = """admired arranged baked borrowed bought brought brushed built buried carried caught chased chose cleaned collected copied covered
crushed delivered described destroyed discovered divided drew dropped enjoyed examined fetched filled fixed followed forgot found gathered
gave guarded heard helped hid imagined invented joined kept kicked lifted liked lost loved made measured mended mixed moved needed noticed
offered opened ordered packed painted photographed picked planned played polished praised prepared promised pulled pushed raised reached
remembered removed repaired returned saved saw searched sold shook shared showed sketched smelled stole studied swapped threw took touched
trusted used viewed visited voted wanted washed watched welcomed wiped wished wrapped wrote""".split()
GOING = """asking beginning breathing calling climbing coming cooking crying dancing dreaming driving eating falling fishing flying giving going
growing helping hiding hoping humming jumping laughing learning leaving listening living looking moving painting playing pushing reading
riding running sailing searching shouting singing sitting skating sleeping smiling speaking swimming talking teaching thinking throwing
travelling waiting walking washing watching whispering winning working writing yawning""".split()
HOW = """again already always badly bravely briefly carefully cheerfully clearly cruelly early easily eagerly equally evenly everywhere far
finally firmly gently gladly happily honestly hopefully just lately loudly mostly nearly never nicely often openly perfectly politely
possibly probably properly proudly quickly quietly rarely really roughly sadly safely seldom sharply simply slowly smoothly softly sometimes
soon steadily suddenly surely then there thoroughly together tomorrow twice usually vaguely very well warmly wisely yesterday""".split()
WHERE = """above across along among around before behind below beneath beside beyond by inside near on over past through toward under with
without from for about""".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April June July August September October".split()
QUESTIONS = ["why", "when", "how", "where", "who told you that", "what makes you think that", "which of you said that"]
SHORT = """Thank you very much. Good morning, everybody! Please come in. I'd love to. Maybe, maybe not. Not before five. Oh, what a pity! No
problem at all. Happy birthday! See you later. Why not? Wow, how beautiful! Absolutely perfect. Excuse me, please. Me too. Give me five
minutes. Both of them. What a wonderful view! You're welcome. Let me see. Stop it! Have a nice evening. Who is there? Never mind. My
pleasure.""".replace("\n", " ")
SHORT = re.findall(r"[^.!?]+[.!?]", SHORT)


def sentence(rng):
    """One random English sentence."""
    pick = lambda words: words[rng.integers(len(words))]
    article = lambda: pick(["the", "a", "this", "that", "my", "your", "our", "her", "his", "their", "every", "some", "the", "the"])

    def thing():
        words = [article()]
        if rng.random() < 0.6:
            words.append(pick(QUALITIES))
        if rng.random() < 0.12:
            words += ["and", pick(QUALITIES)]
        return " ".join(words + [pick(THINGS)])

    def number():
        kind = rng.integers(5)
        if kind == 0:
            return str(rng.integers(2, 100))
        if kind == 1:
            return str(rng.integers(100, 10000))
        if kind == 2:
            return f"{rng.integers(1, 40)} point {rng.integers(1, 10)}"
        return pick("two three four five six seven eight nine ten eleven twelve thirteen fifteen twenty forty fifty".split())

    who = lambda: pick([lambda: pick(NAMES), lambda: pick(["I", "you", "we", "they", "he", "she"]), thing])()
    place = lambda: f"{pick(WHERE)} {thing()}"
    forms = [
        lambda: f"{who()} {pick(VERBS)} {thing()}",
        lambda: f"{who()} {pick(VERBS)} {thing()} {place()}",
        lambda: f"{who()} {pick(HOW)} {pick(VERBS)} {thing()}, and {who()} {pick(VERBS)} {thing()} {place()}",
        lambda: f"{thing()} is {pick(QUALITIES)}, but {thing()} is {pick(['more ', 'not ', 'much too ', 'less ', 'fairly '])}{pick(QUALITIES)}",
        lambda: f"why did {who()} leave {thing()} {place()}?",
        lambda: f"have you ever seen {thing()} {pick(GOING)} {place()}?",
        lambda: f"is {pick(NAMES)} {pick(GOING)} in {pick(PLACES)} on {pick(DAYS)}?",
        lambda: f"what would {pick(NAMES)} do with {number()} {pick(THINGS)}s?",
        lambda: f"please bring {number()} {pick(THINGS)}s and {thing()} to {pick(NAMES)}",
        lambda: f"{pick(NAMES)} and {pick(NAMES)} are {pick(GOING)} from {pick(PLACES)} to {pick(PLACES)}",
        lambda: f"the number is {number()}, {number()}, {number()}",
        lambda: f"on {pick(DAYS)} the {rng.integers(1, 29)}th, {who()} {pick(VERBS)} {thing()}",
        lambda: f"if {who()} {pick(VERBS)} {thing()}, {pick(NAMES)} will be {pick(QUALITIES)} {pick(HOW)}",
        lambda: f"{pick(['well', 'oh', 'yes', 'no', 'hm', 'of course', 'look', 'you know'])}, {who()} {pick(VERBS)} it {pick(HOW)}",
        lambda: f"there are {number()} {pick(QUALITIES)} {pick(THINGS)}s {place()}",
        lambda: f"{pick(GOING)} {place()} is {pick(QUALITIES)}, said {pick(NAMES)}",
        lambda: f"nobody {pick(VERBS)} {thing()} as {pick(HOW)} as {pick(NAMES)}",
        lambda: f"both {thing()} and {thing()} were {pick(QUALITIES)} and {pick(QUALITIES)}",
        lambda: f"{pick(NAMES)}, {pick(QUESTIONS)}?",
        lambda: pick(SHORT).strip(),
        lambda: f"my favourite {pick(THINGS)} costs {number()} dollars in {pick(PLACES)}",
        lambda: f"{thing()}, {thing()}, {thing()}, and {thing()}",
        lambda: f"keep {pick(GOING)}, {pick(NAMES)}, and {pick(HOW)} open {thing()} for {pick(NAMES)}",
    ]
    text = pick(forms)()
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".?!" else text + pick([".", ".", ".", "!"])


def speak(text, voice, stretch=1.0, pitch=None):
    """-> (samples [n] float32 -1..1 at 16 kHz, phonemes, their end times in seconds)."""
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "a.wav")
        command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch:.3f}"]
        if pitch:
            command += ["--seti", f"int_f0_target_mean={pitch:.0f}"]
        out = subprocess.run(command + ["-psdur", "-t", text, "-o", file], check=True, capture_output=True, text=True).stdout
        rate, pcm = wavfile.read(file)
    samples = pcm.astype(np.float32) / 32768
    if rate != RATE:
        samples = signal.resample_poly(samples, RATE, rate).astype(np.float32)
    names, ends = [], []
    for name, end in re.findall(r"(\w+):([\d.]+)", out):
        end = float(end)
        if ends and end <= ends[-1]:  # a second utterance starts at 0 again; ignore its words
            break
        names.append(name)
        ends.append(end)
    return samples[:int(ends[-1] * RATE) + 1], names, ends


def room(rng, samples):
    """Adds the echo of a random room: a decaying noise tail after the direct sound."""
    decay = rng.uniform(0.08, 0.5)  # seconds to -60 dB
    t = np.arange(int(decay * RATE)) / RATE
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / decay)
    tail = signal.lfilter([1 - 0.4], [1, -0.4], tail)
    tail[:32] = 0
    tail *= rng.uniform(0.1, 0.6) / np.sqrt(np.sum(tail ** 2) + 1e-9)
    tail[0] = 1
    return signal.fftconvolve(samples, tail)[:len(samples)]


def hiss(rng, count):
    """Noise of a random colour, hum, or a mix; rms 1."""
    noise = np.fft.rfft(rng.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / RATE) + 30
    noise = np.fft.irfft(noise * frequency ** -rng.uniform(0, 1.2), count)
    noise /= noise.std() + 1e-9
    if rng.random() < 0.25:
        t = np.arange(count) / RATE
        hum = sum(np.sin(2 * np.pi * 50 * k * t + k) / k for k in range(1, 6))
        noise = noise + rng.uniform(0.3, 1.5) * hum / hum.std()
    return noise / noise.std()


def coloured(rng, samples):
    """A random smooth equaliser, like a different microphone."""
    spectrum = np.fft.rfft(samples)
    frequency = np.linspace(0, 1, len(spectrum))
    knots = rng.uniform(-5, 5, 7)  # dB
    return np.fft.irfft(spectrum * 10 ** (np.interp(frequency ** 0.6, np.linspace(0, 1, 7), knots) / 20), len(samples))


def clip(index, held=False, voice=None):
    """One clip of the corpus: a few sentences with silences -> (samples [n] float, dict of its facts)."""
    rng = np.random.default_rng([index, 1 if held else 0])
    voice = voice or VOICES[rng.choice(len(VOICES), p=[0.36, 0.3, 0.2, 0.14])]
    stretch, pitch = float(np.exp(rng.normal(0, 0.17)).clip(0.68, 1.5)), float(rng.uniform(*PITCH[voice]))
    if held:
        stretch = float(rng.uniform(0.9, 1.15))
    parts, names, ends, texts, now = [], [], [], [], 0.0

    def silence(seconds):
        nonlocal now
        count = int(seconds * RATE)
        if not count:
            return
        parts.append(np.zeros(count))
        now += count / RATE
        names.append("pau")
        ends.append(now)

    silence(rng.choice([0, rng.uniform(0, 0.4), rng.uniform(0, 1.5)], p=[0.3, 0.5, 0.2]))
    for _ in range(1 if held else rng.integers(1, 4)):
        text = sentence(rng)
        samples, some, stops = speak(text, voice, stretch, pitch)
        parts.append(samples * (1 if held else 10 ** (rng.uniform(-4, 4) / 20)))
        names += some
        ends += [now + s for s in stops]
        now += len(samples) / RATE
        ends[-1] = now
        texts.append(text)
        silence(rng.choice([0, rng.uniform(0.1, 0.5), rng.uniform(0.5, 2.0)], p=[0.4, 0.4, 0.2]))
    samples = np.concatenate(parts)
    if not held:
        if rng.random() < 0.6:  # a different throat size: changes pitch, formants and times together
            factor = float(np.exp(rng.uniform(np.log(0.84), np.log(1.19))))
            up = int(round(1000 * factor))
            samples = signal.resample_poly(samples, up, 1000)
            ends = [e * up / 1000 for e in ends]
        if rng.random() < 0.5:
            samples = coloured(rng, samples)
        if rng.random() < 0.45:
            samples = room(rng, samples)
        samples *= 10 ** (rng.uniform(-26, -3) / 20) / (np.abs(samples).max() + 1e-9)
        if rng.random() < 0.6:
            level = np.sqrt(np.mean(samples ** 2)) * 10 ** (-rng.uniform(12, 50) / 20)
            samples = samples + level * hiss(rng, len(samples))
    samples = np.clip(samples, -1, 32767 / 32768)
    return samples, {"voice": voice, "texts": texts, "phonemes": names, "ends": [round(float(e), 5) for e in ends],
                     "seconds": len(samples) / RATE, "set": "held" if held else "train"}


def noise_clip(index):
    """Audio without speech: the mouth rests."""
    rng = np.random.default_rng([index, 2])
    count = int(rng.uniform(2, 6) * RATE)
    level = 10 ** (-rng.uniform(20, 75) / 20) if index % 5 else 0
    return level * hiss(rng, count), {"voice": "", "texts": [], "phonemes": ["pau"], "ends": [count / RATE], "seconds": count / RATE, "set": "train"}


def corpus(minutes):
    """Writes clips until there are `minutes` of training audio."""
    folder, listing = WORK / "corpus", WORK / "corpus.json"
    folder.mkdir(parents=True, exist_ok=True)
    clips = json.loads(listing.read_text()) if listing.exists() else []
    done = {c["file"] for c in clips}

    def add(name, make):
        if name not in done:
            samples, facts = make()
            wavfile.write(folder / name, RATE, (samples * 32767).astype(np.int16))
            clips.append({"file": name, **facts})

    def save():
        part = listing.with_suffix(".part")
        part.write_text(json.dumps(clips))
        part.replace(listing)

    for k in range(24):
        add(f"awb{k:03d}.wav", lambda: clip(k, True, UNHEARD))
    for k in range(20):
        add(f"held{k:03d}.wav", lambda: clip(100 + k, True, VOICES[k % len(VOICES)]))
    index, seconds = 0, 0.0
    while seconds < 60 * minutes:
        name = f"{index:05d}.wav"
        add(name, lambda: noise_clip(index) if index % 14 == 13 else clip(index))
        seconds = sum(c["seconds"] for c in clips if c["set"] == "train")
        index += 1
        if index % 100 == 0:
            save()
            print(f"{index} clips, {seconds / 60:.1f} minutes", flush=True)
    save()
    print(f"{len(clips)} clips, {seconds / 60:.1f} minutes to train on")


def states(count):
    """Writes WORK/states.npy: [count, 9] float32 mouth states, rare extremes well represented."""
    rng = np.random.default_rng(3)
    seen = []
    for facts in json.loads((WORK / "corpus.json").read_text()):
        if facts["set"] == "train" and facts["voice"]:
            times = rng.uniform(0, facts["seconds"], int(facts["seconds"] * 25))
            seen.append(mouth.tracks(facts["phonemes"], facts["ends"], times))
    seen = np.concatenate(seen)
    resting = np.abs(seen).max(1) < 0.02
    moving = seen[~resting]
    # thin out common states: the weight of each is inverse to the number of states in its cell of a coarse grid
    cells = np.floor(moving / np.array([0.2, 0.5, 0.34, 0.5, 0.5, 0.34, 0.34, 0.5, 0.5])).astype(int)
    _, cell, crowd = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    weight = crowd[cell.ravel()] ** -0.6
    from_speech = int(0.8 * count)
    rests = int(0.05 * from_speech)
    picked = moving[rng.choice(len(moving), from_speech - rests, replace=False, p=weight / weight.sum())]
    near_rest = moving[rng.choice(np.flatnonzero(np.abs(moving).max(1) < 0.25), rests - rests // 2)]
    visemes = np.stack([target for target, _ in mouth.VISEMES.values()])
    shut = np.zeros((2, 9), np.float32)
    shut[0, mouth.PRESS], shut[1, mouth.TUCK] = 0.95, 1
    shut[1, mouth.OPEN] = 0.12
    visemes = np.concatenate([visemes, shut])
    blends = int(0.15 * count)
    a, b = rng.integers(len(visemes), size=(2, blends))
    mix = rng.uniform(-0.1, 1.1, (blends, 1)).astype(np.float32)
    blend = visemes[a] * (1 - mix) + visemes[b] * mix
    extremes = visemes[rng.integers(len(visemes), size=count - from_speech - blends)] * rng.uniform(1.0, 1.35, (count - from_speech - blends, 1))
    every = np.concatenate([picked, near_rest, np.zeros((rests // 2, 9)), blend, extremes]).clip(mouth.LOW, 1).astype(np.float32)
    every[:, mouth.PRESS] *= every[:, mouth.OPEN] < 0.05
    np.save(WORK / "states.npy", rng.permutation(every))
    print(f"{len(every)} states, mean {every.mean(0).round(2)}, moving part of speech {1 - resting.mean():.2f}")


HELLO = ("Hello! My name is Ada. Give me any voice, and my lips will follow it. "
         "Lipsync makes this video on your own computer. What shall I say for you?")


def samples():
    """Writes the repository's audio samples."""
    folder = HERE.parent.parent / "samples"
    folder.mkdir(exist_ok=True)
    sound, _, _ = speak(HELLO, "slt", 0.97)
    sound = np.concatenate([np.zeros(RATE // 5), sound, np.zeros(RATE // 5)])
    sound *= 0.7 / np.abs(sound).max()
    wavfile.write(folder / "hello.wav", RATE, (sound * 32767).astype(np.int16))
    wavfile.write(folder / "silence.wav", RATE, np.zeros(3 * RATE, np.int16))
    (folder / "LICENSE.md").write_text(
        "# Sample sounds\n\n"
        f"`hello.wav` ({len(sound) / RATE:.1f} s) is synthetic speech: the words below, written for this project and spoken by flite 2.2's voice `slt`.\n"
        "flite and its voices are free software of Carnegie Mellon University under a BSD-like licence that permits use of its output.\n"
        "`silence.wav` (3 s) is digital silence. Both are 16 kHz, 16 bit, mono, made by `scripts/presenter/speak.py samples`,\n"
        f"and given to the public domain under CC0-1.0.\n\n> {HELLO}\n")
    print(f"hello.wav {len(sound) / RATE:.2f} s, greatest {np.abs(sound).max():.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("corpus", "states", "samples"))
    parser.add_argument("--minutes", type=float, default=120, help="of training sound (corpus)")
    parser.add_argument("--count", type=int, default=3000, help="of states (states)")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    if options.step == "corpus":
        corpus(options.minutes)
    elif options.step == "states":
        states(options.count)
    else:
        samples()


if __name__ == "__main__":
    main()
