variable "kube_context" {
  description = "Context of KUBECONFIG that helm and kubectl use; the provider must have the same one. Null: the current context."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Namespace of everything below. It is made if it is not there, and never deleted."
  type        = string
  default     = "git-lakehouse"

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "A namespace has at most 63 lower-case letters, digits and dashes, with no dash at either end."
  }
  validation {
    condition     = !contains(["default", "kube-system", "kube-public", "kube-node-lease"], var.namespace)
    error_message = "The namespace must be the archive's own: quotas and defaults here hold for all that is in it."
  }
}

variable "pod_security" {
  description = "Pod security standard that the namespace enforces. The chart keeps to restricted, except with hostNetwork, which needs privileged."
  type        = string
  default     = "restricted"

  validation {
    condition     = contains(["restricted", "baseline", "privileged"], var.pod_security)
    error_message = "Pod security is restricted, baseline or privileged."
  }
}

variable "quota" {
  description = "What all pods of the namespace may request together, as in a ResourceQuota: {\"requests.cpu\" = \"1040\", \"requests.memory\" = \"6200Gi\", \"requests.nvidia.com/gpu\" = \"8\"}."
  type        = map(string)

  validation {
    condition     = alltrue([for key in ["requests.cpu", "requests.memory", "limits.memory", "pods"] : contains(keys(var.quota), key)])
    error_message = "Without requests.cpu, requests.memory, limits.memory and pods in the quota, one job can take the whole cluster."
  }
  validation {
    condition     = alltrue([for amount in values(var.quota) : can(regex("^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$", amount))])
    error_message = "Amounts of the quota are quantities of Kubernetes, such as 16, 500m or 64Gi."
  }
}

variable "container_defaults" {
  description = "What a container requests and may use if it says nothing; pods without either do not pass the quota."
  type = object({
    requests = map(string)
    limits   = map(string)
  })
  default = {
    requests = { cpu = "100m", memory = "256Mi" }
    limits   = { memory = "512Mi" }
  }
}

variable "priority_classes" {
  description = "Priority classes by name; they belong to the cluster, not to the namespace. Only those that preempt push pods of lower value off a full node."
  type = map(object({
    value       = number
    preempts    = optional(bool, false)
    description = string
  }))
  default = {}

  validation {
    condition     = alltrue([for class in values(var.priority_classes) : class.value == floor(class.value) && class.value > 0 && class.value <= 1000000000])
    error_message = "The value of a priority class is a whole number from 1 to 1000000000; higher ones are the system's, and 0 is that of pods without a class."
  }
  validation {
    condition     = alltrue([for name in keys(var.priority_classes) : can(regex("^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", name)) && !startswith(name, "system-")])
    error_message = "Names of priority classes have lower-case letters, digits, dashes and dots, and do not begin with system-."
  }
}

variable "secrets" {
  description = "Secrets that must be in the namespace before the release, and keys that each must have: {\"git-lakehouse-hdfs\" = [\"keytab\"]}. Their values are never read into the state."
  type        = map(set(string))
  default     = {}

  validation {
    condition     = alltrue([for name, keys in var.secrets : can(regex("^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", name)) && length(keys) > 0 && alltrue([for key in keys : can(regex("^[-._a-zA-Z0-9]+$", key))])])
    error_message = "Each secret has a name of lower-case letters, digits, dashes and dots, and at least one key of letters, digits, dashes, dots and underscores. Values do not belong here."
  }
}

variable "release" {
  description = "Name of the Helm release."
  type        = string
  default     = "git-lakehouse"

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?$", var.release))
    error_message = "The name of a release has at most 53 lower-case letters, digits and dashes, with no dash at either end."
  }
}

variable "chart" {
  description = "The chart: its folder, or oci://REGISTRY/PATH with chart_version."
  type        = string
}

variable "chart_version" {
  description = "Version of a chart that is not a folder."
  type        = string
  default     = null

  validation {
    condition     = fileexists("${var.chart}/Chart.yaml") == (var.chart_version == null)
    error_message = "A chart from a registry needs a version, a folder has its own; if chart is meant to be a folder, it has no Chart.yaml."
  }
}

variable "values" {
  description = "Values of the chart as YAML texts; later ones win. Secrets are named in them, never written."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for text in var.values : can(keys(yamldecode(text)))])
    error_message = "Each text of values must be a YAML mapping."
  }
}

variable "timeout" {
  description = "How long helm waits for the release to be ready, and for its pods to end: 10m."
  type        = string
  default     = "10m"

  validation {
    condition     = can(regex("^[1-9][0-9]*[sm]$", var.timeout))
    error_message = "The timeout is a number of seconds or minutes, such as 90s or 10m."
  }
}
