# docker build -t berth .
# Behind a mirror: --build-arg GO_IMAGE=berth.example:5000/docker.io/golang:1.26
ARG GO_IMAGE=docker.io/library/golang:1.26
FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG RELEASE=""
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.release=${RELEASE}" -o /out/berth ./cmd/berth && mkdir -p /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/berth /berth
COPY --from=build --chown=65532:65532 /out/data /var/lib/berth
COPY deploy/berth.yaml /etc/berth/berth.yaml
USER 65532:65532
VOLUME /var/lib/berth
EXPOSE 5000 5001
ENV BERTH_CONFIG=/etc/berth/berth.yaml
ENTRYPOINT ["/berth"]
CMD ["serve"]
