#!/usr/bin/env bash
# Takes away what up.sh made, volumes and registry included.
set -euo pipefail

CLUSTER=${CLUSTER:-acclimate}
kind delete cluster --name "$CLUSTER"
if docker container inspect "$CLUSTER-registry" >/dev/null 2>&1; then
  docker rm --force --volumes "$CLUSTER-registry"
fi
