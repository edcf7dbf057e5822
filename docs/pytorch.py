"""An encoder of slimgrad in PyTorch: slim.safetensors or host.safetensors of a run, or what `slimgrad export` writes.

    python3 docs/pytorch.py FILE                # loads it strictly, and says what it is
    python3 docs/pytorch.py FILE CHECK          # and compares its features with those in CHECK

    from pytorch import load
    model, about = load("runs/photos/slim.safetensors")
    features = model(images)                  # (N, 3, S, S), normalised by ImageNet's statistics, to (N, F)

Needs torch and torchvision, and nothing to read the file with. The models are torchvision's own with the classifier left
out; the few that it does not have (MobileNet-V1, ResNet-20, other widths of ResNets) are built below from its blocks.
"""
import json
import struct
import sys

import torch
from torch import nn
from torchvision.models import efficientnet, mobilenetv3, resnet
from torchvision.ops.misc import Conv2dNormActivation


def read(path):
    """The tensors and metadata of a safetensors file."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = bytearray(file.read())
    kinds = {"F32": torch.float32, "I64": torch.int64}
    about = header.pop("__metadata__", {})
    cut = lambda t: torch.frombuffer(data, dtype=kinds[t["dtype"]], offset=t["data_offsets"][0], count=count(t["shape"]))
    return {name: cut(t).reshape(t["shape"]) for name, t in header.items()}, about


def count(shape):
    return int(torch.tensor(shape).prod()) if shape else 1


def load(path):
    """The model in eval mode, from (N, 3, S, S) to (N, F), and the metadata of its file."""
    state, about = read(path)
    model = build(json.loads(about["config"]), about["part"])
    model.load_state_dict(state, strict=True)
    return model.eval(), about


def build(config, part):
    """The model without its classifier, as wide as the host or the slim encoder of a run."""
    name = config["encoder"]
    width = config.get("width", 1) * (config.get("ratio", 1) if part == "host" else 1)
    stride = config["stemStride"]
    if name == "mobilenet_v1":
        return MobileNetV1(width, stride, config.get("blocks"))
    if name == "mobilenet_v3_large":
        model = mobilenetv3.mobilenet_v3_large(width_mult=width)
    elif name == "efficientnet_b0":
        settings, _ = efficientnet._efficientnet_conf(name, width_mult=width, depth_mult=1)
        model = efficientnet.EfficientNet(settings, dropout=0)
    elif width == 1 and name != "resnet20":
        model = getattr(resnet, name)()
    else:
        return ResNet(name, width, stride)
    if name.startswith("resnet"):
        model.fc = nn.Identity()
        if stride == 1:  # small images
            model.conv1.stride, model.maxpool = (1, 1), nn.Identity()
    else:
        model.classifier = nn.Identity()
        model.features[0][0].stride = (stride, stride)
    return model


class MobileNetV1(nn.Module):
    """MobileNet-V1 in torchvision's manner; torchvision itself has none."""

    def __init__(self, width, stride, blocks):
        super().__init__()
        standard = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + 5 * [(512, 1)] + [(1024, 2), (1024, 1)]
        channels = int(32 * width)
        layers = [Conv2dNormActivation(3, channels, 3, stride)]
        for out, stride in blocks or standard:
            block = nn.Module()
            out = int(out * width)
            block.block = nn.Sequential(
                Conv2dNormActivation(channels, channels, 3, stride, groups=channels),
                Conv2dNormActivation(channels, out, 1),
            )
            block.forward = block.block.forward
            layers.append(block)
            channels = out
        self.features = nn.Sequential(*layers)

    def forward(self, x):
        return self.features(x).mean((2, 3))


class ResNet(nn.Sequential):
    """ResNets of any width, of torchvision's blocks."""

    def __init__(self, name, width, stride):
        depths = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3), "resnet20": (3, 3, 3)}
        block = resnet.Bottleneck if name in ("resnet50", "resnet101") else resnet.BasicBlock
        small = name == "resnet20"
        base = mobilenetv3._make_divisible((16 if small else 64) * width, 8)
        super().__init__()
        side = 3 if small else 7
        self.conv1 = nn.Conv2d(3, base, side, stride, side // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        self.relu = nn.ReLU()
        if not small and stride == 2:
            self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = base
        for stage, depth in enumerate(depths[name]):
            planes = mobilenetv3._make_divisible((16 if small else 64) * 2**stage * width, 8)
            blocks = []
            for i in range(depth):
                step, out = (2 if stage > 0 and i == 0 else 1), planes * block.expansion
                shortcut = None
                if step > 1 or channels != out:
                    shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, step, bias=False), nn.BatchNorm2d(out))
                blocks.append(block(channels, planes, step, shortcut))
                channels = out
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()


def main(path, check=None):
    model, about = load(path)
    encoder = json.loads(about["config"])["encoder"]
    numbers = sum(p.numel() for p in model.parameters())
    print(f"{encoder}, {about['part']}, step {about['step']}: {numbers} parameters, every tensor in its place")
    if check is None:
        return
    tensors, _ = read(check)
    with torch.no_grad():
        features = model(tensors["images"])
    error = float((features - tensors["features"]).abs().max() / tensors["features"].abs().max())
    print(f"features of {len(features)} images: largest difference {error:.1e} of the largest feature")
    if not error <= 1e-4:
        sys.exit("the features differ: expected 1e-4 at most")


if __name__ == "__main__":
    main(*sys.argv[1:])
