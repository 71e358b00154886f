"""Writes models/ada: generator.onnx (head, then picture network), audio_encoder.onnx, model.yaml, LICENSE.md.

    export.py [--untrained] [--out DIR]     needs WORK/sound.pt and WORK/picture.pt; --untrained uses random weights

Every batch axis is N; all other shapes are fixed. Checks that ONNX Runtime gives the same results as
PyTorch and that a frame does not depend on its batch.
"""
import argparse
import datetime
import hashlib
import json
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

import contract
import train_picture
import train_sound

HERE = Path(__file__).resolve().parent
OPSET = 17


class Generator(nn.Module):
    """input [N, 6, 320, 320], audio [N, 32, 16, 16] -> output [N, 3, 320, 320], BGR 0..1."""

    def __init__(self, head, decoder):
        super().__init__()
        self.head, self.decoder = head, decoder

    def forward(self, picture, audio):
        return self.decoder(picture[:, :3], train_sound.head_window(self.head, audio))


def write(model, inputs, names, output, file):
    model.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, inputs, str(file), input_names=names, output_names=[output], opset_version=OPSET, dynamo=False,
                          dynamic_axes={n: {0: "N"} for n in (*names, output)})
    graph = onnx.load(file)
    del graph.metadata_props[:]
    graph.producer_name, graph.producer_version, graph.doc_string = "lipsync scripts/presenter", "", ""
    for node in graph.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, file)
    return graph


def halve(file, least=400_000):
    """Stores the largest tables with 16 bits per number for a smaller file; a Cast widens them when the network is loaded."""
    graph = onnx.load(file)
    for k, table in enumerate(list(graph.graph.initializer)):
        values = onnx.numpy_helper.to_array(table)
        if values.dtype == np.float32 and values.ndim == 2 and values.size >= least:
            graph.graph.initializer.remove(table)
            graph.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float16), table.name + "_16"))
            graph.graph.node.insert(0, onnx.helper.make_node("Cast", [table.name + "_16"], [table.name], to=onnx.TensorProto.FLOAT))
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, file)


def cost(file):
    """Multiply-adds for a batch of one, from the shapes that ONNX infers."""
    graph = onnx.load(file)
    for value in [*graph.graph.input, *graph.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(graph, data_prop=True)
    weights = {w.name.removesuffix("_16"): w.dims for w in graph.graph.initializer}
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in [*graph.graph.value_info, *graph.graph.output]}
    total = 0
    for node in graph.graph.node:
        if node.op_type == "Conv":
            total += int(np.prod(shapes[node.output[0]][1:])) * int(np.prod(weights[node.input[1]][1:]))
        elif node.op_type in ("Gemm", "MatMul") and node.input[1] in weights:
            total += int(np.prod(weights[node.input[1]]))
    return total


