output "namespace" {
  description = "The namespace; destroy leaves it, and the volumes with checkpoints in it."
  value       = module.research.namespace
}
