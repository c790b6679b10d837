# syntax=docker/dockerfile:1
# One image for every process of the service; the command names a line of the Procfile.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/runtime.txt requirements/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-deps --require-hashes -r requirements/runtime.txt \
    && /opt/venv/bin/pip uninstall --yes setuptools pip \
    && find /opt/venv -name tests -type d -prune -exec rm -rf {} +

FROM python:3.11-slim
LABEL org.opencontainers.image.title="CarPricePredictor-MA" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --system --gid 10001 carprice \
    && useradd --system --uid 10001 --gid carprice --home-dir /var/lib/carprice carprice \
    && install -d -o carprice -g carprice -m 0700 /var/lib/carprice
COPY --from=build /opt/venv /opt/venv
COPY . /opt/carprice
RUN python -m compileall -q /opt/carprice
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
USER 10001:10001
WORKDIR /opt/carprice
VOLUME /var/lib/carprice
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
ENTRYPOINT ["python", "-m", "cli.main"]
CMD ["run", "api"]
