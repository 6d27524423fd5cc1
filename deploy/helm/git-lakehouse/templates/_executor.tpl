{{/* The template of executors' pods; Spark adds image, command, resources and addresses. */}}
{{- define "git-lakehouse.executor" -}}
apiVersion: v1
kind: Pod
metadata:
  labels:
    {{- include "git-lakehouse.selector" . | nindent 4 }}
    app.kubernetes.io/component: executor
spec:
  {{- include "git-lakehouse.pod" . | nindent 2 }}
  {{- include "git-lakehouse.placed" .Values | nindent 2 }}
  automountServiceAccountToken: false
  topologySpreadConstraints:
    - maxSkew: 2
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "git-lakehouse.selector" . | nindent 10 }}
          app.kubernetes.io/component: executor
  containers:
    - name: executor
      securityContext: {{- include "git-lakehouse.securityContext" . | nindent 8 }}
      env:
        {{- include "git-lakehouse.env" . | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: spark-local-dir-1, mountPath: /scratch}
        {{- include "git-lakehouse.mounts" . | nindent 8 }}
  volumes:
    - {name: tmp, emptyDir: {sizeLimit: 2Gi}}
    - {name: spark-local-dir-1, emptyDir: {sizeLimit: {{ .Values.executors.scratch }}}}
    {{- include "git-lakehouse.volumes" . | nindent 4 }}
{{- end }}
