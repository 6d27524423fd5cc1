output "namespace" {
  description = "The namespace; destroy leaves it."
  value       = module.archive.namespace
}

output "fingerprint" {
  description = "SHA-256 of the chart and its values."
  value       = module.archive.fingerprint
}

output "secrets" {
  description = "How each secret is put into its place."
  value       = module.archive.secrets
}
