# Two images: the collector (default) and, with --target tap, the tap filter as proxies fetch it.
#
#   docker build -t registry.example.org/meshscribe/collector:0.1.0 .
#   docker build -t registry.example.org/meshscribe/tap:0.1.0 --target tap .

FROM python:3.11-slim-bookworm AS tap-checked
WORKDIR /tap
COPY wasm-config/tap.wasm wasm-config/tap.wasm.sha256 ./
RUN sha256sum --check tap.wasm.sha256

# Istio's agent takes /plugin.wasm from the image's only layer.
FROM scratch AS tap
COPY --from=tap-checked /tap/tap.wasm /plugin.wasm

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1
WORKDIR /src
# Wheels for x86-64 and arm64.
RUN echo "uv==0.13.9 --hash=sha256:d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19 \
      --hash=sha256:5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe" > /tmp/uv.txt \
    && python -m pip install --require-hashes --only-binary :all: -r /tmp/uv.txt
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY alembic alembic
COPY collector collector
COPY wasm-config wasm-config
# As constraints, the lock pins versions and hashes of what the wheel needs, and leaves out what only development needs.
RUN uv venv /build && uv pip install --python /build/bin/python --constraint requirements.lock hatchling \
    && uv build --wheel --no-build-isolation --python /build/bin/python --out-dir /dist \
    && uv venv /opt/meshscribe \
    && uv pip install --python /opt/meshscribe/bin/python --constraint requirements.lock "$(echo /dist/*.whl)[redaction,tokenizers]"

FROM python:3.11-slim-bookworm AS collector
COPY --from=build /opt/meshscribe /opt/meshscribe
ENV PATH=/opt/meshscribe/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Owned by nobody that the image knows: the pod's fsGroup makes its volume writable.
USER 65532:65532
WORKDIR /var/lib/meshscribe
EXPOSE 8080 4315 8081
ENTRYPOINT ["meshscribe"]
CMD ["serve"]
