internal import Glibc

// Scalar functions of the plain operations.
func exponential(_ x: Float) -> Float { expf(x) }
func logarithm(_ x: Float) -> Float { logf(x) }
func power(_ x: Float, _ p: Float) -> Float { powf(x, p) }
