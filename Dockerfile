# syntax=docker/dockerfile:1
# Two images: `serve` answers completions and has no torch; `build` makes sub-models, too. It also has
# `submodel-fleet`, which builds those of many repositories and publishes them (`--entrypoint submodel-fleet`).
#
#   docker build --target serve -t submodel .
#   docker run --rm -i --network none -v "$PWD:$PWD:ro" -w "$PWD" submodel serve --stdio --bundle .submodel/bundle
#
#   docker build --target build -t submodel-build --build-arg UID="$(id -u)" .
#   docker run --rm -v "$PWD:$PWD" -w "$PWD" -v submodel-home:/home/submodel submodel-build
#
# The repository lies at the same path inside, since an editor names files by it. The home folder is a volume for builds:
# it holds base models and the key that seals the stages, without which each build begins anew. `serve` is given its
# bundle by name, since the list of trusted bundles is not in the image.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim AS serve
# A build writes to the repository as its owner; files of another user are refused. It may be root (--non-unique).
ARG UID=1000
RUN useradd --non-unique --uid "${UID}" --create-home submodel
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir /wheels/submodel-*.whl
USER submodel
WORKDIR /home/submodel
ENTRYPOINT ["submodel"]
CMD ["serve", "--stdio"]

FROM serve AS build
USER root
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git openssh-client \
    && rm -rf /var/lib/apt/lists/*
# PyTorch's index of CPU builds; its wheels on PyPI bring GPU libraries of several gigabytes.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# `--build-arg EXTRAS=build` leaves out Ray and what signs a registry.
ARG EXTRAS=build,fleet,publish
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir --extra-index-url "${TORCH_INDEX}" \
    "submodel[${EXTRAS}] @ file://$(echo /wheels/submodel-*.whl)"
USER submodel
CMD ["build"]
