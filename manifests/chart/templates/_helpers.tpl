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

{{- define "berth.configMap" -}}
{{- default (include "berth.fullname" .) .Values.existingConfigMap }}
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

{{/* What the inline config says, as JSON; a string is a whole file. */}}
{{- define "berth.config.parsed" -}}
{{- if kindIs "string" .Values.config }}
{{- $parsed := fromYaml .Values.config }}
{{- with get $parsed "Error" }}
{{- fail (printf "config: %s" .) }}
{{- end }}
{{- toJson $parsed }}
{{- else }}
{{- toJson .Values.config }}
{{- end }}
{{- end }}

{{/* Where containerd reads hosts.toml files. */}}
{{- define "berth.certsDir" -}}
{{- $said := "" }}
{{- if not .Values.existingConfigMap }}
{{- $said = dig "containerd" "certsDir" "" (include "berth.config.parsed" . | fromJson) }}
{{- end }}
{{- if and $said .Values.hostPaths.certsDir (ne $said .Values.hostPaths.certsDir) }}
{{- fail (printf "hostPaths.certsDir is %s, and config.containerd.certsDir is %s: they must be the same" .Values.hostPaths.certsDir $said) }}
{{- end }}
{{- if and .Values.hostPaths.certsDir (not $said) (not .Values.existingConfigMap) (kindIs "string" .Values.config) }}
{{- fail (printf "hostPaths.certsDir is %s: write containerd.certsDir in the config as well" .Values.hostPaths.certsDir) }}
{{- end }}
{{- coalesce $said .Values.hostPaths.certsDir "/etc/containerd/certs.d" }}
{{- end }}

{{/* The text of config.yaml. */}}
{{- define "berth.config" -}}
{{- if kindIs "string" .Values.config }}
{{- if and (not .Values.hostNetwork) (eq "withdraw" (dig "health" "mode" "withdraw" (include "berth.config.parsed" . | fromJson))) }}
{{- fail "hostNetwork is false: a mirror that the pod does not reach may be fine; write health: {mode: report} in the config" }}
{{- end }}
{{- .Values.config }}
{{- else }}
{{- $config := deepCopy .Values.config }}
{{- if .Values.hostPaths.certsDir }}
{{- $config = mergeOverwrite $config (dict "containerd" (dict "certsDir" (include "berth.certsDir" .))) }}
{{- end }}
{{- if and (not .Values.hostNetwork) (eq "withdraw" (dig "health" "mode" "withdraw" $config)) }}
{{- $config = mergeOverwrite $config (dict "health" (dict "mode" "report")) }}
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
{{ toYaml .settings }}
{{- end }}

{{- define "berth.securityContext" -}}
{{- $context := deepCopy .Values.securityContext }}
{{- with .Values.seLinuxOptions }}
{{- $context = set $context "seLinuxOptions" . }}
{{- end }}
{{- toYaml $context }}
{{- end }}

{{/* A path of the node, as the node names it. */}}
{{- define "berth.hostPath" -}}
{{- printf "%s%s" (trimSuffix "/" .root.Values.hostPaths.root) .path }}
{{- end }}
