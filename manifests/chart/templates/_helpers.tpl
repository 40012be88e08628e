{{- define "berth.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "berth.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := include "berth.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "berth.selectorLabels" -}}
app.kubernetes.io/name: {{ include "berth.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "berth.labels" -}}
{{ include "berth.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "berth.serviceAccount" -}}
{{- default (ternary (include "berth.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{/* With configRollout the name changes with the content, and so do the pods. */}}
{{- define "berth.configMap" -}}
{{- if .Values.existingConfigMap }}
{{- .Values.existingConfigMap }}
{{- else if .Values.configRollout }}
{{- printf "%s-%s" (include "berth.poolName" .) (include "berth.config" . | sha256sum | trunc 10) }}
{{- else }}
{{- include "berth.poolName" . }}
{{- end }}
{{- end }}

{{- define "berth.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
What the inline config says, as JSON; a string is a whole file. What is empty or
null has its default, as Berth has it: here both sections that the chart looks
into are tables.
*/}}
{{- define "berth.config.parsed" -}}
{{- $config := .Values.config }}
{{- if kindIs "string" $config }}
{{- $config = fromYaml $config }}
{{- with get $config "Error" }}
{{- fail (printf "config: %s" .) }}
{{- end }}
{{- end }}
{{- $config = deepCopy (default dict $config) }}
{{- range $section := list "containerd" "docker" "health" "kubelet" }}
{{- $said := index $config $section }}
{{- if not (or (kindIs "map" $said) (kindIs "invalid" $said)) }}
{{- fail (printf "config.%s is %s: it must be a section, as in https://github.com/berth-registry/berth/blob/main/docs/configuration.md" $section (toJson $said)) }}
{{- end }}
{{- $_ := set $config $section (default dict $said) }}
{{- end }}
{{- toJson $config }}
{{- end }}

{{/* The certsDir of the inline config, as Berth takes it; empty if it has none. */}}
{{- define "berth.config.certsDir" -}}
{{- with index (include "berth.config.parsed" . | fromJson) "containerd" "certsDir" }}
{{- if not (and (kindIs "string" .) (regexMatch `^(/([^/.:\x00-\x1f\x7f][^/:\x00-\x1f\x7f]*|\.[^/.:\x00-\x1f\x7f][^/:\x00-\x1f\x7f]*|\.\.[^/:\x00-\x1f\x7f]+))+$` .)) }}
{{- fail (printf "config.containerd.certsDir is %s: it must be one absolute path without detours, such as /etc/containerd/certs.d" (toJson .)) }}
{{- end }}
{{- . }}
{{- end }}
{{- end }}

{{/* Where containerd reads hosts.toml files. */}}
{{- define "berth.certsDir" -}}
{{- if and .Values.existingConfigMap .Values.config }}
{{- fail "config and existingConfigMap are given, and the ConfigMap would be the one that counts: write the config into it, or leave existingConfigMap empty" }}
{{- end }}
{{- $said := "" }}
{{- if not .Values.existingConfigMap }}
{{- $said = include "berth.config.certsDir" . }}
{{- end }}
{{- if and $said .Values.hostPaths.certsDir (ne $said .Values.hostPaths.certsDir) }}
{{- fail (printf "hostPaths.certsDir is %s, and config.containerd.certsDir is %s: they must be the same" .Values.hostPaths.certsDir $said) }}
{{- end }}
{{- if and .Values.hostPaths.certsDir (not $said) (not .Values.existingConfigMap) .Values.config (kindIs "string" .Values.config) }}
{{- fail (printf "hostPaths.certsDir is %s: write containerd.certsDir in the config as well" .Values.hostPaths.certsDir) }}
{{- end }}
{{- coalesce $said .Values.hostPaths.certsDir "/etc/containerd/certs.d" }}
{{- end }}

{{/* The text of config.yaml. A file stays as it is, with its comments. */}}
{{- define "berth.config" -}}
{{- $parsed := include "berth.config.parsed" . | fromJson }}
{{- if and (has (index $parsed "docker" "mode") (list "on" true)) (not .Values.docker.enabled) }}
{{- fail "config.docker.mode is on, and Docker's directory is not mounted: set docker.enabled to true" }}
{{- end }}
{{- if and (index $parsed "kubelet" "configJSON") (not .Values.kubeletConfigJSON.enabled) }}
{{- fail "config.kubelet.configJSON is true, and kubelet's directory is not mounted: set kubeletConfigJSON.enabled to true" }}
{{- end }}
{{- with index $parsed "docker" "certsDir" }}
{{- if and $.Values.docker.enabled (ne . "/etc/docker/certs.d") }}
{{- fail (printf "config.docker.certsDir is %s: the chart mounts /etc/docker/certs.d; leave it out" (toJson .)) }}
{{- end }}
{{- end }}
{{- $mode := index $parsed "health" "mode" }}
{{- $withdraws := and (not .Values.hostNetwork) (or (kindIs "invalid" $mode) (has $mode (list "" "withdraw"))) }}
{{- if and .Values.config (kindIs "string" .Values.config) }}
{{- if $withdraws }}
{{- fail "hostNetwork is false: a mirror that the pod does not reach may be fine; write health: {mode: report} in the config" }}
{{- end }}
{{- .Values.config }}
{{- else }}
{{- if kindIs "bool" $mode }}
{{- fail (printf "config.health.mode is %t, which is how YAML reads some bare words: write it in quotes, \"off\"" $mode) }}
{{- end }}
{{- if kindIs "bool" (index $parsed "docker" "mode") }}
{{- fail "config.docker.mode is true or false, which is how YAML reads on and off: write it in quotes, \"on\"" }}
{{- end }}
{{- $config := deepCopy (default dict .Values.config) }}
{{- if .Values.hostPaths.certsDir }}
{{- $_ := set $config "containerd" (set (default dict (index $config "containerd")) "certsDir" (include "berth.certsDir" .)) }}
{{- end }}
{{- if $withdraws }}
{{- $_ := set $config "health" (set (default dict (index $config "health")) "mode" "report") }}
{{- end -}}
apiVersion: berth/v1alpha1
kind: RegistryConfig
{{- with omit $config "apiVersion" "kind" }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The address to listen on. Brackets do no harm to an IPv4 address. */}}
{{- define "berth.listen" -}}
{{- if not .Values.hostNetwork }}
{{- printf ":%v" .Values.metrics.port }}
{{- else if .Values.metrics.expose }}
{{- printf "[$(HOST_IP)]:%v" .Values.metrics.port }}
{{- else }}
{{- printf "127.0.0.1:%v" .Values.metrics.port }}
{{- end }}
{{- end }}

{{- define "berth.probe" -}}
httpGet:
  path: {{ .path }}
  port: {{ .root.Values.metrics.port }}
  {{- if and .root.Values.hostNetwork (not .root.Values.metrics.expose) }}
  # kubelet asks from the node, and the agent listens on its loopback alone.
  host: 127.0.0.1
  {{- end }}
{{- with .settings }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "berth.securityContext" -}}
{{- $context := deepCopy .Values.securityContext }}
{{- with .Values.seLinuxOptions }}
{{- $context = set $context "seLinuxOptions" . }}
{{- end }}
{{- toYaml $context }}
{{- end }}

{{/* That of the agent, which may look at kubelet's process if logins go into its config.json. */}}
{{- define "berth.agentSecurityContext" -}}
{{- $context := include "berth.securityContext" . | fromYaml }}
{{- if .Values.kubeletConfigJSON.enabled }}
{{- $capabilities := default dict $context.capabilities }}
{{- $add := append (default list $capabilities.add) "SYS_PTRACE" | uniq }}
{{- $context = set $context "capabilities" (set $capabilities "add" $add) }}
{{- $context = set $context "appArmorProfile" (dict "type" "Unconfined") }}
{{- end }}
{{- toYaml $context }}
{{- end }}

{{/* A path of the node, as the node names it. */}}
{{- define "berth.hostPath" -}}
{{- printf "%s%s" (trimSuffix "/" (default "" .root.Values.hostPaths.root)) .path }}
{{- end }}
