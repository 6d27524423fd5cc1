{{/* What every pod has, of its specification. */}}
{{- define "git-lakehouse.pod" -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- if .Values.hostNetwork }}
hostNetwork: true
dnsPolicy: ClusterFirstWithHostNet
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClass }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* On which nodes; takes values with nodeSelector and tolerations. */}}
{{- define "git-lakehouse.placed" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "git-lakehouse.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* For HDFS and Kerberos, in drivers, crawl hosts and executors. */}}
{{- define "git-lakehouse.env" -}}
- {name: TMPDIR, value: /tmp}
{{- with (.Values.config.hdfs).user }}
- {name: HADOOP_USER_NAME, value: {{ . | quote }}}
{{- end }}
{{- if .Values.hadoopConf }}
- {name: HADOOP_CONF_DIR, value: /etc/hadoop/conf}
{{- end }}
{{- if .Values.secrets.kerberos.secret }}
- {name: KRB5_CLIENT_KTNAME, value: /secrets/kerberos/keytab}
- {name: KRB5CCNAME, value: "FILE:/tmp/krb5cc"}
{{- end }}
{{- end }}

{{- define "git-lakehouse.mounts" -}}
{{- if .Values.hadoopConf }}
- {name: hadoop-conf, mountPath: /etc/hadoop/conf, readOnly: true}
{{- end }}
{{- if .Values.secrets.kerberos.secret }}
- {name: kerberos, mountPath: /secrets/kerberos, readOnly: true}
- {name: kerberos, mountPath: /etc/krb5.conf, subPath: krb5.conf, readOnly: true}
{{- end }}
{{- if .Values.secrets.hdfsToken.secret }}
- {name: hdfs-token, mountPath: /secrets/hdfs-token, readOnly: true}
{{- end }}
{{- end }}

{{- define "git-lakehouse.volumes" -}}
{{- with .Values.hadoopConf }}
- {name: hadoop-conf, configMap: {name: {{ . }}}}
{{- end }}
{{- with .Values.secrets.kerberos }}{{ if .secret }}
- name: kerberos
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items:
      - {key: {{ .keytab | quote }}, path: keytab}
      - {key: {{ .krb5 | quote }}, path: krb5.conf}
{{- end }}{{ end }}
{{- with .Values.secrets.hdfsToken }}{{ if .secret }}
- name: hdfs-token
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items:
      - {key: {{ .key | quote }}, path: token}
{{- end }}{{ end }}
{{- end }}

{{/*
A pod template that runs the pipeline, as YAML. Takes a dictionary: root, component, command, grace, resources, fetches
(whether it visits origins), drives (whether it may drive Spark), and if they are its own: mounts, volumes, image, nodeSelector and
tolerations, spread.

Its configuration and Spark's templates of further pods are annotations of the pod itself, which it sees as files: a Job that
began before an upgrade, or a rollback, keeps both with its image, whatever pods it still has to make.
*/}}
{{- define "git-lakehouse.template" -}}
{{- $root := .root -}}
{{- $drives := and .drives (not (include "git-lakehouse.local" $root)) -}}
{{- $much := or .fetches (eq .component "maintain") -}}
{{- $tmp := "4Gi" -}}
{{- $disk := list $root.Values.executors.scratch "0Gi" $tmp -}}
{{- with $root.Values.scratch }}{{ if $much -}}
{{- $disk = eq .kind "ephemeral" | ternary (list "0Gi" "0Gi" $tmp) (list .size (.request | default .size) $tmp) -}}
{{- end }}{{ end -}}
{{- $resources := include "git-lakehouse.resources" (list $root .fetches .resources) | fromYaml -}}
metadata:
  labels:
    {{- include "git-lakehouse.selector" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
  annotations:
    git-lakehouse/config.toml: {{ include "git-lakehouse.config" $root | toJson }}
    {{- if $drives }}
    git-lakehouse/driver.yaml: {{ include "git-lakehouse.spark" (list $root "driver") | toJson }}
    git-lakehouse/executor.yaml: {{ include "git-lakehouse.spark" (list $root "executor") | toJson }}
    {{- end }}
spec:
  {{- include "git-lakehouse.pod" $root | nindent 2 }}
  {{- include "git-lakehouse.placed" (hasKey . "tolerations" | ternary . $root.Values) | nindent 2 }}
  restartPolicy: Never
  terminationGracePeriodSeconds: {{ .grace }}
  serviceAccountName: {{ include "git-lakehouse.name" $root }}-{{ if $drives }}driver{{ else }}plain{{ end }}
  automountServiceAccountToken: {{ $drives }}
  {{- if .spread }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "git-lakehouse.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ .component }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ .image | default (include "git-lakehouse.image" $root) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: {{- toYaml .command | nindent 8 }}
      securityContext: {{- include "git-lakehouse.securityContext" $root | nindent 8 }}
      env:
        - {name: PIPELINE_CONFIG, value: /etc/git-lakehouse/config.toml}
        - name: JOB_NAME
          valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/job-name']"}}
        {{- if $drives }}
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        {{- end }}
        {{- include "git-lakehouse.env" $root | nindent 8 }}
        {{- if .fetches }}
        {{- range $root.Values.secrets.environment }}
        - name: {{ .name }}
          valueFrom: {secretKeyRef: {name: {{ .secret | quote }}, key: {{ .key | quote }}}}
        {{- end }}
        {{- end }}
      {{- $page := $drives | ternary (include "git-lakehouse.page" $root) "" }}
      {{- $metrics := .fetches | ternary (include "git-lakehouse.metrics" $root) "" }}
      {{- if and (or $page $metrics) (not $root.Values.hostNetwork) }}
      ports:
        {{- with $page }}
        - {name: spark-ui, containerPort: {{ . }}}
        {{- end }}
        {{- with $metrics }}
        - {name: metrics, containerPort: {{ . }}}
        {{- end }}
      {{- end }}
      resources: {{- merge $resources (include "git-lakehouse.disk" $disk | fromYaml) | toYaml | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/git-lakehouse, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        - {name: scratch, mountPath: /scratch}
        {{- include "git-lakehouse.mounts" $root | nindent 8 }}
        {{- if .fetches }}
        {{- range $root.Values.secrets.files }}
        - {name: file-{{ . }}, mountPath: /secrets/{{ . }}, readOnly: true}
        {{- end }}
        {{- end }}
        {{- with .mounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      downwardAPI:
        items:
          - path: config.toml
            fieldRef: {fieldPath: "metadata.annotations['git-lakehouse/config.toml']"}
          {{- if $drives }}
          - path: spark/driver.yaml
            fieldRef: {fieldPath: "metadata.annotations['git-lakehouse/driver.yaml']"}
          - path: spark/executor.yaml
            fieldRef: {fieldPath: "metadata.annotations['git-lakehouse/executor.yaml']"}
          {{- end }}
    - {name: tmp, emptyDir: {sizeLimit: {{ $tmp }}}}
    - name: scratch
      {{- with $root.Values.scratch }}
      {{- if not $much }}
      emptyDir: {sizeLimit: {{ $root.Values.executors.scratch }}}
      {{- else if eq .kind "ephemeral" }}
      ephemeral:
        volumeClaimTemplate:
          spec:
            accessModes: [ReadWriteOnce]
            {{- with .storageClass }}
            storageClassName: {{ . }}
            {{- end }}
            resources: {requests: {storage: {{ .size }}}}
      {{- else }}
      emptyDir: {sizeLimit: {{ .size }}}
      {{- end }}
      {{- end }}
    {{- include "git-lakehouse.volumes" $root | nindent 4 }}
    {{- if .fetches }}
    {{- range $root.Values.secrets.files }}
    - {name: file-{{ . }}, secret: {secretName: {{ . }}, defaultMode: 0440}}
    {{- end }}
    {{- end }}
    {{- with .volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/*
What becomes of a Job whose pod ends; takes the exit codes that another pod makes good. An evicted pod is no failure. 2 and 3
ask for a person.
*/}}
{{- define "git-lakehouse.failures" -}}
podReplacementPolicy: Failed
podFailurePolicy:
  rules:
    - action: Ignore
      onPodConditions: [{type: DisruptionTarget}]
    {{- with . }}
    - action: Ignore
      onExitCodes: {operator: In, values: {{ toJson . }}}
    {{- end }}
    - action: FailJob
      onExitCodes: {operator: In, values: [2, 3]}
{{- end }}
