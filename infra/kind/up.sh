#!/usr/bin/env bash
# A cluster on this machine with everything: Kubeflow Pipelines, the KubeRay operator, acclimate. Run it again after a change.
# Needs docker, kind 0.24 or later, kubectl, helm; 16 GB of memory, 40 GB of disk, 15 minutes the first time.
set -euo pipefail

CLUSTER=${CLUSTER:-acclimate}
VERSION=${VERSION:-dev}
KUBERAY_VERSION=1.7.0
NAMESPACE=kubeflow
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '\n== %s\n' "$*"; }

for tool in docker kind kubectl helm; do
  command -v "$tool" >/dev/null || { echo "up.sh needs $tool, which is not installed" >&2; exit 1; }
done

say "cluster $CLUSTER"
if ! kind get clusters | grep -qx "$CLUSTER"; then
  kind create cluster --name "$CLUSTER" --config "$ROOT/infra/kind/cluster.yaml" --wait 5m
fi
# Never the cluster that kubectl happens to point at.
kubectl() { command kubectl --context "kind-$CLUSTER" "$@"; }
helm() { command helm --kube-context "kind-$CLUSTER" "$@"; }

say "images"
for target in server step training; do
  case $target in step) name=acclimate ;; *) name=acclimate-$target ;; esac
  docker build --file "$ROOT/infra/Dockerfile" --target "$target" --tag "$name:$VERSION" \
    --build-arg PIP_EXTRA_INDEX_URL="${PIP_EXTRA_INDEX_URL:-}" "$ROOT"
  kind load docker-image --name "$CLUSTER" "$name:$VERSION"
done

say "Kubeflow Pipelines: what is once in a cluster"
kubectl apply --kustomize "$ROOT/infra/kfp/cluster-scoped"
kubectl wait --for condition=established --timeout=120s crd/workflows.argoproj.io

say "KubeRay operator $KUBERAY_VERSION"
helm upgrade --install kuberay-operator kuberay-operator --repo https://ray-project.github.io/kuberay-helm \
  --version "$KUBERAY_VERSION" --namespace kuberay --create-namespace --wait --timeout 5m

say "acclimate"
helm upgrade --install acclimate "$ROOT/charts/acclimate" --namespace "$NAMESPACE" --wait --timeout 10m \
  --set image.tag="$VERSION" --set mlflow.image.tag="$VERSION" --set ray.overrides.image="acclimate-training:$VERSION" \
  --set kfp.mlflowPlugin=true

say "Kubeflow Pipelines"
kubectl apply --kustomize "$ROOT/infra/kfp"
kubectl --namespace "$NAMESPACE" rollout status deployment/ml-pipeline --timeout=15m

say "does it answer?"
helm test acclimate --namespace "$NAMESPACE"
helm get notes acclimate --namespace "$NAMESPACE"
