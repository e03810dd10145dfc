# syntax=docker/dockerfile:1
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
# The manifest names the test and benchmark targets; building the binary needs only that they exist.
RUN mkdir -p tests/it tests/bench && touch tests/it/main.rs && echo 'fn main() {}' > tests/bench/engine.rs
RUN cargo build --release --locked --bin netsec

FROM debian:bookworm-slim
RUN useradd --create-home --uid 10001 netsec
COPY --from=build /src/target/release/netsec /usr/local/bin/netsec
USER 10001
WORKDIR /workspace
COPY --chown=netsec:netsec pipelines pipelines
COPY --chown=netsec:netsec schemas schemas
# `run` by default; `serve ref:champion/NAME --listen 0.0.0.0:8080 --keys FILE` answers requests.
EXPOSE 8080 9090
ENTRYPOINT ["netsec"]
CMD ["run", "pipelines/default.yaml"]
