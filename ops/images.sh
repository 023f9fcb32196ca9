#!/bin/sh
# Build the images of a release on base images that are named by digest: ops/images.sh 0.2.0 [REGISTRY]
# A tag such as python:3.12-slim-bookworm moves; what it means now is asked of its registry, printed, and written on the
# image. With a REGISTRY (123456789012.dkr.ecr.eu-west-1.amazonaws.com/sluice-staging) both are pushed: tags do not move there.
# PYTHON_IMAGE and NGINX_IMAGE, where set, are taken as they are: the lines that an earlier build printed build it again.
set -eu
cd "$(dirname "$0")/.."
release=${1:?which release? ops/images.sh 0.2.0 [REGISTRY]}
registry=${2-}

# The image that a Dockerfile names for a build argument, with its digest.
pinned() {
    image=$(sed -n "s/^ARG $2=//p" "$1")
    digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
    case $digest in
    sha256:*) echo "$image@$digest" ;;
    *) echo "ops/images.sh: the registry tells no digest of $image" >&2 && exit 1 ;;
    esac
}

# Build one image: Dockerfile, build argument, base image, name on this machine, name in the registry.
build() {
    echo "$2=$3"
    if [ -n "$registry" ]; then set -- "$@" "$registry/$5:$release"; else set -- "$@" "$4:$release"; fi
    docker build --pull --file "$1" --build-arg "$2=$3" --label "org.opencontainers.image.base.name=$3" \
        --label "org.opencontainers.image.version=$release" --tag "$6" .
    if [ -n "$registry" ]; then docker push "$6"; fi
}

python=${PYTHON_IMAGE:-$(pinned ops/Dockerfile PYTHON_IMAGE)}
nginx=${NGINX_IMAGE:-$(pinned ops/Dockerfile.frontend NGINX_IMAGE)}
build ops/Dockerfile PYTHON_IMAGE "$python" sluice app
build ops/Dockerfile.frontend NGINX_IMAGE "$nginx" sluice-console console
