# One image for all roles: `hermes` and `celery` are on PATH, docker-compose.yml says which one runs.
#
#   docker build -t hermes-gateway .
#   docker build -t hermes-gateway --build-arg ODBC_DRIVER=msodbcsql18 .    # for MSSQL_DRIVER={ODBC Driver 18 for SQL Server}

ARG PYTHON_IMAGE=python:3.12-slim-bookworm


# What Hermes stands on. Built anew only when requirements.txt changes.
FROM ${PYTHON_IMAGE} AS dependencies
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv --without-pip /opt/venv
COPY requirements.txt ./
RUN pip --python /opt/venv/bin/python install -r requirements.txt


# Hermes itself, as an installed package.
FROM dependencies AS program
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY simulator simulator
RUN pip --python /opt/venv/bin/python install --no-deps --target /opt/hermes .


FROM ${PYTHON_IMAGE}
# The default driver, mssql-python, brings Microsoft's ODBC driver along, which needs Kerberos, libltdl and OpenSSL.
# pyodbc, used when MSSQL_DRIVER is set, needs libodbc.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgssapi-krb5-2 libltdl7 libodbc2 libssl3 \
    && rm -rf /var/lib/apt/lists/*
# Only MSSQL_DRIVER needs an installed ODBC driver. It comes from Microsoft's repository, under Microsoft's licence.
ARG ODBC_DRIVER=""
# hadolint ignore=DL3008
RUN if [ -n "$ODBC_DRIVER" ]; then \
        python -c "from urllib.request import urlretrieve as get; get('https://packages.microsoft.com/config/debian/12/packages-microsoft-prod.deb', '/tmp/microsoft.deb')" \
        && dpkg -i /tmp/microsoft.deb \
        && apt-get update \
        && ACCEPT_EULA=Y apt-get install -y --no-install-recommends "$ODBC_DRIVER" \
        && rm -rf /tmp/microsoft.deb /var/lib/apt/lists/*; \
    fi
# /app/var is the one place that is written to, and only by SQLite: `sqlite:///var/hermes.db` as outside of containers.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /app --shell /usr/sbin/nologin hermes \
    && install -d -o hermes -g hermes /app/var
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=program /opt/hermes /opt/hermes
ENV PATH=/opt/hermes/bin:/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/hermes \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PROGRESS_FOLDER=/tmp/progress
WORKDIR /app
USER 10001:10001
CMD ["hermes", "--help"]
