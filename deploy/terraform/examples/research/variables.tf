variable "kube_context" {
  description = "Context of KUBECONFIG with the research cluster. Null: the current one."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Namespace of the trainings."
  type        = string
  default     = "code-research"
}

variable "values" {
  description = "Files with values of the chart, later ones win. Null: the chart's example for research."
  type        = list(string)
  default     = null
}

variable "secrets" {
  description = "Secrets that the values name, and the keys that each must have."
  type        = map(set(string))
  default     = {}
}

variable "gpus" {
  description = "GPUs that all trainings have together."
  type        = number
  default     = 8

  validation {
    condition     = var.gpus == floor(var.gpus) && var.gpus > 0
    error_message = "The number of GPUs is a whole number of at least 1."
  }
}

variable "priority_class" {
  description = "Name of the trainings' priority class, which belongs to the cluster."
  type        = string
  default     = "code-research"
}
