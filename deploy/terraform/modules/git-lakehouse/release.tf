# Terraform sees of the release what is here: which chart and which values it was last given. What somebody changed in the
# cluster is found by ../../drift.py, which compares the live objects with the release.
resource "terraform_data" "release" {
  input            = merge(local.place, { fingerprint = local.fingerprint, secrets = local.secrets })
  triggers_replace = [local.place, local.fingerprint, local.secrets]

  provisioner "local-exec" {
    command = "${path.module}/scripts/install"
    environment = {
      RELEASE     = var.release
      NAMESPACE   = var.namespace
      CONTEXT     = self.output.context
      CHART       = var.chart
      VERSION     = var.chart_version == null ? "" : var.chart_version
      VALUES      = join(" ", [for text in var.values : base64encode(text)])
      SECRETS     = join(" ", local.secrets)
      FINGERPRINT = local.fingerprint
      TIMEOUT     = var.timeout
    }
  }

  depends_on = [terraform_data.uninstall, kubectl_manifest.quota, kubectl_manifest.limits, kubectl_manifest.priority]
}

# Apart from the release, so that a release that is replaced is upgraded, not uninstalled.
resource "terraform_data" "uninstall" {
  input = merge(local.place, {
    script     = "${path.module}/scripts/uninstall"
    timeout    = var.timeout
    disposable = "${local.name}-luigid" # the claim with luigid's list of tasks, which each night makes anew
  })
  triggers_replace = [var.release, var.namespace]

  provisioner "local-exec" {
    when    = destroy
    command = self.output.script
    environment = {
      RELEASE    = self.output.release
      NAMESPACE  = self.output.namespace
      CONTEXT    = self.output.context
      TIMEOUT    = self.output.timeout
      DISPOSABLE = self.output.disposable
    }
  }

  # All of it stays if the release may not be uninstalled.
  depends_on = [
    kubectl_manifest.namespace, kubectl_manifest.quota, kubectl_manifest.limits, kubectl_manifest.priority
  ]
}

locals {
  name    = strcontains(var.release, "git-lakehouse") ? var.release : "${var.release}-git-lakehouse" # as the chart names its objects
  place   = { release = var.release, namespace = var.namespace, context = var.kube_context == null ? "" : var.kube_context }
  secrets = sort(flatten([for name, keys in var.secrets : [for key in keys : "${name}/${key}"]]))

  files = fileexists("${var.chart}/Chart.yaml") ? sort(fileset(var.chart, "**")) : []
  chart = length(local.files) == 0 ? ["${var.chart}@${coalesce(var.chart_version, "-")}"] : [
    for file in local.files : "${file} ${filesha256("${var.chart}/${file}")}"
  ]
  fingerprint = sha256(jsonencode([local.chart, var.values]))
}
