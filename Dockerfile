# syntax=docker/dockerfile:1
# Three images. `--target api`: the API, webhooks and Flower, without the libraries of the model (less
# than 200 MB of packages). `--target service`: every process, with compiled kernels. The command of both
# names a line of the Procfile. The last one, `all`: the whole service in one container.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/runtime.txt requirements/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-deps --require-hashes -r requirements/runtime.txt \
    && /opt/venv/bin/pip uninstall --yes setuptools pip \
    && find /opt/venv -name tests -type d -prune -exec rm -rf {} +

FROM python:3.11-slim AS build-api
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/api.txt requirements/
COPY packaging/slim_packages.py /tmp/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-deps --require-hashes -r requirements/api.txt \
    && python /tmp/slim_packages.py /opt/venv/lib/python3.11/site-packages
# The fonts of PDFs; their package is located, not imported.
COPY --from=build /opt/venv/lib/python3.11/site-packages/matplotlib/mpl-data/fonts/ttf/DejaVuSans.ttf \
    /opt/venv/lib/python3.11/site-packages/matplotlib/mpl-data/fonts/ttf/DejaVuSans-Bold.ttf \
    /opt/venv/lib/python3.11/site-packages/matplotlib/mpl-data/fonts/ttf/

FROM python:3.11-slim AS base
LABEL org.opencontainers.image.title="CarPricePredictor-MA" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --system --gid 10001 carprice \
    && useradd --system --uid 10001 --gid carprice --home-dir /var/lib/carprice carprice \
    && install -d -o carprice -g carprice -m 0700 /var/lib/carprice
COPY . /opt/carprice
# Compiled kernels belong to the time of their source: whole seconds survive in a layer.
RUN find /opt/carprice -name '*.py' -exec touch -d 2026-01-01T00:00:00Z {} + \
    && python -m compileall -q /opt/carprice
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/carprice \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CARPRICE_HOME=/var/lib/carprice \
    MODELS_PATH=/var/lib/carprice/models \
    PROMETHEUS_MULTIPROC_DIR=/tmp/metrics \
    NUMBA_CACHE_DIR=/tmp/numba \
    HOST=0.0.0.0 \
    PORT=8000
WORKDIR /opt/carprice
VOLUME /var/lib/carprice
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
ENTRYPOINT ["python", "-m", "cli.main"]
CMD ["run", "api"]

FROM base AS api
COPY --from=build-api /opt/venv /opt/venv
USER 10001:10001

FROM base AS service
COPY --from=build /opt/venv /opt/venv
# On another kind of processor a worker compiles them at its start, as without these.
RUN NUMBA_CACHE_DIR=/opt/numba python -c "from pathlib import Path; from worker.kernel_cache import fill_kernel_cache; fill_kernel_cache(Path('/opt/numba'))" \
    && chmod -R a+rX /opt/numba
ENV KERNEL_SEED=/opt/numba
USER 10001:10001

# The whole service in one container, with embedded Redis-protocol servers:
# `docker run -p 7860:7860 --stop-timeout 45 -v carprice:/home/service carprice`. Callers without a key may
# value single cars only (DEMO). The first start trains the default model.
FROM service AS all
USER root
RUN useradd --uid 1000 --create-home --home-dir /home/service service
ENV CARPRICE_HOME=/home/service/carprice \
    MODELS_PATH=/home/service/models \
    PORT=7860 \
    DEMO=1
VOLUME /home/service
EXPOSE 7860
HEALTHCHECK --interval=10s --timeout=3s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/livez', timeout=2)"]
USER 1000:1000
CMD ["up"]
