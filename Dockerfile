# syntax=docker/dockerfile:1
# One image for the API, the workers, beat and Flower; the command decides which.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements/runtime.txt requirements/
RUN pip install --no-deps --require-hashes -r requirements/runtime.txt
WORKDIR /src
COPY . .
RUN pip install --no-deps --no-build-isolation . \
    && pip uninstall --yes setuptools pip \
    && find /opt/venv -name tests -type d -prune -exec rm -rf {} +

FROM python:3.11-slim
LABEL org.opencontainers.image.title="CarPricePredictor-MA" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --system --gid 10001 carprice \
    && useradd --system --uid 10001 --gid carprice --home-dir /var/lib/carprice carprice \
    && install -d -o carprice -g carprice -m 0700 /var/lib/carprice
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CARPRICE_HOME=/var/lib/carprice \
    MODELS_PATH=/var/lib/carprice/models/versions \
    NUMBA_CACHE_DIR=/var/lib/carprice/numba \
    PROMETHEUS_MULTIPROC_DIR=/tmp/metrics \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    HOST=0.0.0.0 \
    PORT=8000
# The folder of the metrics must be new in every container: files of dead processes would be summed up.
ENTRYPOINT ["/bin/sh", "-c", "umask 077 && mkdir -p \"$PROMETHEUS_MULTIPROC_DIR\" && exec \"$@\"", "carprice"]
USER 10001:10001
WORKDIR /var/lib/carprice
VOLUME /var/lib/carprice
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
CMD ["sh", "-c", "exec granian --interface wsgi --host \"$HOST\" --port \"$PORT\" --http 1 --workers 1 --blocking-threads \"${API_THREADS:-64}\" --backlog 1024 --backpressure 1024 --http1-keep-alive --http1-header-read-timeout 30000 --workers-kill-timeout 15 --no-access-log --log-level error api.wsgi:app"]
