"""HTTP: decode, check the shape, call the engine, encode. What a request means is decided below."""
