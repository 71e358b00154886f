#!/usr/bin/env python3
"""Writes a full-size model of the 328 family with random weights, for benchmarks: it shows nobody.

    python3 -m venv venv && venv/bin/pip install -r scripts/bench_model.txt
    venv/bin/python scripts/bench_model.py --width full --out DIR     DIR/generator.onnx, DIR/audio_encoder.onnx

The graphs match what PyTorch exports for the 328 model: normalization folded into the convolutions (unless --batch-norm
is given), computed shapes left in as chains of nodes. Every layer is scaled by its activations, so that the output is
neither flat nor saturated and depends on both the background and the audio. The same --seed and numpy version give the
same files.
"""
import argparse
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

# channels from the outermost level inward; tests/models/unet_generator.onnx is `tiny`
WIDTHS = {"full": (32, 64, 128, 256, 512), "mobile": (16, 32, 64, 128, 256), "tiny": (4, 8, 8, 16, 16)}
INNER, WINDOW, BANDS, BLOCK, EMBEDDING = 320, (32, 16, 16), 80, 16, 512
SAMPLES = 6  # random inputs that the layers are scaled on
DEEP_GAIN = 1.4  # weight of the upsampled input relative to the skip connection: keeps the audio visible at full size
SHIFT = 0.8  # mean of a layer's values in standard deviations: most pass the ReLU, so that no few values dominate
PICTURE_SPREAD = 0.15  # standard deviation of the output picture, whose range is 0..1
EPSILON = 1e-5  # of BatchNorm


class Flow:
    """A tensor of the graph: its name, and its values for the samples, [SAMPLES, C, H, W]."""

    def __init__(self, name, values):
        self.name, self.values = name, values


