#!/usr/bin/env bash
# A cluster on this machine with everything: Kubeflow Pipelines, the KubeRay operator, acclimate. Run it again after a change.
# Needs docker, kind 0.24 or later, kubectl, helm; 16 GB of memory, 60 GB of disk, 20 minutes the first time.
set -euo pipefail

CLUSTER=${CLUSTER:-acclimate}
VERSION=${VERSION:-dev}
# One name for both ends: docker pushes to this machine's port, the node is told to ask the container instead.
REGISTRY=localhost:5001
REGISTRY_IMAGE=${REGISTRY_IMAGE:-registry:3}
KUBERAY_VERSION=1.7.0
NAMESPACE=kubeflow
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '\n== %s\n' "$*"; }

for tool in docker kind kubectl helm; do
  command -v "$tool" >/dev/null || { echo "up.sh needs $tool, which is not installed" >&2; exit 1; }
done

say "registry $REGISTRY"
if [ "$(docker container inspect --format '{{.State.Running}}' "$CLUSTER-registry" 2>/dev/null)" != true ]; then
  docker rm --force "$CLUSTER-registry" >/dev/null 2>&1 || true
  docker run --detach --restart=always --publish 127.0.0.1:5001:5000 --name "$CLUSTER-registry" "$REGISTRY_IMAGE"
fi

say "cluster $CLUSTER"
if ! kind get clusters | grep -qx "$CLUSTER"; then
  kind create cluster --name "$CLUSTER" --config "$ROOT/infra/kind/cluster.yaml" --wait 5m
fi
# Never the cluster that kubectl happens to point at.
kubectl() { command kubectl --context "kind-$CLUSTER" "$@"; }
helm() { command helm --kube-context "kind-$CLUSTER" "$@"; }

for node in $(kind get nodes --name "$CLUSTER"); do
  docker exec "$node" mkdir -p "/etc/containerd/certs.d/$REGISTRY"
  printf '[host."http://%s:5000"]\n' "$CLUSTER-registry" |
    docker exec --interactive "$node" cp /dev/stdin "/etc/containerd/certs.d/$REGISTRY/hosts.toml"
done
if [ "$(docker container inspect --format '{{json .NetworkSettings.Networks.kind}}' "$CLUSTER-registry")" = null ]; then
  docker network connect kind "$CLUSTER-registry"
fi
kubectl apply --filename - <<EOF
apiVersion: v1
kind: ConfigMap
metadata:
  name: local-registry-hosting
  namespace: kube-public
data:
  localRegistryHosting.v1: |
    host: "$REGISTRY"
    help: "https://kind.sigs.k8s.io/docs/user/local-registry/"
EOF

say "images"
for target in server step training; do
  case $target in step) name=$REGISTRY/acclimate ;; *) name=$REGISTRY/acclimate-$target ;; esac
  docker build --file "$ROOT/infra/Dockerfile" --target "$target" --tag "$name:$VERSION" \
    --build-arg PIP_EXTRA_INDEX_URL="${PIP_EXTRA_INDEX_URL:-}" "$ROOT"
  docker push "$name:$VERSION"
done
# NAME@sha256:..., as the registry has just answered; an image that was pushed elsewhere too has several.
by_digest() {
  docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$REGISTRY/$1:$VERSION" |
    awk -v name="$REGISTRY/$1@" 'index($0, name) == 1 && !found++ {print} END {exit !found}'
}
STEP=$(by_digest acclimate)
SERVER=$(by_digest acclimate-server)
TRAINING=$(by_digest acclimate-training)

say "Kubeflow Pipelines: what is once in a cluster"
kubectl apply --kustomize "$ROOT/infra/kfp/cluster-scoped"
kubectl wait --for condition=established --timeout=120s crd/workflows.argoproj.io

say "KubeRay operator $KUBERAY_VERSION"
helm upgrade --install kuberay-operator kuberay-operator --repo https://ray-project.github.io/kuberay-helm \
  --version "$KUBERAY_VERSION" --namespace kuberay --create-namespace --wait --timeout 5m

# Before Pipelines: its MLflow plugin gives each step a Secret that the chart makes, and no step starts without it.
say "acclimate"
helm upgrade --install acclimate "$ROOT/charts/acclimate" --namespace "$NAMESPACE" --wait --timeout 10m \
  --set image.repository="${STEP%@*}" --set image.digest="${STEP#*@}" \
  --set mlflow.image.repository="${SERVER%@*}" --set mlflow.image.digest="${SERVER#*@}" \
  --set ray.overrides.image="$TRAINING" --set kfp.mlflowPlugin=true

say "Kubeflow Pipelines"
kubectl apply --kustomize "$ROOT/infra/kfp"
kubectl --namespace "$NAMESPACE" rollout status deployment/ml-pipeline --timeout=15m

say "does it answer?"
helm test acclimate --namespace "$NAMESPACE"
helm get notes acclimate --namespace "$NAMESPACE"

say "to submit, after the forwards and exports of step 2 above"
cat <<EOF
kubectl config use-context kind-$CLUSTER
export ACCLIMATE_IMAGE=$STEP
export ACCLIMATE_TRAINING_IMAGE=$TRAINING
acclimate submit adaptation.yaml -s workspace=s3://acclimate/workspace --wait
EOF
