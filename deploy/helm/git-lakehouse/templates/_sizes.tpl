{{/* The rules of pipeline/rules/cluster.py, and what follows for pods; tests/deploy/test_sizes.py compares them. */}}

{{- define "git-lakehouse.local" -}}
{{- if hasPrefix "local" (.Values.config.spark).master }}yes{{ end -}}
{{- end }}

{{/* Bytes of a size as Spark has it, such as 12g or 1536m. */}}
{{- define "git-lakehouse.bytes" -}}
{{- $size := lower . | trimSuffix "b" -}}
{{- $units := dict "k" 1024 "m" 1048576 "g" 1073741824 "t" 1099511627776 -}}
{{- $unit := substr (sub (len $size) 1 | int) (len $size) $size -}}
{{- if hasKey $units $unit }}{{ mul (trimSuffix $unit $size) (index $units $unit) }}{{ else }}{{ mul $size 1048576 }}{{ end -}}
{{- end }}

{{/* YAML: executors' count, cores and bytes, and the driver's heap; of a local master only the heap, which is all. */}}
{{- define "git-lakehouse.shape" -}}
{{- $spark := .Values.config.spark -}}
{{- $threads := int64 $spark.cluster.threads -}}
{{- $memory := int64 $spark.cluster.memory_bytes -}}
{{- $mib := 1048576 -}}{{- $gib := 1073741824 -}}
{{- if include "git-lakehouse.local" . -}}
count: 0
cores: {{ $threads }}
bytes: 0
heap: {{ $memory }}
{{- else -}}
{{- $conf := $spark.conf | default dict -}}
{{- $cores := min 5 $threads -}}
{{- $heap := mul (add 2 (mul 2 $cores)) $gib -}}
{{- $overhead := add (div $gib 2) (mul $cores (div (mul 3 $gib) 2)) -}}
{{- $offHeap := mul (div (div (mul 2 $gib $cores) 5) $mib) $mib -}}
{{- $bytes := add $heap $overhead $offHeap -}}
{{- $count := max 1 (min (div $threads $cores) (div (div (mul $memory 8) 10) $bytes)) -}}
{{- $driver := mul (max 2 (div (add (mul 16 $threads) 1023) 1024)) $gib -}}
count: {{ get $conf "spark.executor.instances" | default $count }}
cores: {{ get $conf "spark.executor.cores" | default $cores }}
{{- $parts := dict "spark.executor.memory" $heap "spark.executor.memoryOverhead" $overhead "spark.memory.offHeap.size" $offHeap -}}
{{- $bytes = 0 -}}
{{- range $key, $part := $parts -}}
{{- if hasKey $conf $key }}{{ $part = include "git-lakehouse.bytes" (get $conf $key) }}{{ end -}}
{{- $bytes = add $bytes (int64 $part) -}}
{{- end }}
bytes: {{ $bytes }}
heap: {{ if $spark.driver_memory }}{{ include "git-lakehouse.bytes" $spark.driver_memory }}{{ else }}{{ $driver }}{{ end }}
{{- end -}}
{{- end }}

{{/* Bytes of a quantity of Kubernetes, such as 100Gi or 1.5T. */}}
{{- define "git-lakehouse.quantity" -}}
{{- $unit := regexFind "[A-Za-z]+$" . -}}
{{- $units := dict "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "M" 1000000 "G" 1000000000 "T" 1000000000000 "P" 1000000000000000 -}}
{{- mulf (trimSuffix $unit . | float64) (index $units $unit) | ceil | int64 -}}
{{- end }}

{{/*
What a pod requests of its node's disk and may take of it, as YAML. Takes quantities: its scratch, what a node must have left for
that, and its /tmp. Logs and the like have one GiB.
*/}}
{{- define "git-lakehouse.disk" -}}
{{- $gib := 1073741824 -}}
{{- $scratch := include "git-lakehouse.quantity" (index . 0) -}}
{{- $tmp := include "git-lakehouse.quantity" (index . 2) -}}
requests: {ephemeral-storage: {{ add $gib (include "git-lakehouse.quantity" (index . 1)) | quote }}}
limits: {ephemeral-storage: {{ add $gib $scratch $tmp | quote }}}
{{- end }}

{{/*
Requests and limits of a pod with a driver, as YAML; takes (root, whether it fetches, what values say instead).
Beside the heap the JVM takes a tenth and 384 MiB, Python half a GiB. A worker of [fetch] takes four times
run_bytes, a visit at worst limits.memory_bytes. With a local master everything runs inside [spark.cluster].
*/}}
{{- define "git-lakehouse.resources" -}}
{{- $root := index . 0 -}}{{- $fetches := index . 1 -}}{{- $own := index . 2 -}}
{{- if $own -}}
{{ toYaml $own }}
{{- else -}}
{{- $shape := include "git-lakehouse.shape" $root | fromYaml -}}
{{- $mib := 1048576 -}}
{{- $heap := int64 $shape.heap -}}
{{- $base := add $heap (div $heap 10) (mul 896 $mib) -}}
{{- $cpu := 1 -}}
{{- if include "git-lakehouse.local" $root }}{{ $base = $heap }}{{ $cpu = int64 $shape.cores }}{{ end -}}
{{- $request := $base -}}{{- $limit := $base -}}
{{- if $fetches -}}
{{- $fetch := $root.Values.config.fetch | default dict -}}
{{- $workers := int64 ($fetch.workers | default 1) -}}
{{- $cpu = add $cpu $workers -}}
{{- $request = add $request (mul $workers 4 (int64 ($fetch.run_bytes | default 268435456))) -}}
{{- $limit = add $limit (mul $workers (int64 (($fetch.limits).memory_bytes | default 3221225472))) -}}
{{- end -}}
requests:
  cpu: {{ $cpu | quote }}
  memory: {{ div $request $mib }}Mi
limits:
  cpu: {{ add 1 $cpu | quote }}
  memory: {{ max (div $limit $mib) (div $request $mib) }}Mi
{{- end -}}
{{- end }}
