"""What torchvision's encoders make of weights and pictures that a formula gives: features and gradients, in float64.

    python3 test/encoders/reference.py        # writes test/encoders/reference.safetensors; needs torch and torchvision

Weights are drawn, not stored (`drawn`, as in reference.ts), so the file holds results alone. Of each encoder: NAME.eval and
NAME.train, features (2, F) by running and by batch statistics, and NAME.gradients (P, 2): of each parameter by the order of
its name the norm of its gradient, where the features' is `drawn`, and the product of the gradient with a drawn direction.
"""
import json, math, struct
from pathlib import Path
import numpy as np
import torch
from torchvision import models

NAMES = ("efficientnet_b0", "mobilenet_v3_large", "resnet18", "resnet50")
SIDE = 65


def drawn(seed, shape, mean, spread):
    """mulberry32, element i from the state seed + (i + 1) 0x6d2b79f5, spread evenly over mean ± spread, as f32."""
    u32 = np.uint64(0xFFFFFFFF)
    multiply = lambda a, b: (a * b) & u32
    with np.errstate(over="ignore"):
        s = (np.uint64(seed) + (np.arange(math.prod(shape), dtype=np.uint64) + np.uint64(1)) * np.uint64(0x6D2B79F5)) & u32
        t = multiply(s ^ (s >> np.uint64(15)), s | np.uint64(1))
        t = ((t + multiply(t ^ (t >> np.uint64(7)), t | np.uint64(61))) & u32) ^ t
        u = (t ^ (t >> np.uint64(14))).astype(np.float64) / 2.0**32
    return (mean + (2 * u - 1) * spread).astype(np.float32).reshape(shape)


def weight(name, shape, seed):
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        return drawn(seed, shape, 1, 0.5)
    if len(shape) == 1:
        return drawn(seed, shape, 0, 0.2)
    return drawn(seed, shape, 0, math.sqrt(6 / math.prod(shape[1:])))


def features(model, name, x):
    if not name.startswith("resnet"):
        return model.features(x).mean((2, 3))
    y = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    return model.layer4(model.layer3(model.layer2(model.layer1(y)))).mean((2, 3))


def main():
    results = {}
    for name in NAMES:
        model = getattr(models, name)().double()
        for module in model.modules():
            if type(module).__name__ == "StochasticDepth":
                module.p = 0.0
        state = {k: v for k, v in model.state_dict().items() if not k.startswith(("classifier", "fc.")) and "num_batches" not in k}
        for i, key in enumerate(sorted(state)):
            state[key].copy_(torch.from_numpy(weight(key, tuple(state[key].shape), 1000 * i).astype(np.float64)))
        x = torch.from_numpy(drawn(1, (2, 3, SIDE, SIDE), 0.1, 1.5).astype(np.float64))
        with torch.no_grad():
            model.eval()
            results[f"{name}.eval"] = features(model, name, x).numpy()
        model.train()
        y = features(model, name, x)
        results[f"{name}.train"] = y.detach().numpy()
        y.backward(torch.from_numpy(drawn(2, tuple(y.shape), 0.1, 1).astype(np.float64)))
        rows = []
        for i, (key, p) in enumerate(sorted((k, p) for k, p in model.named_parameters() if k in state)):
            gradient = p.grad.numpy()
            direction = drawn(1000 * i + 7, gradient.shape, 0, 1).astype(np.float64)
            rows.append((np.linalg.norm(gradient), (gradient * direction).sum()))
        results[f"{name}.gradients"] = np.array(rows)

    head, data = {"__metadata__": {"torch": torch.__version__, "made by": "test/encoders/reference.py"}}, b""
    for key, values in results.items():
        block = np.ascontiguousarray(values, dtype=np.float32).tobytes()
        head[key] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(block)]}
        data += block
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    Path(__file__).with_suffix(".safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


main()
