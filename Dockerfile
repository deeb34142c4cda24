# The server alone:   docker build -t holdfast .
# With scikit-learn:  docker build -t holdfast --build-arg EXTRAS=sklearn .   (hosted models need it, other families do not)
# To train in it:     docker build -t holdfast --build-arg EXTRAS=train .     (and for the demo; scikit-learn too)
# Run:                docker run --init -p 8000:8000 -v holdfast:/var/lib/holdfast \
#                       -v ./holdfast.toml:/etc/holdfast/holdfast.toml:ro -e ADMIN_LOAD_TOKEN holdfast
# --init: a container's first process inherits orphans, and Holdfast waits only for its own children.
ARG BASE=python:3.11-slim

# hadolint ignore=DL3006
FROM ${BASE} AS python
# A plain Debian or Ubuntu as BASE gets what python:*-slim has already.
# hadolint ignore=DL3008
RUN python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
    || { apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*; }

FROM python AS build
# pip's own settings for a mirror: PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, and a CA bundle (mounted while building).
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_CERT
ARG EXTRAS=""
WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY config config
COPY loaders loaders
COPY models models
COPY service service
COPY training training
RUN python3 -m venv /opt/holdfast \
    && /opt/holdfast/bin/python -m pip install --no-cache-dir --disable-pip-version-check ".${EXTRAS:+[${EXTRAS}]}"

FROM python
RUN groupadd --gid 10001 holdfast \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/holdfast --no-create-home --shell /usr/sbin/nologin holdfast \
    && install -d -m 0700 -o 10001 -g 10001 /var/lib/holdfast \
    && install -d -m 0755 /etc/holdfast
COPY --from=build /opt/holdfast /opt/holdfast
# The store is the volume, wherever the configuration file lies; ./holdfast.toml is /etc/holdfast/holdfast.toml.
ENV PATH=/opt/holdfast/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    HOLDFAST_STORE_PATH=/var/lib/holdfast
WORKDIR /etc/holdfast
USER 10001:10001
VOLUME /var/lib/holdfast
EXPOSE 8000
# Live, not ready: a model that is still loading is no reason to restart the container.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["python", "-c", "\
import os, urllib.request as http; \
port = os.environ.get('HOLDFAST_SERVER_PORT', '8000'); \
http.build_opener(http.ProxyHandler({})).open(f'http://127.0.0.1:{port}/health/live', timeout=4)"]
ENTRYPOINT ["holdfast"]
CMD ["serve", "--host", "0.0.0.0"]