class Graph:
    """Nodes and weights, named after their PyTorch modules, and evaluated on the samples as they are added."""

    def __init__(self, rng, opset, batch_norm):
        self.rng, self.opset, self.batch_norm = rng, opset, batch_norm
        self.nodes, self.weights, self.inputs, self.used, self.macs = [], [], [], {}, 0

    def input(self, name, values):
        self.inputs.append((name, values.shape[1:]))
        return Flow(name, values)

    def node(self, kind, scope, inputs, **attributes):
        count = self.used[scope, kind] = self.used.get((scope, kind), -1) + 1
        name = f"{scope}/{kind}" + (f"_{count}" if count else "")
        output = f"{name}_output_0"
        self.nodes.append(helper.make_node(kind, inputs, [output], name, **attributes))
        return output

    def constant(self, scope, value):
        return self.node("Constant", scope, [], value=numpy_helper.from_array(np.asarray(value)))

    def weight(self, scope, name, values):
        name = f"{scope}.{name}".lstrip("/").replace("/", ".")
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def conv(self, scope, x, kernels, normalise, stride=(1, 1), pad=(0, 0), groups=1, bias=None):
        """Convolution with `kernels` [out, in / groups, h, w]; with `normalise`, then BatchNorm with the samples' statistics."""
        values = convolve(x.values, kernels, stride, pad, groups)
        self.macs += int(np.prod(values.shape[1:])) * int(np.prod(kernels.shape[1:]))
        shape = dict(dilations=[1, 1], group=groups, kernel_shape=list(kernels.shape[2:]), pads=[*pad, *pad], strides=list(stride))
        if not normalise:
            names = [x.name, self.weight(scope, "weight", kernels)]
            if bias is not None:
                names.append(self.weight(scope, "bias", bias))
                values = values + bias[:, None, None]
            return Flow(self.node("Conv", scope, names, **shape), values)
        mean, variance = values.mean((0, 2, 3)), values.var((0, 2, 3))
        # Halfway to the layer's variance: a channel that hardly varies on the samples must not be amplified too much.
        variance = np.sqrt(variance * variance.mean())
        scale = self.rng.uniform(0.8, 1.2, len(kernels)).astype(np.float32)
        shift = self.rng.normal(SHIFT, 0.2, len(kernels)).astype(np.float32)
        factor = scale / np.sqrt(variance + EPSILON)
        values = values * factor[:, None, None] + (shift - mean * factor)[:, None, None]
        if self.batch_norm:
            out = self.node("Conv", scope, [x.name, self.weight(scope, "weight", kernels)], **shape)
            table = [self.weight(scope, f"norm.{n}", v) for n, v in
                     (("weight", scale), ("bias", shift), ("running_mean", mean), ("running_var", variance))]
            return Flow(self.node("BatchNormalization", scope, [out, *table], epsilon=EPSILON, momentum=0.9), values)
        folded = kernels * factor[:, None, None, None]
        names = [x.name, self.weight(scope, "weight", folded), self.weight(scope, "bias", shift - mean * factor)]
        return Flow(self.node("Conv", scope, names, **shape), values)

    def dense(self, scope, x, out, size=(1, 1), stride=(1, 1), pad=(0, 0), gains=None):
        """Normalized convolution with random kernels; `gains` [in] weighs the input channels."""
        kernels = self.rng.standard_normal((out, x.values.shape[1], *size)).astype(np.float32)
        return self.conv(scope, x, kernels if gains is None else kernels * gains[:, None, None], True, stride, pad)

    def depthwise(self, scope, x, stride):
        """Kernels that smooth more than they sharpen, as trained ones mostly do."""
        channels, smooth = x.values.shape[1], np.outer((1, 2, 1), (1, 2, 1)).astype(np.float32) / 16
        kernels = smooth + self.rng.normal(0, 0.06, (channels, 1, 3, 3)).astype(np.float32)
        return self.conv(scope, x, kernels, True, (stride, stride), (1, 1), channels)

    def relu(self, scope, x):
        return Flow(self.node("Relu", scope, [x.name]), np.maximum(x.values, 0))

    def add(self, scope, x, y):
        return Flow(self.node("Add", scope, [x.name, y.name]), x.values + y.values)

    def concat(self, scope, *parts):
        return Flow(self.node("Concat", scope, [p.name for p in parts], axis=1), np.concatenate([p.values for p in parts], 1))

    def upsample(self, scope, x):
        roi = "" if self.opset >= 13 else self.constant(scope, np.zeros(0, np.float32))
        scales = self.constant(scope, np.float32((1, 1, 2, 2)))
        name = self.node("Resize", scope, [x.name, roi, scales], coordinate_transformation_mode="align_corners",
                         cubic_coeff_a=-0.75, mode="linear", nearest_mode="floor")
        return Flow(name, double(x.values))

    def unsqueeze(self, scope, name):
        if self.opset < 13:
            return self.node("Unsqueeze", scope, [name], axes=[0])
        return self.node("Unsqueeze", scope, [name, self.constant(scope, np.int64([0]))])

    def pad_to(self, scope, x, other):
        """`F.pad(x, (dx // 2, dx - dx // 2, dy // 2, dy - dy // 2))` to the size of `other`: a no-op whose sizes are computed."""
        half = []
        for axis in (3, 2):
            sides = [self.node("Gather", scope, [self.node("Shape", scope, [t.name]), self.constant(scope, np.int64(axis))], axis=0)
                     for t in (other, x)]
            difference = self.node("Sub", scope, sides)
            before = self.node("Div", scope, [difference, self.constant(scope, np.int64(2))])
            before = self.node("Cast", scope, [self.node("Cast", scope, [before], to=TensorProto.INT64)], to=TensorProto.INT64)
            half += [before, self.node("Sub", scope, [difference, before])]
        pads = self.node("Concat", scope, [self.unsqueeze(scope, name) for name in half], axis=0)
        rest = self.node("ConstantOfShape", scope, [self.constant(scope, np.int64([4]))], value=numpy_helper.from_array(np.int64([0])))
        pads = self.node("Concat", scope, [pads, rest], axis=0)
        pairs = self.node("Reshape", scope, [pads, self.constant(scope, np.int64([-1, 2]))])
        ends = [self.constant(scope, np.int64([v])) for v in (-1, np.iinfo(np.int64).min + 1, 0, -1)]
        pairs = self.node("Transpose", scope, [self.node("Slice", scope, [pairs, *ends])], perm=[1, 0])
        pads = self.node("Cast", scope, [self.node("Reshape", scope, [pairs, self.constant(scope, np.int64([-1]))])], to=TensorProto.INT64)
        return Flow(self.node("Pad", scope, [x.name, pads, self.constant(scope, np.float32(0))], mode="constant"), x.values)

    def model(self, name, output, shape):
        """The finished file; the last node's tensor is renamed to `output`."""
        self.nodes[-1].output[0] = output
        value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
        graph = helper.make_graph(self.nodes, name, [value(*i) for i in self.inputs], [value(output, shape)], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8,
                                  producer_name="lipsync scripts/bench_model.py")
        checker.check_model(model, full_check=True)
        return model


