#!/usr/bin/env bash
# Renders the files beside the chart: manifests/berth.yaml for kubectl apply, and the
# chart's copies of the alert rules and the dashboard, because helm reads no file outside
# a chart.
#
#   test/chart/render.sh              writes them
#   test/chart/render.sh DIRECTORY    writes them there, as the test does
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-.}
helm=$(test/cluster/parts.sh helm | awk '$1 == "helm" {print $3}')/helm
mkdir -p "$out/manifests/chart/files"
cp manifests/prometheus/berth.rules.yaml "$out/manifests/chart/files/berth.rules.yaml"
cp manifests/grafana/berth-dashboard.json "$out/manifests/chart/files/berth-dashboard.json"
{
  cat <<'HEAD'
# Berth for kubectl apply -f, in the namespace kube-system.
#
# Write your RegistryConfig into the ConfigMap below; docs/configuration.md has
# every field, docs/kubernetes.md the way from here. Files that the config names,
# such as passwords, need a Secret and a volume: the chart has a value for it.
# "make generate" renders this file from the chart; do not edit it there.
HEAD
  # No label of Helm: it does not manage these objects.
  HELM_CACHE_HOME=/nonexistent "$helm" template berth manifests/chart --namespace kube-system |
    sed -e '/helm\.sh\/chart:/d' -e '/app\.kubernetes\.io\/managed-by: Helm/d'
} >"$out/manifests/berth.yaml"
