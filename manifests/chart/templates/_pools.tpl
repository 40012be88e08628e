{{/*
The DaemonSets of the release, as JSON: first that of all nodes without a pool, then one for each
pool. Each has its values in its own context, with the pool as .Pool. The key config is there if
a pool has its own.
*/}}
{{- define "berth.pools" -}}
{{- $items := (default dict .Values.pools).items }}
{{- if and $items (not .Values.pools.label) }}
{{- fail "pools.label is empty: name the key of the node label whose values are the pools" }}
{{- end }}
{{- if and $items .Values.existingConfigMap }}
{{- fail "pools and existingConfigMap are given, and there is one ConfigMap for each pool: write the config into config" }}
{{- end }}
{{- if and .Values.configRollout .Values.existingConfigMap }}
{{- fail "configRollout and existingConfigMap are given: the chart must know the config to roll it out; write it into config" }}
{{- end }}
{{- $pools := list (dict) }}
{{- $seen := list }}
{{- range $items }}
{{- if has .value $seen }}
{{- fail (printf "pools.items has the value %s twice: a node would have two agents; keep one of them" .value) }}
{{- end }}
{{- $seen = append $seen .value }}
{{- $name := lower .value | replace "." "-" | replace "_" "-" }}
{{- if ne $name .value }}
{{- $name = printf "%s-%s" $name (sha256sum .value | trunc 8) }}
{{- end }}
{{- $pool := dict "value" .value "name" $name }}
{{- if .config }}
{{- $base := include "berth.table" (dict "field" "config" "value" $.Values.config) | fromJson }}
{{- $over := include "berth.table" (dict "field" (printf "pools: config of %s" .value) "value" .config) | fromJson }}
{{- $pool = set $pool "config" (include "berth.overlay" (dict "base" $base "over" $over) | fromJson) }}
{{- end }}
{{- $pools = append $pools $pool }}
{{- end }}
{{- toJson $pools }}
{{- end }}

{{/* A config, which may be the text of a file, as JSON. */}}
{{- define "berth.table" -}}
{{- $table := .value }}
{{- if kindIs "string" $table }}
{{- $table = fromYaml $table }}
{{- with get $table "Error" }}
{{- fail (printf "%s: %s" $.field .) }}
{{- end }}
{{- end }}
{{- toJson (default dict $table) }}
{{- end }}

{{/*
base with over laid on it: a section by its fields, everything else as a whole, so a list replaces
a list. null removes. mergeOverwrite of helm would take false and [] for nothing.
*/}}
{{- define "berth.overlay" -}}
{{- $result := deepCopy .base }}
{{- range $name, $value := .over }}
{{- $below := index $result $name }}
{{- if kindIs "invalid" $value }}
{{- $_ := unset $result $name }}
{{- else if and (kindIs "map" $value) (kindIs "map" $below) }}
{{- $_ := set $result $name (include "berth.overlay" (dict "base" $below "over" $value) | fromJson) }}
{{- else }}
{{- $_ := set $result $name $value }}
{{- end }}
{{- end }}
{{- toJson $result }}
{{- end }}

{{/* The name of the DaemonSet of .Pool, and of its ConfigMap. */}}
{{- define "berth.poolName" -}}
{{- include "berth.fullname" . }}
{{- with .Pool }}{{ printf "-pool-%s" .name }}{{ end }}
{{- end }}

{{- define "berth.podLabels" -}}
{{- include "berth.selectorLabels" . }}
{{- with .Pool }}
berth/pool: {{ .value | quote }}
{{- end }}
{{- end }}

{{/*
Where the pods of .Pool run. NotIn also selects nodes without the label, so each node has one
DaemonSet. The terms of an affinity are alternatives: each one gets the rule.
*/}}
{{- define "berth.affinity" -}}
{{- $affinity := deepCopy (default dict .Values.affinity) }}
{{- if (default dict .Values.pools).items }}
{{- $rule := dict "key" .Values.pools.label "operator" "NotIn" "values" (list) }}
{{- range .Values.pools.items }}
{{- $rule = set $rule "values" (append $rule.values .value) }}
{{- end }}
{{- with .Pool }}
{{- $rule = dict "key" $.Values.pools.label "operator" "In" "values" (list .value) }}
{{- end }}
{{- $node := default dict $affinity.nodeAffinity }}
{{- $required := default dict $node.requiredDuringSchedulingIgnoredDuringExecution }}
{{- $terms := list }}
{{- range default (list (dict)) $required.nodeSelectorTerms }}
{{- $terms = append $terms (set . "matchExpressions" (append (default list .matchExpressions) $rule)) }}
{{- end }}
{{- $node = set $node "requiredDuringSchedulingIgnoredDuringExecution" (set $required "nodeSelectorTerms" $terms) }}
{{- $affinity = set $affinity "nodeAffinity" $node }}
{{- end }}
{{- with $affinity }}{{ toYaml . }}{{ end }}
{{- end }}

{{/*
What a container needs that reads the config: the environment for ${NAME}, and the files that the
config names.
*/}}
{{- define "berth.configReader" -}}
{{- with include "berth.env" . | trim }}
env:
{{- . | nindent 0 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
{{- toYaml . | nindent 0 }}
{{- end }}
volumeMounts:
- {name: config, mountPath: /etc/berth, readOnly: true}
{{- if .Values.existingSecrets }}
- {name: secrets, mountPath: /etc/berth/secrets, readOnly: true}
{{- end }}
{{- range $i, $path := .Values.hostPaths.caCertificates }}
- {name: ca-{{ $i }}, mountPath: {{ $path | quote }}, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}

{{/* NODE_IP and the like as far as the config uses them or variables lists them, GOMEMLIMIT, and extraEnv. */}}
{{- define "berth.env" -}}
{{- $config := "" }}
{{- if not .Values.existingConfigMap }}
{{- $config = include "berth.config" . }}
{{- end }}
{{- $fields := dict "NODE_NAME" "spec.nodeName" "NODE_IP" "status.hostIP" }}
{{- range list "zone" "region" }}
{{- $_ := set $fields (upper .) (printf "metadata.labels['topology.kubernetes.io/%s']" .) }}
{{- end }}
{{- range $name, $field := $fields }}
{{- if or (has $name (default list $.Values.variables)) (contains (printf "${%s}" $name) $config) }}
- name: {{ $name }}
  valueFrom: {fieldRef: {fieldPath: {{ $field | quote }}}}
{{- end }}
{{- end }}
{{- with .Pool }}
- {name: BERTH_POOL, value: {{ .value | quote }}}
{{- end }}
{{- if .Values.metrics.expose }}
- name: HOST_IP
  valueFrom: {fieldRef: {fieldPath: status.hostIP}}
{{- end }}
{{- with .Values.extraEnv }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- /* Go then collects garbage before memory is short. The rest of the limit is for the pages of the
program, some 24 MiB: without them the kernel reads it from the disk again and again. */}}
{{- $memory := dig "limits" "memory" "" (default dict .Values.resources) | toString }}
{{- $given := false }}
{{- range .Values.extraEnv }}{{ $given = or $given (eq .name "GOMEMLIMIT") }}{{ end }}
{{- if and (regexMatch "^[0-9]+[GM]i$" $memory) (not $given) }}
- {name: GOMEMLIMIT, value: {{ div (mul 9 (regexFind "^[0-9]+" $memory) (ternary 1024 1 (hasSuffix "Gi" $memory))) 16 }}MiB}
{{- end }}
{{- end }}
