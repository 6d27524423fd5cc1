{{- define "git-lakehouse.name" -}}
{{- if contains "git-lakehouse" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-git-lakehouse{{ end -}}
{{- end }}

{{- define "git-lakehouse.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Labels that select: of all pods of this release. */}}
{{- define "git-lakehouse.selector" -}}
app.kubernetes.io/name: git-lakehouse
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "git-lakehouse.labels" -}}
{{ include "git-lakehouse.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* A Job cannot be changed: another specification is another Job. Takes (name, specification). */}}
{{- define "git-lakehouse.jobName" -}}
{{ index . 0 }}-{{ index . 1 | sha256sum | trunc 8 }}
{{- end }}
