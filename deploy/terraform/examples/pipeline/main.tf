# The cluster that crawls every night and keeps the archive on its HDFS.

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

module "archive" {
  source = "../../modules/git-lakehouse"

  kube_context = var.kube_context
  namespace    = var.namespace
  pod_security = var.pod_security
  chart        = local.chart
  values       = concat([for path in local.values : file(path)], [yamlencode({ priorityClass = var.priority_classes.night })])
  quota        = var.quota
  secrets      = var.secrets

  priority_classes = {
    (var.priority_classes.night) = {
      value       = 1000
      preempts    = true
      description = "Crawl hosts, drivers and executors of the archive. They take the place of what can wait."
    }
    (var.priority_classes.waiting) = {
      value       = 100
      description = "Releases of data scientists beside the archive's: they wait for free places."
    }
  }
}

locals {
  chart  = coalesce(var.chart, "${path.module}/../../../helm/git-lakehouse")
  values = var.values == null ? ["${local.chart}/examples/values-1000-threads.yaml"] : var.values
}
