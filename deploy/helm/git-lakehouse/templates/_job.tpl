{{/* A Job whose name changes with what it does. Takes a dictionary: root, name, values, again, template. */}}
{{- define "git-lakehouse.job" -}}
{{- $spec := include "git-lakehouse.jobSpec" . -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "git-lakehouse.jobName" (list (printf "%s-%s" (include "git-lakehouse.name" .root) .name) $spec) }}
  labels:
    {{- include "git-lakehouse.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
spec:
  {{- $spec | nindent 2 }}
{{- end }}

{{- define "git-lakehouse.jobSpec" -}}
backoffLimit: {{ .values.retries }}
activeDeadlineSeconds: {{ int64 .values.deadline }}
{{ include "git-lakehouse.failures" .again }}
template:
  {{- .template | nindent 2 }}
{{- end }}
