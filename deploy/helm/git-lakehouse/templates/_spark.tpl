{{/*
The template of pods that Spark makes; it adds image, command, resources and addresses. Takes (root, component): an executor, or
the driver of a submit with config.spark.deploy_mode = cluster, which alone may use the API.
*/}}
{{- define "git-lakehouse.spark" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}
{{- $tmp := "2Gi" -}}
{{- $room := $root.Values.executors -}}
{{- $request := eq $component "executor" | ternary ($room.request | default $room.scratch) "0Gi" -}}
apiVersion: v1
kind: Pod
metadata:
  labels:
    {{- include "git-lakehouse.selector" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $component }}
spec:
  {{- include "git-lakehouse.pod" $root | nindent 2 }}
  {{- include "git-lakehouse.placed" $root.Values | nindent 2 }}
  automountServiceAccountToken: {{ eq $component "driver" }}
  topologySpreadConstraints:
    - maxSkew: 2
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "git-lakehouse.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ $component }}
  containers:
    - name: {{ $component }}
      securityContext: {{- include "git-lakehouse.securityContext" $root | nindent 8 }}
      {{- if eq $component "executor" }}
      terminationMessagePolicy: FallbackToLogsOnError     # why it ended is told when it is deleted already
      {{- end }}
      env:
        {{- include "git-lakehouse.env" $root | nindent 8 }}
      resources: {{- include "git-lakehouse.disk" (list $room.scratch $request $tmp) | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: spark-local-dir-1, mountPath: /scratch}
        {{- include "git-lakehouse.mounts" $root | nindent 8 }}
  volumes:
    - {name: tmp, emptyDir: {sizeLimit: {{ $tmp }}}}
    - {name: spark-local-dir-1, emptyDir: {sizeLimit: {{ $room.scratch }}}}
    {{- include "git-lakehouse.volumes" $root | nindent 4 }}
{{- end }}
