# One image for every part of Remora; what it runs is the command given to it:
# `sidecar`, `netinit`, `operator`, `aggregator`, `records` ...
#
# The base needs Python >= 3.12 with venv and pip, and Debian's apt.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
# Predefined variables of pip, for mirrors; they stay in this stage.
ARG PIP_INDEX_URL
ARG PIP_TRUSTED_HOST
WORKDIR /src
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/remora
COPY pyproject.toml README.md ./
COPY proto proto
COPY sdk sdk
COPY sidecar sidecar
COPY aggregator aggregator
COPY operator operator
RUN /opt/build/bin/pip --python /opt/remora/bin/python3 install \
      --no-cache-dir --disable-pip-version-check --compile ".[sidecar,aggregator,operator,demo]" \
    # sqlite-utils wants pip for a command of its own that nothing here runs.
    && /opt/build/bin/pip --python /opt/remora/bin/python3 uninstall --yes pip

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="remora" \
      org.opencontainers.image.description="Sidecar, netinit, operator and aggregator of Remora" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
# The file capability is for a netinit that is not root. It gives a container nothing that it was
# not given: without NET_ADMIN among a container's capabilities nft does not even start.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends nftables libcap2-bin \
    && setcap cap_net_admin+eip /usr/sbin/nft \
    && apt-get purge --yes --auto-remove libcap2-bin \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
# Redirect rules tell the sidecar from agents by this uid. Volumes take the owner of the folder
# that they are first mounted over, so that no part needs root to write there.
RUN groupadd --gid 1500 remora \
    && useradd --uid 1500 --gid 1500 --no-create-home --home-dir /var/lib/remora \
         --shell /usr/sbin/nologin remora \
    && install --directory --owner=1500 --group=1500 --mode=0755 \
         /var/lib/remora /run/remora /run/remora/trust /run/remora/provider /run/remora/keys \
    && install --directory --owner=1500 --group=1500 --mode=0700 \
         /var/lib/remora/sidecar /var/lib/remora/aggregator \
         /run/remora/keys/server /run/remora/keys/client
COPY --from=build /opt/remora /opt/remora
# Safe path: nothing in the working directory is ever imported.
ENV PATH=/opt/remora/bin:$PATH PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 1500:1500
WORKDIR /var/lib/remora
ENTRYPOINT ["remora"]
CMD ["--help"]
