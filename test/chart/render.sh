#!/usr/bin/env bash
# Generates the files in manifests/ that have their source elsewhere: berth.yaml
# for kubectl apply, from the chart; the chart's copies of the alert rules and the
# dashboard, because helm reads no file outside a chart; and the configurations for
# kubelet, from the one that is embedded in berth.
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
mkdir -p "$out/manifests/kubelet/credential-providers.d"
kubelet=node/providerconfig/credential-provider-config.yaml
directory=manifests/kubelet/credential-providers.d/berth.yaml
head=$(sed '/^# Below this line/q' "$directory") # it is written there
cp "$kubelet" "$out/manifests/kubelet/"
{
  printf '%s\n' "$head"
  sed -n '/^apiVersion:/,$p' "$kubelet"
} >"$out/$directory"
{
  cat <<'HEAD'
# Berth for kubectl apply -f, in the namespace kube-system.
#
# Write your RegistryConfig into the ConfigMap below; docs/configuration.md has
# every field, docs/kubernetes.md the way from here. Files that the config names,
# such as passwords, need a Secret and a volume: the chart has a value for it.
# "make generate" renders this file from the chart; do not edit it there.
HEAD
  # No Helm in the labels: it does not look after these objects.
  HELM_CACHE_HOME=/nonexistent "$helm" template berth manifests/chart --namespace kube-system |
    sed -e '/helm\.sh\/chart:/d' -e '/app\.kubernetes\.io\/managed-by: Helm/d'
} >"$out/manifests/berth.yaml"
