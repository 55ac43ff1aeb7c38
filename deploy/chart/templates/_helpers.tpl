{{- define "tocsin.name" -}}
{{- if contains "tocsin" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-tocsin" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* What selects the nodes. A Deployment's selector can never be changed, so nothing is added here. */}}
{{- define "tocsin.selector" -}}
app.kubernetes.io/name: tocsin
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: node
{{- end }}

{{- define "tocsin.labels" -}}
app.kubernetes.io/name: tocsin
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "tocsin.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{/* A duration of the settings in whole seconds, rounded up: Kubernetes counts in seconds. */}}
{{- define "tocsin.seconds" -}}
{{- $text := toString . }}
{{- $number := regexFind "^[0-9.]+" $text | float64 }}
{{- $unit := regexFind "[a-z]+$" $text }}
{{- $size := get (dict "ms" 0.001 "s" 1.0 "" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0) $unit }}
{{- mulf $number $size | ceil | int }}
{{- end }}

{{/* The Secrets' keys by the names of the settings; in a demo those that it makes up itself. */}}
{{- define "tocsin.secrets" -}}
{{- if .Values.demo.enabled }}
{{- $made := printf "%s-demo" (include "tocsin.name" .) }}
{{- dict "database" (dict "name" $made "key" "database") "redis" (dict "name" $made "key" "redis") "jwt_secret" (dict "name" $made "key" "jwt-secret") | toYaml }}
{{- else }}
{{- $given := dict }}
{{- range $name, $from := .Values.secrets }}
{{- if $from }}{{ $_ := set $given $name $from }}{{ end }}
{{- end }}
{{- toYaml $given }}
{{- end }}
{{- end }}

{{- define "tocsin.environment" -}}
{{- range $name, $from := include "tocsin.secrets" . | fromYaml }}
- name: TOCSIN_{{ upper $name }}_FILE
  value: /run/secrets/tocsin/{{ $name }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: TOCSIN_{{ upper $name }}
  value: {{ if kindIs "slice" $value }}{{ join "," $value | quote }}{{ else if kindIs "float64" $value }}{{ printf "%d" (int64 $value) | quote }}{{ else if kindIs "bool" $value }}{{ ternary "on" "off" $value | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- end }}

{{- define "tocsin.mounts" -}}
- name: secrets
  mountPath: /run/secrets/tocsin
  readOnly: true
- name: data
  mountPath: /var/lib/tocsin
- name: tmp
  mountPath: /tmp
{{- end }}

{{- define "tocsin.volumes" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $name, $from := include "tocsin.secrets" . | fromYaml }}
      - secret:
          name: {{ $from.name }}
          items:
            - key: {{ $from.key }}
              path: {{ $name }}
      {{- end }}
{{- with .Values.migration.database }}
# For the migration alone: the nodes' own container does not mount it.
- name: owner
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items:
      - key: {{ .key }}
        path: database
{{- end }}
# Nothing that has to be kept: all of that is in Postgres and Redis.
- name: data
  emptyDir: {sizeLimit: 64Mi}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- end }}

{{- define "tocsin.migration" -}}
name: migrate
image: {{ include "tocsin.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [migrate]
env:
  - name: TOCSIN_DATABASE_FILE
    value: /run/secrets/{{ ternary "owner" "tocsin" (not (empty .Values.migration.database)) }}/database
  - name: TOCSIN_LOG_FORMAT
    value: json
volumeMounts:
  {{- include "tocsin.mounts" . | nindent 2 }}
  {{- if .Values.migration.database }}
  - name: owner
    mountPath: /run/secrets/owner
    readOnly: true
  {{- end }}
resources:
  requests: {cpu: 100m, memory: 128Mi}
  limits: {memory: 512Mi}
securityContext:
  {{- include "tocsin.confined" . | nindent 2 }}
{{- end }}

{{- define "tocsin.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "tocsin.unprivileged" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "tocsin.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "tocsin.unprivileged" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
