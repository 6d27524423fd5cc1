# Deleting a namespace deletes all that is in it: claims on volumes that Helm was told to keep, secrets that others put
# here, jobs of data scientists. So Terraform makes and mends it, and leaves it where it is.
resource "kubectl_manifest" "namespace" {
  apply_only        = true
  server_side_apply = true
  force_conflicts   = true

  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Namespace"
    metadata = {
      name = var.namespace
      labels = merge(local.labels, {
        "pod-security.kubernetes.io/enforce" = var.pod_security
        "pod-security.kubernetes.io/warn"    = "restricted"
      })
    }
  })
}

resource "kubectl_manifest" "quota" {
  server_side_apply = true
  force_conflicts   = true

  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "ResourceQuota"
    metadata   = local.metadata
    spec       = { hard = var.quota }
  })

  depends_on = [kubectl_manifest.namespace]
}

resource "kubectl_manifest" "limits" {
  server_side_apply = true
  force_conflicts   = true

  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "LimitRange"
    metadata   = local.metadata
    spec = {
      limits = [{
        type           = "Container"
        defaultRequest = var.container_defaults.requests
        default        = var.container_defaults.limits
      }]
    }
  })

  depends_on = [kubectl_manifest.namespace]
}

resource "kubectl_manifest" "priority" {
  for_each = var.priority_classes

  server_side_apply = true
  force_conflicts   = true
  force_new         = true # neither value nor policy of a class can be changed

  yaml_body = yamlencode({
    apiVersion       = "scheduling.k8s.io/v1"
    kind             = "PriorityClass"
    metadata         = { name = each.key, labels = local.labels }
    value            = each.value.value
    preemptionPolicy = each.value.preempts ? "PreemptLowerPriority" : "Never"
    description      = each.value.description
  })
}

locals {
  labels   = { "app.kubernetes.io/managed-by" = "Terraform" }
  metadata = { name = var.release, namespace = var.namespace, labels = local.labels }
}
