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

variable "gpus" {
  description = "GPUs that all trainings have together."
  type        = number
  default     = 8

  validation {
    condition     = var.gpus == floor(var.gpus) && var.gpus > 0
    error_message = "The number of GPUs is a whole number of at least 1."
  }
}

variable "image" {
  description = "Image with this package, its extra training, and CUDA."
  type        = string
  default     = "registry.example.org/git-lakehouse-training:0.1.0"

  validation {
    condition     = can(regex("^.+:[^:/]+$", var.image))
    error_message = "The image needs a tag: REPOSITORY:TAG."
  }
}

variable "set" {
  description = "Folder that pipeline export has written, on the HDFS of the pipeline cluster or on a copy."
  type        = string
  default     = "hdfs://namenode:8020/sets/python"
}

variable "priority_class" {
  description = "Name of the trainings' priority class, which belongs to the cluster."
  type        = string
  default     = "code-research-training"
}
