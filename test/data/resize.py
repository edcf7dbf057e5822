"""What torchvision makes of noise by Resize(resize, interpolation) of a Pillow image and CenterCrop(size).

    python3 test/data/resize.py        # writes test/data/resize.safetensors; needs torchvision and Pillow

The noise is drawn, not stored (`drawn`, as in resize.ts): the file holds squares alone, (size, size, 3) bytes under the name
WIDTHxHEIGHT, followed by " bilinear" where the interpolation is not bicubic, and by the side that the shorter one is resized to where
that is not the square's.
"""
import json, struct
from pathlib import Path
import numpy as np
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

SQUARES = (
    ("31x17", 9), ("17x31", 9), ("64x48", 13), ("7x5", 12), ("16x16", 16), ("16x23", 16), ("40x40", 16), ("1x1", 4),
    ("1x9", 6), ("9x1", 6), ("300x10", 7), ("3x101", 8), ("101x100", 10), ("2x3", 11), ("257x255", 8), ("25x12", 12),
    ("64x48 bilinear", 13), ("7x5 bilinear", 12), ("16x23 bilinear", 16), ("1x1 bilinear", 4), ("300x10 bilinear", 7),
    ("101x100 bilinear", 10), ("3x101 bilinear", 8), ("31x17 13", 9), ("17x31 14", 9), ("64x48 16", 13), ("40x40 19", 16),
    ("2x3 17", 11), ("257x255 11", 8), ("64x48 bilinear 16", 13), ("9x1 bilinear 11", 6), ("101x100 bilinear 11", 10),
)


def drawn(n):
    """mulberry32, byte i from the state (i + 1) 0x6d2b79f5: a quarter black, a quarter white."""
    s = (np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x6D2B79F5)) & np.uint64(0xFFFFFFFF)
    multiply = lambda a, b: (a * b) & np.uint64(0xFFFFFFFF)
    t = multiply(s ^ (s >> np.uint64(15)), s | np.uint64(1))
    t = ((t + multiply(t ^ (t >> np.uint64(7)), t | np.uint64(61))) & np.uint64(0xFFFFFFFF)) ^ t
    u = (t ^ (t >> np.uint64(14))) >> np.uint64(16)
    return np.clip(u.astype(np.int64) // 128 - 128, 0, 255).astype(np.uint8)


tensors = {}
for name, size in SQUARES:
    sides, *how = name.split()
    width, height = map(int, sides.split("x"))
    filter = InterpolationMode.BILINEAR if "bilinear" in how else InterpolationMode.BICUBIC
    resize = int(how[-1]) if how and how[-1] != "bilinear" else size
    image = Image.fromarray(drawn(width * height * 3).reshape(height, width, 3))
    square = Compose([Resize(resize, filter), CenterCrop(size)])(image)
    tensors[name] = np.asarray(square)

header, at = {}, 0
for name, values in tensors.items():
    header[name] = {"dtype": "U8", "shape": values.shape, "data_offsets": [at, at + values.size]}
    at += values.size
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(Path(__file__).with_suffix(".safetensors"), "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text)
    for values in tensors.values():
        file.write(values.tobytes())
