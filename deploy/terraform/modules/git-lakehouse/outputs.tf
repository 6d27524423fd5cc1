output "namespace" {
  description = "The namespace, which destroy leaves."
  value       = kubectl_manifest.namespace.name
}

output "release" {
  description = "Name of the release, once it is ready."
  value       = terraform_data.release.output.release
}

output "fingerprint" {
  description = "SHA-256 of chart and values; Helm's description of the revision has it."
  value       = local.fingerprint
}

output "priority_classes" {
  description = "Names of the priority classes."
  value       = sort(keys(kubectl_manifest.priority))
}

output "secrets" {
  description = "Commands that put each secret into its place, from files named as its keys. Run them where the values are; Terraform never has them."
  value = {
    for name, keys in var.secrets : name => join(" ", concat(
      ["kubectl create secret ${contains(keys, ".dockerconfigjson") ? "docker-registry" : "generic"} ${name} --namespace ${var.namespace}"],
      [for key in sort(keys) : "--from-file=${key}"],
    ))
  }
}
