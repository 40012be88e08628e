# Berth's image: static binaries, and nothing else that runs.
#
#   docker build -t berth .
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/berth --push .
#   buildah bud --build-arg BUILDER=registry.corp/golang:1.26 -t berth .
#
# "make release" makes the same image without Docker: it reads the last stage of this file.
#
# BUILDER is any image with Go and a shell. Without a network: give
# GOPROXY a directory in the form of a module proxy, such as that of a filled
# module cache (file:///…/cache/download), or GOFLAGS=-mod=vendor with a vendor
# directory in the context.
ARG BUILDER=docker.io/library/golang:1.26

# The compiler runs on the machine that builds, for whatever platform.
FROM --platform=$BUILDPLATFORM ${BUILDER} AS build
WORKDIR /src
COPY . .
ARG TARGETARCH
ARG VERSION=development
ARG GOPROXY
ARG GOFLAGS
ARG GOMODCACHE=/go/pkg/mod
ARG GOCACHE=/root/.cache/go-build
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=linux GOARCH="$TARGETARCH" go build -trimpath -buildvcs=false \
      -ldflags "-s -w -buildid= -X main.version=$VERSION" -o /out/ \
      ./cmd/berth ./cmd/berth-credential-provider ./cmd/berth-ecr-token ./cmd/docker-credential-berth && \
    go run ./test/release/roots >/out/ca-certificates.crt

FROM scratch
COPY --from=build /out/berth /out/berth-credential-provider /out/berth-ecr-token /out/docker-credential-berth /
# The public authorities, for a node whose own bundle is not mounted. What the
# node trusts is looked for in SSL_CERT_DIR and added.
COPY --from=build /out/ca-certificates.crt /
ENV SSL_CERT_FILE=/ca-certificates.crt \
    SSL_CERT_DIR=/etc/ssl/certs:/etc/pki/tls/certs:/etc/pki/ca-trust/extracted/pem
LABEL org.opencontainers.image.title=berth \
      org.opencontainers.image.description="Decides on each node where container images are pulled from, and with which credentials" \
      org.opencontainers.image.licenses=Apache-2.0
# It writes files that containerd and kubelet read as root.
USER 0:0
ENTRYPOINT ["/berth"]
