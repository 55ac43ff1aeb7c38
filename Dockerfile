# syntax=docker/dockerfile:1

FROM python:3.12-slim AS packages
COPY requirements/run.txt /run.txt
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /run.txt

FROM python:3.12-slim
# A fixed number, so that volumes and Kubernetes' runAsNonRoot can name it.
RUN useradd --system --uid 10001 --home-dir /var/lib/tocsin --create-home tocsin
COPY --from=packages /opt/venv /opt/venv
# Put on the path and not installed: building a wheel here would fetch build tools without hashes.
COPY tocsin /opt/tocsin/tocsin
COPY clients/python/tocsin_client /opt/tocsin/tocsin_client
# What a wheel's installer would write: `tocsin` for `docker exec`, wherever one is.
RUN printf '#!/bin/sh\nexec python -m tocsin "$@"\n' > /opt/venv/bin/tocsin \
 && chmod 755 /opt/venv/bin/tocsin
# The safe path: nothing is imported from the directory that a command is run in.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/tocsin \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    TOCSIN_DATA=/var/lib/tocsin
RUN python -m compileall -q /opt/tocsin

USER 10001
WORKDIR /var/lib/tocsin
VOLUME /var/lib/tocsin
EXPOSE 8080

HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD \
    ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ.get(\"TOCSIN_PORT\", \"8080\")}/livez', timeout=2)"]

# In exec form, so that the stop signal reaches the server. Other commands stand in for "serve":
# docker run tocsin token ...
ENTRYPOINT ["tocsin"]
CMD ["serve", "--host", "0.0.0.0"]
