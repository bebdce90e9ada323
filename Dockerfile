# syntax=docker/dockerfile:1
# A static program, kustomize, and certificates of authorities: no shell, no package manager, no root.
# Pin the images below by digest where you build.

FROM golang:1.26-alpine AS kustomize
# Go checks the module against its checksum database.
RUN CGO_ENABLED=0 GOBIN=/out go install -trimpath -ldflags "-s -w" sigs.k8s.io/kustomize/kustomize/v5@v5.8.1

FROM rust:1.95-alpine AS build
# libgit2 and ring are C; on musl all of it is linked statically.
# hadolint ignore=DL3018
RUN apk add --no-cache gcc make musl-dev
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin kubemend

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=kustomize /out/kustomize /usr/local/bin/kustomize
COPY --from=build /src/target/release/kubemend /usr/local/bin/kubemend
COPY LICENSE NOTICE /
ENV KUBEMEND_RENDERER=/usr/local/bin/kustomize
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/kubemend"]
CMD ["serve", "--listen", "0.0.0.0:8080"]
