"""Values of reference.rs by other software: scikit-image, TensorFlow, NVIDIA's flip-evaluator, SciPy.

pip install numpy scikit-image tensorflow-cpu flip-evaluator scipy
"""

from importlib.metadata import version

import flip_evaluator
import numpy as np
import tensorflow as tf
from scipy.spatial.distance import jaccard
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

W, H = 192, 176


def pictures():
    """8-bit pictures [H, W, 3] by integer formulas, as in reference.rs."""
    y, x, c = np.meshgrid(np.arange(H), np.arange(W), np.arange(3), indexing="ij")

    def base(x):
        t = (x * x // (20 + 7 * c) + 3 * y + 90 * c) % 512
        return np.minimum(t, 511 - t)

    a = base(x)
    return {
        "a": a,
        "noisy": np.clip(a + (x * 7919 + y * 104729 + c * 1299709) % 61 - 30, 0, 255),
        "dim": a * 3 // 4 + 20,
        "shifted": base(x + 2),
        "red": np.where(c == 0, a, a // 3),
    }


p = {k: v.astype(np.float64) / 255 for k, v in pictures().items()}
a = p.pop("a")
for package in ["scikit-image", "tensorflow-cpu", "flip-evaluator", "scipy"]:
    print(package, version(package))
for name, b in p.items():
    psnr = peak_signal_noise_ratio(a, b, data_range=1.0)
    ssim = structural_similarity(
        a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0
    )
    ms_ssim = float(tf.image.ssim_multiscale(a.astype(np.float32), b.astype(np.float32), 1.0))
    flips = []
    for ppd in [67.02, 25.0]:
        _, mean, _ = flip_evaluator.evaluate(
            a.astype(np.float32), b.astype(np.float32), "LDR", applyMagma=False, parameters={"ppd": ppd}
        )
        flips.append(mean)
    iou = 1 - jaccard((a > 0.5).ravel(), (b > 0.5).ravel())
    print((name, [float(v) for v in [psnr, ssim, ms_ssim, *flips, iou]]))