def convolve(x, kernels, stride, pad, groups):
    """x [N, C, H, W] -> [N, out, H', W'], as a sum over the kernel's taps."""
    down, across = stride
    padded = np.pad(x, ((0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2))
    high, wide = kernels.shape[2:]
    rows, columns = (padded.shape[2] - high) // down + 1, (padded.shape[3] - wide) // across + 1
    out = np.zeros((len(x), len(kernels), rows, columns), np.float32)
    for i in range(high):
        for j in range(wide):
            seen = padded[:, :, i : i + down * rows : down, j : j + across * columns : across]
            if groups > 1:
                out += seen * kernels[:, 0, i, j][:, None, None]
            else:
                out += (kernels[:, :, i, j] @ seen.reshape(*seen.shape[:2], -1)).reshape(out.shape)
    return out


def double(x):
    """Bilinear upsampling to twice the size, corners aligned."""
    def along(size):
        at = np.arange(2 * size) * (size - 1) / (2 * size - 1)
        low = np.minimum(at.astype(int), size - 2)
        table = np.zeros((2 * size, size), np.float32)
        table[np.arange(2 * size), low] = 1 - (at - low)
        table[np.arange(2 * size), low + 1] = at - low
        return table
    return along(x.shape[2]) @ x @ along(x.shape[3]).T


def inverted_residual(g, scope, x, out, stride=1, residual=False, gains=None):
    wide = g.relu(f"{scope}/conv/conv.2", g.dense(f"{scope}/conv/conv.0", x, 2 * x.values.shape[1], gains=gains))
    wide = g.relu(f"{scope}/conv/conv.5", g.depthwise(f"{scope}/conv/conv.3", wide, stride))
    narrow = g.dense(f"{scope}/conv/conv.6", wide, out)
    return g.add(scope, x, narrow) if residual else narrow


def double_conv(g, scope, x, out, stride=2, gains=None):
    first = inverted_residual(g, f"{scope}/double_conv/double_conv.0", x, out, stride, gains=gains)
    return inverted_residual(g, f"{scope}/double_conv/double_conv.1", first, out, residual=True)


def up(g, scope, deep, skip, out):
    high = g.pad_to(scope, g.upsample(f"{scope}/up", deep), skip)
    gains = np.float32([DEEP_GAIN] * deep.values.shape[1] + [1] * skip.values.shape[1])
    return double_conv(g, f"{scope}/conv", g.concat(scope, high, skip), out, 1, gains)


def audio_branch(g, audio, c):
    x = inverted_residual(g, "/audio_model/conv1", audio, c[1])
    x = inverted_residual(g, "/audio_model/conv2", x, c[2])
    x = g.relu("/audio_model/relu", g.dense("/audio_model/conv3", x, c[3], (3, 3), (1, 1), (1, 1)))
    x = inverted_residual(g, "/audio_model/conv4", x, c[3], residual=True)
    x = g.relu("/audio_model/relu", g.dense("/audio_model/conv5", x, c[4], (3, 3), (2, 2), (3, 3)))
    x = inverted_residual(g, "/audio_model/conv6", x, c[4], residual=True)
    return inverted_residual(g, "/audio_model/conv7", x, c[4], residual=True)


def generator(g, c, pictures, windows):
    """Adds the network of widths `c`; returns its output for the samples."""
    levels = [inverted_residual(g, "/inc/inconv", g.input("input", pictures), c[0])]
    audio = g.input("audio", windows)
    for k, out in enumerate((c[0], c[1], c[2], c[3], c[4]), 1):
        levels.append(double_conv(g, f"/down{k}/maxpool_conv/maxpool_conv.0", levels[-1], out))
    x = g.concat("", levels.pop(), audio_branch(g, audio, c))
    x = double_conv(g, "/fuse_conv/fuse_conv.0", x, c[4], 1)
    x = double_conv(g, "/fuse_conv/fuse_conv.1", x, c[3], 1)
    for k, out in enumerate((c[3] // 2, c[2] // 2, c[1] // 2, c[0], c[0] // 2), 1):
        x = up(g, f"/up{k}", x, levels.pop(), out)
    kernels = g.rng.standard_normal((3, x.values.shape[1], 1, 1)).astype(np.float32)
    logits = convolve(x.values, kernels, (1, 1), (0, 0), 1)
    centre = logits.mean((0, 2, 3))
    low, high = 0.0, 10.0 / logits.std()
    for _ in range(40):
        scale = (low + high) / 2
        spread = sigmoid((logits - centre[:, None, None]) * scale).std()
        low, high = (scale, high) if spread < PICTURE_SPREAD else (low, scale)
    x = g.conv("/outc/conv", x, kernels * np.float32(scale), False, bias=(-centre * scale).astype(np.float32))
    g.node("Sigmoid", "", [x.name])
    return sigmoid(x.values)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def audio_encoder(g, mels):
    """Adds the network; returns the embeddings [N, 512] of the samples."""
    x = g.input("mel", mels)
    layers = [(32, (1, 1)), (32, None), (32, None), (64, (3, 1)), (64, None), (64, None), (128, (3, 3)), (128, None), (128, None),
              (256, (3, 2)), (256, None)]
    for k, (out, stride) in enumerate(layers):
        scope = f"/audio_encoder/audio_encoder.{k}"
        conv = g.dense(scope, x, out, (3, 3), stride or (1, 1), (1, 1))
        x = g.relu(scope, conv if stride else g.add(scope, conv, x))
    x = g.relu("/audio_encoder/audio_encoder.11", g.dense("/audio_encoder/audio_encoder.11", x, EMBEDDING, (3, 3)))
    x = g.relu("/audio_encoder/audio_encoder.12", g.dense("/audio_encoder/audio_encoder.12", x, EMBEDDING))
    g.node("Flatten", "", [x.name], axis=1)
    return x.values.reshape(len(x.values), EMBEDDING)


def smooth_noise(rng, count, channels, rows, columns, cells):
    """[count, channels, rows, columns] with standard deviation 1: waves down to a length of about rows / cells, shorter ones weaker."""
    y, x = np.mgrid[0:rows, 0:columns] / rows
    out = np.zeros((count, channels, rows, columns), np.float32)
    for n in range(count):
        for k in range(channels):
            for _ in range(24):
                frequency = rng.uniform(0, cells, 2)
                wave = np.cos(2 * np.pi * (frequency[0] * y + frequency[1] * x + rng.uniform()))
                out[n, k] += wave * rng.uniform(0.5, 1.5) / (1 + frequency.sum())
    return out / out.std()


def sample_pictures(rng):
    """[SAMPLES, 6, 320, 320]: inner crops, and the same with the mouth masked as the renderer does."""
    grey = smooth_noise(rng, SAMPLES, 1, INNER, INNER, 8)
    whole = np.clip(0.5 + 0.15 * grey + 0.05 * smooth_noise(rng, SAMPLES, 3, INNER, INNER, 30), 0, 1).astype(np.float32)
    masked = whole.copy()
    masked[:, :, 5:310, 5:315] = 0
    return np.concatenate([whole, masked], 1)


def sample_mels(rng):
    """[SAMPLES * 16, 1, 80, 16]: the blocks of SAMPLES windows, 3.2 mel frames apart."""
    spectra = smooth_noise(rng, SAMPLES, 1, BANDS, 64, 6) * 1.8
    starts = (np.arange(16) * 3.2).astype(int)
    return np.clip(np.stack([s[:, :, t : t + BLOCK] for s in spectra for t in starts]), -4, 4).astype(np.float32)


def check(model, feed, painted):
    """Checks ONNX Runtime against the samples; describes how much the output depends on audio and background, in 0..255."""
    try:
        import onnxruntime
    except ImportError:
        return "onnxruntime is not installed: the files were not tested"
    run = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run
    difference = float(np.abs(run(None, feed)[0] - painted).max())
    assert difference < 1e-3, difference
    turned = {name: run(None, {**feed, name: np.roll(values, 1, 0)})[0] for name, values in feed.items()}
    moved = {name: 255 * float(np.sqrt(np.mean((values - painted) ** 2))) for name, values in turned.items()}
    return ", ".join(f"a different {name} changes a pixel by {by:.1f} levels (RMS)" for name, by in moved.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", choices=WIDTHS, default="full")
    parser.add_argument("--out", type=Path, required=True, help="folder for both networks")
    parser.add_argument("--batch-norm", action="store_true", help="keep BatchNormalization nodes")
    parser.add_argument("--opset", type=int, default=17, choices=range(11, 18))
    parser.add_argument("--seed", type=int, default=328)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    pictures, mels = sample_pictures(rng), sample_mels(rng)

    ear = Graph(rng, options.opset, options.batch_norm)
    embeddings = audio_encoder(ear, mels)
    painter = Graph(rng, options.opset, options.batch_norm)
    windows = embeddings.reshape(SAMPLES, *WINDOW)
    painted = generator(painter, WIDTHS[options.width], pictures, windows)

    options.out.mkdir(parents=True, exist_ok=True)
    save(ear.model("audio_encoder", "emb", [EMBEDDING]), options.out / "audio_encoder.onnx")
    model = painter.model("generator", "output", [3, INNER, INNER])
    save(model, options.out / "generator.onnx")
    print(f"audio_encoder.onnx: {ear.macs / 1e6:.0f} MMAC per block")
    print(f"generator.onnx: {painter.macs / 1e9:.2f} GMAC per frame, {sum(numpy_helper.to_array(w).size for w in painter.weights) / 1e6:.2f} M weights; "
          f"output {painted.mean():.3f} +- {painted.std():.3f}")
    print(check(model, {"input": pictures, "audio": windows}, painted))


if __name__ == "__main__":
    main()
