#!/usr/bin/env bash
# Takes away what up.sh made, volumes included.
set -euo pipefail

kind delete cluster --name "${CLUSTER:-acclimate}"
