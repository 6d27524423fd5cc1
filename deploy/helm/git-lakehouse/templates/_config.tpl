{{/* The configuration of every pod, as a dictionary: config of values, and what the chart itself knows. */}}
{{- define "git-lakehouse.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $spark := required "config.spark.master is missing: k8s://https://kubernetes.default.svc, or local[N]" $config.spark -}}
{{- $_ := required "config.spark.master is missing: k8s://https://kubernetes.default.svc, or local[N]" $spark.master -}}
{{- $_ := required "config.spark.cluster.threads is missing: a pod cannot see what Spark may use" ($spark.cluster).threads -}}
{{- $_ := required "config.spark.cluster.memory_bytes is missing" ($spark.cluster).memory_bytes -}}
{{- $_ := required "config.archive.location is missing" ($config.archive).location -}}
{{- if not (hasPrefix "hdfs://" $config.archive.location) }}{{ fail "config.archive.location must be hdfs://: pods share no disk" }}{{ end -}}
{{- $_ := set $config "fetch" ($config.fetch | default dict) -}}
{{- range $key, $value := dict "scratch" "/scratch" "crawl_hosts" (int64 .Values.nightly.crawlHosts) -}}
{{- if and (hasKey $config.fetch $key) (ne (toString (get $config.fetch $key)) (toString $value)) -}}
{{- fail (printf "config.fetch.%s is %v, but the chart sets %v: leave it out, or see nightly.crawlHosts" $key (get $config.fetch $key) $value) -}}
{{- end -}}
{{- $_ := set $config.fetch $key $value -}}
{{- end -}}
{{- if .Values.luigid.enabled -}}
{{- $luigid := printf "%s-luigid:%d" (include "git-lakehouse.name" .) (int .Values.luigid.port) -}}
{{- $_ := set $config "luigi" (merge ($config.luigi | default dict) (dict "scheduler" $luigid)) -}}
{{- else if and .Values.nightly.enabled (gt (int .Values.nightly.crawlHosts) 1) -}}
{{- $_ := required "several crawl hosts need a luigid: luigid.enabled, or config.luigi.scheduler" ($config.luigi).scheduler -}}
{{- end -}}
{{- if .Values.secrets.hdfsToken.secret -}}
{{- $_ := set $config.hdfs "token_file" "/secrets/hdfs-token/token" -}}
{{- end -}}
{{- $conf := dict -}}
{{- if not (include "git-lakehouse.local" .) -}}
{{- $shape := include "git-lakehouse.shape" . | fromYaml -}}
{{- $conf = dict
    "spark.kubernetes.namespace" .Release.Namespace
    "spark.kubernetes.container.image" (include "git-lakehouse.image" .)
    "spark.kubernetes.container.image.pullPolicy" .Values.image.pullPolicy
    "spark.kubernetes.driver.pod.name" "${env:POD_NAME}"
    "spark.kubernetes.driver.podTemplateFile" "/etc/git-lakehouse/spark/driver.yaml"
    "spark.kubernetes.driver.podTemplateContainerName" "driver"
    "spark.kubernetes.authenticate.driver.serviceAccountName" (printf "%s-driver" (include "git-lakehouse.name" .))
    "spark.kubernetes.executor.podTemplateFile" "/etc/git-lakehouse/spark/executor.yaml"
    "spark.kubernetes.executor.podTemplateContainerName" "executor"
    "spark.kubernetes.authenticate.executor.serviceAccountName" (printf "%s-executor" (include "git-lakehouse.name" .))
    "spark.ui.port" (include "git-lakehouse.page" . | default "0")
    "spark.ui.killEnabled" "false"
    "spark.kubernetes.executor.request.cores" (toString $shape.cores)
    "spark.kubernetes.executor.limit.cores" (toString (add 1 (int64 $shape.cores))) -}}
{{- with .Values.image.pullSecrets }}{{ $_ := set $conf "spark.kubernetes.container.image.pullSecrets" (join "," .) }}{{ end -}}
{{- end -}}
{{- with .Values.secrets.kerberos }}{{ if .secret -}}
{{- $_ := set $conf "spark.kerberos.keytab" "local:///secrets/kerberos/keytab" -}}{{/* else Spark would put it into a Secret of its own */}}
{{- $_ := set $conf "spark.kerberos.access.hadoopFileSystems" $config.archive.location -}}{{/* executors get tokens for it, whatever fs.defaultFS is */}}
{{- $_ := set $conf "spark.kerberos.principal" (required "secrets.kerberos.principal is missing" .principal) -}}
{{- end }}{{ end -}}
{{- $_ := set $spark "conf" (merge ($spark.conf | default dict) $conf) -}}
{{- include "git-lakehouse.whole" $config -}}
{{- toToml $config -}}
{{- end }}

{{/* The port of Spark's page in pods that drive it, with its metrics; empty without such pods, or if any will do. */}}
{{- define "git-lakehouse.page" -}}
{{- if not (include "git-lakehouse.local" .) -}}
{{- $port := get (.Values.config.spark.conf | default dict) "spark.ui.port" | default "4040" | toString -}}
{{- if ne $port "0" }}{{ $port }}{{ end -}}
{{- end -}}
{{- end }}

{{/* The port of a run's own metrics; empty if there are none. */}}
{{- define "git-lakehouse.metrics" -}}
{{- with (.Values.config.metrics).listen }}{{ splitList ":" . | last }}{{ end -}}
{{- end }}

{{/* Helm reads all numbers as fractions; write whole ones as such. Takes a dictionary, which it changes. */}}
{{- define "git-lakehouse.whole" -}}
{{- range $key, $value := . -}}
{{- if kindIs "map" $value }}{{ include "git-lakehouse.whole" $value }}{{ end -}}
{{- if kindIs "float64" $value }}{{ if eq (floor $value) $value }}{{ $_ := set $ $key (int64 $value) }}{{ end }}{{ end -}}
{{- end -}}
{{- end }}
