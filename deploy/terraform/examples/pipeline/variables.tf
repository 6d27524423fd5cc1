variable "kube_context" {
  description = "Context of KUBECONFIG with the pipeline cluster. Null: the current one."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Namespace of the archive's pods."
  type        = string
  default     = "git-lakehouse"
}

variable "pod_security" {
  description = "privileged for a trial with hostNetwork."
  type        = string
  default     = "restricted"
}

variable "chart" {
  description = "Folder of the chart. Null: the one beside this example."
  type        = string
  default     = null
}

variable "values" {
  description = "Files with values of the chart, later ones win. Null: the chart's example for 1,000 threads, with secrets as below."
  type        = list(string)
  default     = null
}

variable "secrets" {
  description = "Secrets that the values name, and the keys that each must have."
  type        = map(set(string))
  default = {
    "git-lakehouse-kerberos" = ["keytab", "krb5.conf"]
    "forges"                 = ["github"]
    "gitlab"                 = ["token"]
    "registry"               = [".dockerconfigjson"]
  }
}

variable "quota" {
  description = "What all pods may request together. The default is for the chart's example for 1,000 threads."
  type        = map(string)

  # 200 executors of 5 cores and 22 GiB, four crawl hosts of 25 cores and 43 to 91 GiB, luigid, and a few drivers of 19 GiB. The
  # executors of a second application do not fit beside the night's.
  default = {
    "requests.cpu"           = "1120"
    "requests.memory"        = "4700Gi"
    "limits.memory"          = "4900Gi"
    "pods"                   = "250"
    "persistentvolumeclaims" = "20"
  }
}

variable "priority_classes" {
  description = "Names of the classes for nights and for what can wait. They belong to the cluster: two trials on one need names of their own."
  type        = object({ night = string, waiting = string })
  default     = { night = "git-lakehouse", waiting = "git-lakehouse-waiting" }
}
