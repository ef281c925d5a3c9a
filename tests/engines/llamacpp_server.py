"""llama.cpp's server on loopback: its model, a port and a context, then any adapters; ends when its input is closed."""

import sys

import xllamacpp


def main(model: str, port: str, context: str, *adapters: str) -> None:
    settings = xllamacpp.CommonParams()
    settings.model.path, settings.port, settings.n_gpu_layers = model, int(port), 0
    settings.n_parallel, settings.n_ctx = 2, 2 * int(context)
    settings.cpuparams.n_threads = 1  # its threads spin, so on a busy machine two are far slower than one
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    # What somebody else may have started the server with, and no answer here may depend on.
    settings.sampling.temp, settings.sampling.penalty_repeat = 1.5, 1.3
    settings.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 1.0) for path in adapters]
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
