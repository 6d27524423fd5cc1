# The cluster with GPUs. It crawls nothing: its release trains on a set that pipeline export has written.

terraform {
  required_version = ">= 1.9"

  required_providers {
    kubectl = {
      source  = "gavinbunney/kubectl"
      version = "~> 1.19"
    }
  }
}

provider "kubectl" {
  config_context = var.kube_context
}

module "research" {
  source = "../../modules/git-lakehouse"

  kube_context = var.kube_context
  namespace    = var.namespace
  release      = "training"
  chart        = local.chart
  secrets      = var.secrets

  # no job on the archive's tables: this cluster has no Spark
  values = concat([for path in local.values : file(path)], [yamlencode({
    priorityClass = var.priority_class
    submit        = { enabled = false }
  })])

  quota = {
    "requests.nvidia.com/gpu" = tostring(var.gpus)
    "requests.cpu"            = tostring(16 * var.gpus)
    "requests.memory"         = "${64 * var.gpus}Gi"
    "limits.memory"           = "${64 * var.gpus}Gi"
    "pods"                    = tostring(10 * var.gpus)
  }

  priority_classes = {
    (var.priority_class) = {
      value       = 100
      description = "Trainings: they wait for free GPUs."
    }
  }
}

locals {
  chart  = "${path.module}/../../../helm/git-lakehouse"
  values = var.values == null ? ["${local.chart}/examples/values-research.yaml"] : var.values
}