def session(file, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def speed(file, feed, threads, runs=15):
    """Median milliseconds of one run."""
    run = session(file, threads)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run.run(None, feed)
        times.append(time.perf_counter() - start)
    return round(1000 * float(np.median(times[2:])), 2)


def check(file, model, feed):
    """Largest difference from PyTorch, and between batch 8 and batches of 1."""
    run = session(file, 2)
    together = run.run(None, feed)[0]
    alone = np.concatenate([run.run(None, {k: v[i:i + 1] for k, v in feed.items()})[0] for i in range(len(together))])
    with torch.no_grad():
        torch_gives = model(*[torch.from_numpy(v) for v in feed.values()]).numpy()
    return float(np.abs(together - torch_gives).max()), float(np.abs(together - alone).max())


def fold(encoder):
    """Joins each linear layer with the normalisation after it."""
    encoder.eval()
    dense = list(encoder.dense)
    for k in range(len(dense) - 1):
        if isinstance(dense[k], nn.Linear) and isinstance(dense[k + 1], nn.BatchNorm1d):
            if dense[k + 1].weight is None:
                dense[k + 1].weight = nn.Parameter(torch.ones(dense[k + 1].num_features))
                dense[k + 1].bias = nn.Parameter(torch.zeros(dense[k + 1].num_features))
            dense[k], dense[k + 1] = fuse_linear_bn_eval(dense[k], dense[k + 1]), nn.Identity()
    encoder.dense = nn.Sequential(*[d for d in dense if not isinstance(d, (nn.Identity, nn.Dropout))])
    return encoder


MODEL = """# The bundled presenter: what the networks are, what they eat, how they were made.
model_id: ada
version: 1
family: synctalk-328
generator: generator.onnx
audio_encoder: audio_encoder.onnx
background: ada
crop: 328
inner: 320
mask: {{x: 5, y: 5, width: 310, height: 305}}
channel_order: bgr
sample_rate: 16000
mel: {{bands: 80, low_hz: 55, high_hz: 7600, frames_per_s: 80, block: 16}}
fps: 25
inputs: {{generator: [input, audio], audio_encoder: [mel]}}
outputs: {{generator: [output], audio_encoder: [emb]}}
sha256:
  generator.onnx: {generator_sha}
  audio_encoder.onnx: {encoder_sha}
licence: CC0-1.0
cost: {{generator_mmac: {generator_cost:.0f}, audio_encoder_mmac: {encoder_cost:.2f}}}
trained:
  date: {date}
  sound: {sound}
  picture: {picture}
  on: two shared x86-64 cores, no GPU
  voices_heard: [slt, rms, kal16, kal]
  voice_unheard: awb
  scores: {scores}
"""

LICENSE = """# The networks of `ada`

`generator.onnx` and `audio_encoder.onnx` are given to the public domain under CC0-1.0
(<https://creativecommons.org/publicdomain/zero/1.0/>), so far as anybody has rights in them.

They were trained from random numbers by `scripts/presenter` on
- synthetic speech: sentences of a grammar written for this project, spoken by flite 2.2 (free software of Carnegie Mellon
  University, BSD-like licence) with its voices slt, rms, kal and kal16;
- pictures drawn by `scripts/presenter/draw.py` of a made-up person. Her mesh and its shape targets are MakeHuman's, released under CC0.

No recording or picture of a real person, and no weights of another network, were used.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--untrained", action="store_true", help="random weights: to test the export")
    parser.add_argument("--out", type=Path, default=HERE.parent.parent / "models" / "ada")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    encoder, head = train_sound.Encoder(), train_sound.Head()
    if options.untrained:
        decoder = train_picture.Decoder((40, 288, 40, 288), (60, 164, 56, 184))
        nn.init.normal_(decoder.move.bias, std=0.1)
    else:
        train_sound.restore(encoder, head)
        decoder = train_picture.trained()
    encoder, generator = fold(encoder), Generator(head, decoder).eval()
    files = options.out / "audio_encoder.onnx", options.out / "generator.onnx"
    rng = np.random.default_rng(0)
    mel = rng.uniform(-4, 4, (8, 1, 80, 16)).astype(np.float32)
    feed = {"input": rng.random((8, 6, 320, 320)).astype(np.float32), "audio": rng.standard_normal((8, 32, 16, 16)).astype(np.float32)}
    graphs = (write(encoder, (torch.from_numpy(mel),), ["mel"], "emb", files[0]),
              write(generator, tuple(torch.from_numpy(v) for v in feed.values()), list(feed), "output", files[1]))
    halve(files[1])
    for file, graph, model, given in zip(files, graphs, (encoder, generator), ({"mel": mel}, feed)):
        kinds = sorted({n.op_type for n in graph.graph.node})
        from_torch, from_batch = check(file, model, given)
        one = {k: v[:1] for k, v in given.items()}
        print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB, {cost(file) / 1e6:.2f} MMAC, one row {speed(file, one, 1)} ms on 1 thread, "
              f"{speed(file, one, 2)} ms on 2; from PyTorch {from_torch:.1e}, batch 8 from 1 {from_batch:.1e}; {' '.join(kinds)}")
        assert from_batch <= 1e-6 and from_torch < 2e-3, (from_torch, from_batch)
    if options.untrained:
        return
    notes = {name: json.loads((train_sound.WORK / f"{name}.json").read_text()) for name in ("sound", "picture", "score") if (train_sound.WORK / f"{name}.json").exists()}
    brief = lambda facts: json.dumps(facts)
    digest = lambda file: hashlib.sha256(file.read_bytes()).hexdigest()
    sound, picture = notes.get("sound", {}), notes.get("picture", {})
    (options.out / "model.yaml").write_text(MODEL.format(
        generator_sha=digest(files[1]), encoder_sha=digest(files[0]), date=datetime.date.today().isoformat(),
        generator_cost=cost(files[1]) / 1e6, encoder_cost=cost(files[0]) / 1e6,
        sound=brief({"corpus_minutes": sound.get("corpus_minutes"), "training_minutes": sound.get("minutes"), "steps": sound.get("steps")}),
        picture=brief({"pictures": picture.get("pictures"), "training_minutes": picture.get("minutes"), "steps": picture.get("steps"),
                       "held_out_psnr_db": picture.get("psnr"), "held_out_ssim": picture.get("ssim")}),
        scores=brief({row["what"]: row["measured"] for row in notes.get("score", {}).get("table", [])})))
    (options.out / "LICENSE.md").write_text(LICENSE)


if __name__ == "__main__":
    main()
