"""The bins of a histogram of magnitudes: float32's exponents, and zeros, subnormals, infinities and NaN apart."""

BINS = 258
ZERO, SMALL = 0, 1  # exactly zero; not zero and below 2^LOWEST, where float32 has subnormal numbers
FIRST = 2  # of the bins of octaves: bin i holds 2^(i − BIAS) <= |x| < 2^(i − BIAS + 1)
INFINITE, NAN = 256, 257
BIAS = 128
LOWEST, HIGHEST = FIRST - BIAS, INFINITE - 1 - BIAS  # −126 and 127
MEASURES = {
    "gradient": "gradient_magnitudes",
    "weight": "weight_magnitudes",
    "activation": "activation_magnitudes",
}
ORDER = (
    "index 0: zero; 1: not zero and below 2^−126; 2 to 255: 2^(index − 128) <= |x| < 2^(index − 127), the last "
    "with what is beyond float32's range in float64; 256: infinite; 257: NaN"
)
