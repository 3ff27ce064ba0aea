"""C++ kernels for CPUs: their source, the builder, and the network that runs on them."""
